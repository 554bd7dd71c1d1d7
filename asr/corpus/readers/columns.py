"""Rows with the usual column names -> utterances, for tables, JSON lists and metadata files."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.corpus.manifest import from_row
from asr.corpus.readers.files import SourceError, usual_split
from asr.corpus.readers.reader import Splits
from asr.corpus.readers.reading import note
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.times import Time, common_unit, parse_time, split_unit
from asr.errors import raise_problems
from asr.utterance import Utterance
from asr.wording import counted

# The column names of each field, the most specific name first. The first name that a table has is taken.
_COLUMN_NAMES = {
    "audio_filepath": "audio_filepath audio_path audio_file audio_file_name audio wav_filename wav_path wav filename "
    "file_name filepath file_path path file recording clip",
    "text": "text sentence transcript transcription transcripts normalized_text normalised_text",
    "id": "id utt_id utterance_id",
    "speaker": "speaker speaker_id client_id spk_id spk",
    "split": "split subset partition",
}
_TIME_NAMES = {  # names of times may end in a unit: see `times.py`
    "offset": "offset start start_time begin begin_time onset xmin tmin",
    "end": "end end_time stop stop_time xmax tmax",
    "duration": "duration dur",
}
_FIELDS = {field: names.split() for field, names in _COLUMN_NAMES.items()}
_TIMES = {field: names.split() for field, names in _TIME_NAMES.items()}
_CHOICES = {"file": "audio_filepath", "start": "offset"}  # the names of fields in --columns, where they differ
_CHOOSABLE = ("file", "text", "start", "end", "duration", "speaker", "id", "split")


def parse_columns(text: str) -> dict[str, str]:
    """Parse `--columns file=NAME,text=NAME,start_ms=NAME,…` to field -> column. Raises SourceError.

    A field of a time may end in its unit.
    """
    chosen: dict[str, str] = {}
    fields = "|".join(_CHOOSABLE)
    for part in re.split(rf",(?=\s*(?:{fields})(?:_[a-z]+)?\s*=)", text):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or split_unit(field)[0] not in _CHOOSABLE:
            raise SourceError(
                f"--columns {text}: must name columns of the table, such as file=Filename,text=Orthography; the fields "
                f"are {', '.join(_CHOOSABLE)}, times also with a unit, such as start_ms"
            )
        base, unit = split_unit(field)
        chosen[_CHOICES.get(base, base) + ("" if unit is None else f"_{unit}")] = column
    return chosen


def fields(header: Iterable[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the column of `header` for each manifest field, and for `end` and `split`, if there is one.

    `chosen` holds the columns that `--columns` names, which come before all others. Units are not part of the fields.
    """
    header = list(header)
    columns = {_normal(name): name for name in reversed(header)}
    bases = {split_unit(name)[0]: column for name, column in columns.items()}
    found = {field: [columns[name] for name in names if name in columns] for field, names in _FIELDS.items()}
    found |= {field: [bases[name] for name in names if name in bases] for field, names in _TIMES.items()}
    if "onset" in bases and "offset" in bases:  # then the offset is where the segment ends
        found |= {"offset": [bases["onset"]], "end": [bases["offset"]]}
    taken = {split_unit(field)[0]: column for field, column in (chosen or {}).items()}
    result = {field: columns[0] for field, columns in found.items() if columns} | taken
    return {field: column for field, column in result.items() if column in header}


