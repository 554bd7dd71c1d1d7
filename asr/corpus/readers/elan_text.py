"""Reader of ELAN's tab-delimited export, with or without a header, in any choice of its columns; CSV with a header.

ELAN writes the tier, the participant, the begin, the end, the duration and the text, in this order. Each of the three
times has a column for each unit that was chosen: `hh:mm:ss.mmm`, seconds, milliseconds, and frames of video. If each
tier has a column of its own, the columns of the tiers follow the times.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from asr.corpus.readers.annotations import Context, Kind, each_line, head_lines, is_kind, read_annotations, seconds
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.tiers import Annotation
from asr.errors import raise_problems

_UNITS = (  # the pattern of a time in each unit, and the seconds of one unit; in the order of ELAN's columns
    (re.compile(r"\d{1,4}:\d\d:\d\d[.,]\d{1,3}"), 1.0),
    (re.compile(r"\d{1,8}[.,]\d{1,3}"), 1.0),
    (re.compile(r"\d{1,10}"), 0.001),
    (re.compile(r"\d\d:\d\d:\d\d:\d\d"), None),  # frames of video, which are not needed beside another unit
)
_HEADER = re.compile(r"(?i)(?:hh:mm:ss|ss\.ms|msec)")
# A line above the table names the .eaf file or a recording, and how far the recording is shifted.
_MEDIA = re.compile(r'"?#(?:file:/*)?(?P<name>.+?)(?: -- offset: (?P<shift>\d{1,9}))?"?\s*')
_FILE = re.compile(r"(?i).*\.eaf")
_WHOLE = re.compile(r"\d{1,10} \d{1,10}")
_SLACK = 0.002  # seconds: ELAN rounds each time to milliseconds


class _Columns(NamedTuple):
    """The columns of a table, counted from 0.

    `texts` maps each column of texts to its tier, or to None if the column `tier` names it.
    """

    begin: int
    end: int
    is_duration: bool  # `end` holds the duration
    units: dict[int, float]
    tier: int | None
    speaker: int | None
    texts: dict[int, str | None]
    file: int | None


def _looks_like(head: str) -> bool:
    rows = [_cells(line) for line in head_lines(head) if not _media_line(line)]
    if rows and any(map(_HEADER.search, rows[0])) and not any(map(_is_time, rows[0])):
        return len(rows[0]) >= 3
    try:
        columns = _columns(None, rows[:50])
    except ValueError:
        return False
    if columns is None:
        return False
    if columns.units[columns.begin] == 1.0:
        return True
    # Whole numbers are times only if each begin is smaller than its end, and the last end is a second or more.
    pairs = [(row[columns.begin], row[columns.end]) for row in rows if len(row) > columns.end]
    times = [(int(first), int(second)) for first, second in pairs if _WHOLE.fullmatch(f"{first} {second}")]
    return 2 * len(times) > len(rows) and times[-1][1] >= 1000 and all(first < second for first, second in times)


_KIND = Kind(
    "ELAN text export (tab-delimited)", (), _looks_like, needs_name=lambda head: ".eaf" not in head and "#" not in head
)


def recognises(source: Path) -> bool:
    """Return True for an export of ELAN, or a folder with exports at any depth."""
    return is_kind(source, _KIND)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the annotations of one tier of every file.

    The recording is the file named above the table, or in the column with the name of the `.eaf` file, or else the
    recording with the name of the export. Raises SourceError that names each line without times.
    """
    return read_annotations(source, _KIND, _read_file, tier)