def has_audio_and_text(header: Iterable[str], chosen: Mapping[str, str] | None = None) -> bool:
    """Return True if one column names the recordings and another holds the texts."""
    return {"audio_filepath", "text"} <= fields(header, chosen).keys()


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table: the cells of known fields, all other cells, and the times."""

    line: int
    named: dict[str, Any]
    kept: dict[str, Any]
    times: dict[str, Time]
    columns: dict[str, str]


def read_rows(
    path: Path,
    rows: Iterable[tuple[int, Any]],
    recordings: Recordings,
    folder: Path | None = None,
    chosen: Mapping[str, str] | None = None,
) -> Splits:
    """Convert the numbered rows of `path` to utterances, by the column `split` if there is one.

    A row is a dict by column, with "" for an empty cell, or a ValueError for a faulty row. Paths of recordings are
    relative to `folder` (default: the folder of `path`). `chosen` is from `parse_columns`. A row that repeats another
    row is noted and left out. Raises SourceError that lists the faulty rows.
    """
    known: list[_Row] = []
    problems = []
    for line, row in rows:
        try:
            known.append(_known(line, row, chosen))
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    names = [row.named["audio_filepath"] for row in known if isinstance(row.named["audio_filepath"], str)]
    found = recordings.find_all(filter(None, names), folder or path.parent)
    timed = [(audio, row.times) for row in known if row.times and isinstance(audio := _found(row, found), Path)]
    columns = dict.fromkeys(row.columns[field] for row in known for field in row.times)
    try:
        unit = common_unit(timed, list(columns))
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    splits: Splits = defaultdict(list)
    first: dict[str, tuple[int, str, Utterance]] = {}
    for row in known:
        try:
            split, utterance = _utterance(row, _found(row, found), recordings, unit)
            line, other_split, other = first.setdefault(utterance.id, (row.line, split, utterance))
            if line == row.line:
                splits[split].append(utterance)
            elif (other, other_split) == (utterance, split):
                note(
                    "{} row<s> repeat<s|> an earlier row, and <is|are> left out",
                    f"{path}:{row.line} repeats line {line}",
                )
            else:
                raise ValueError(_repetition(row, line, utterance, other))
        except ValueError as error:
            problems.append(f"{path}:{row.line}: {error}")
    if len(splits) > 1 and "" in splits:
        missing = splits[""][0].id
        unnamed = counted("{} row<s> name<s|> no split", len(splits[""]))
        problems.append(f"{path}: {unnamed}, the first is {missing}; fill in the column split")
    raise_problems(problems, SourceError)
    return dict(splits)


def few_values(cells: Sequence[str]) -> bool:
    """Return True if a column repeats a few values, as one of speakers does; False for fewer than four cells."""
    return len(cells) > 3 and 2 * len(set(cells)) <= len(cells)


def _normal(name: str) -> str:
    """Return a column name in lower case with `_` between words: `Start (ms)` and `startMs` are start_ms."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")


def _known(line: int, row: Any, chosen: Mapping[str, str] | None) -> _Row:
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"is a {type(row).__name__}; each row must be an object with a recording and a text")
    columns = fields(row, chosen)
    if "audio_filepath" not in columns:
        raise ValueError(f"names no recording; call that field audio or path; it has: {', '.join(row) or 'nothing'}")
    named = {field: row[column] for field, column in columns.items() if row[column] != ""}
    if "audio_filepath" not in named:
        raise ValueError(f"names no recording: the cell of {columns['audio_filepath']} is empty; fill it in")
    rest = {key: value for key, value in row.items() if key not in columns.values() and value != ""}
    # A column that is not taken, but is called like a field of a manifest, must not become that field.
    kept = {f"source_{key}" if key in (*_FIELDS, *_TIMES) else key: value for key, value in rest.items()}
    units = {column: split_unit(field)[1] for field, column in (chosen or {}).items()}
    times = {}
    for field in _TIMES:
        if named.get(field) is not None:
            column = columns[field]
            unit = units.get(column)
            times[field] = parse_time(field, named[field], split_unit(_normal(column))[1] if unit is None else unit)
    return _Row(line, named, kept, times, columns)


def _found(row: _Row, found: Mapping[str, Path | ValueError]) -> Path | ValueError | None:
    name = row.named["audio_filepath"]
    return found.get(name) if isinstance(name, str) else None


def _utterance(row: _Row, audio: Path | ValueError | None, recordings: Recordings, unit: str) -> tuple[str, Utterance]:
    if isinstance(audio, ValueError):
        raise audio
    named = {key: value for key, value in row.named.items() if key not in ("end", "split")}
    times = {field: time.seconds(unit, audio or Path()) for field, time in row.times.items()}
    if "end" in times and "duration" not in times:
        times["duration"] = times["end"] - times.get("offset", 0.0)
    for field in ("offset", "duration"):
        if field in times:
            named[field] = round(times[field], 6)
    if audio is not None:
        identifier = recordings.identify(audio)
        named["audio_filepath"] = str(audio)
        stated = row.named.get("offset")  # as it is written, if it is in seconds
        offset = f"{times['offset']:.3f}" if "offset" in times and named["offset"] != _number(stated) else stated
        named.setdefault("id", f"{identifier}@{offset}" if offset else identifier)
    return usual_split(str(row.named.get("split") or "")), from_row(row.kept | named, Path())


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _repetition(row: _Row, line: int, utterance: Utterance, other: Utterance) -> str:
    if "id" in row.columns:
        name = row.columns["id"]
        return f"has the id {utterance.id} of line {line}; ids must differ; rename the column {name} if it is no id"
    if utterance.text == other.text:
        return f"repeats {utterance.audio.name} of line {line} with other fields; keep one of these lines"
    others = ", ".join(row.kept)
    times = f", or name the columns of its times with --columns start=…,end=… (not used: {others})" if others else ""
    again = " at this start" if "offset" in row.times else ""
    return f"repeats {utterance.audio.name}{again} of line {line} with another text; keep one of these lines{times}"