READER = Reader("ELAN text export (tab-delimited)", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    named: dict[str, float] = {}
    header: list[str] | None = None
    commas = False
    rows: list[tuple[int, list[str]]] = []
    for number, line in each_line(path):
        if not line.strip():
            continue
        cells = _cells(line) if header is None else _cells(line, "," if commas else "\t")
        if not rows and header is None and (match := _media_line(line)):
            if not _FILE.fullmatch(match["name"]):
                named[unquote(match["name"])] = int(match["shift"] or 0) / 1000
        elif not rows and header is None and any(map(_HEADER.search, cells)) and not any(map(_is_time, cells)):
            header, commas = cells, "\t" not in line
        else:
            rows.append((number, cells))
    columns = _columns(header, [cells for _, cells in rows])
    if columns is None:
        raise ValueError("has no columns with the begin and the end of each annotation; export it with these columns")
    problems = []
    for number, cells in rows:
        try:
            yield from _annotations(path, cells, columns, context, named)
        except (ValueError, IndexError) as error:
            problems.append(f"{path}:{number}: {error if isinstance(error, ValueError) else 'lacks columns'}")
    raise_problems(problems, SourceError)


def _annotations(
    path: Path, cells: Sequence[str], columns: _Columns, context: Context, named: dict[str, float]
) -> Iterator[Annotation]:
    start = seconds(cells[columns.begin], columns.units[columns.begin])
    end = seconds(cells[columns.end], columns.units[columns.end]) + (start if columns.is_duration else 0.0)
    file = re.split(r"[/\\]", cells[columns.file].strip())[-1][: -len(".eaf")] if columns.file is not None else None
    audio = context.recording_of(path, *named, file)
    shift = next((shift for name, shift in named.items() if audio.name == re.split(r"[/\\]", name)[-1]), 0.0)
    for column, tier in columns.texts.items():
        if column < len(cells) and (text := cells[column].strip()):
            yield Annotation(
                file=path,
                audio=audio,
                tier=tier or (cells[columns.tier] if columns.tier is not None else "") or "text",
                start=round(start + shift, 6),
                end=round(end + shift, 6),
                text=" ".join(text.split()),
                speaker=(cells[columns.speaker].strip() or None) if columns.speaker is not None else None,
            )


def _cells(line: str, delimiter: str = "") -> list[str]:
    """Split a line at its tabs, or at its commas if it is a header without tabs."""
    if delimiter == "," or (not delimiter and "\t" not in line and _HEADER.search(line)):
        try:
            return next(csv.reader([line]), [])
        except csv.Error:  # a cell of more than 100,000 characters
            return [line]
    return line.split("\t")


def _media_line(line: str) -> re.Match[str] | None:
    return _MEDIA.fullmatch(line) if len(line) < 1000 else None  # a longer one would take a long time


def _is_time(cell: str) -> bool:
    return _unit(cell) is not None


def _unit(cell: str) -> int | None:
    """Return the number of the unit of a time; None for a cell that is no time."""
    return next((number for number, (look, _) in enumerate(_UNITS) if look.fullmatch(cell.strip())), None)


def _columns(header: list[str] | None, rows: Sequence[Sequence[str]]) -> _Columns | None:
    """Find out which columns hold what, from the header and from all rows; None if these are not ELAN's columns.

    Raises ValueError for times that are frames of video only.
    """
    width = max(map(len, rows), default=0)
    names = [*(header or []), *[""] * width][:width]
    times = _time_columns(rows, width)
    if times is None:
        return None
    groups, units = times
    begin, end = groups[0][0], groups[1][0]
    pairs = [(row[begin], row[end]) for row in rows if len(row) > end and _is_time(row[begin]) and _is_time(row[end])]
    lengths = sum(seconds(second, units[end]) < seconds(first, units[begin]) - _SLACK for first, second in pairs)
    name = names[end].lower()
    is_duration = "end" not in name and ("dur" in name or 2 * lengths > len(pairs))
    before, after = list(range(groups[0][0])), list(range(groups[-1][-1] + 1, width))
    files = [column for column in before + after if _are_eaf_files([row[column] for row in rows if len(row) > column])]
    before = [column for column in before if column not in files]
    after = [column for column in after if column not in files]
    if not after or (header is None and len(after) > 1):
        return None
    speakers = before[1:2]
    if header is not None:
        speakers = [column for column in before if re.search("(?i)participant|speaker", names[column])]
    own = len(after) > 1 or (not before and header is not None and not _is_text(names[after[0]]))
    return _Columns(
        begin, end, is_duration, units,
        tier=next((column for column in before if column not in speakers), None),
        speaker=next(iter(speakers), None),
        texts={column: names[column].strip() or None if own else None for column in after},
        file=files[0] if files else None,
    )  # fmt: skip


def _time_columns(rows: Sequence[Sequence[str]], width: int) -> tuple[list[range], dict[int, float]] | None:
    """Return the columns of the begin, of the end or the duration, and of the duration if it is third; and the units.

    The columns of each begin with the one whose unit, in seconds, is returned. None if there are no such columns.
    """
    kinds = [_kind_of([row[column] for row in rows if len(row) > column]) for column in range(width - 1)]
    first = next((column for column, kind in enumerate(kinds) if kind is not None), width)
    order = [kind for kind in itertools.takewhile(lambda kind: kind is not None, kinds[first:]) if kind is not None]
    for size, times in itertools.product(range(1, len(_UNITS) + 1), (3, 2)):
        units = order[:size]  # the columns of the begin; the columns of the other times have the same units
        if len(order) < size * times or order[: size * times] != units * times or len(set(units)) < size:
            continue
        place = next((place for place, unit in enumerate(units) if _UNITS[unit][1] is not None), None)
        if place is None:
            raise ValueError("has times as frames of video only; export seconds or milliseconds")
        starts = [first + place + size * number for number in range(times)]
        groups = [range(start, first + size * (number + 1)) for number, start in enumerate(starts)]
        return groups, {start: float(_UNITS[units[place]][1] or 1.0) for start in starts}
    return None


def _kind_of(cells: Sequence[str]) -> int | None:
    """Return the unit of most cells of a column; None if most are no times."""
    ((unit, count),) = Counter(map(_unit, filter(None, cells))).most_common(1) or [(None, 0)]
    return unit if 2 * count > len(cells) else None


def _are_eaf_files(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_FILE.fullmatch(cell.strip()) for cell in cells)


def _is_text(name: str) -> bool:
    return name.strip().lower().startswith(("annotation", "text", "value")) or not name.strip()
