"""Reader of CSV and TSV tables with the usual column names, any delimiter, or two columns without a header."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr.corpus.manifest import relative_path
from asr.corpus.readers.columns import fields, has_audio_and_text, parse_columns, read_rows
from asr.corpus.readers.files import SourceError, is_audio, is_file, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import first_text, read_each, source_text
from asr.corpus.readers.recordings import Recordings
from asr.utterance import Utterance

DELIMITERS = "\t|;,"
_SUFFIXES = (".csv", ".tsv", ".psv", ".tab")
_SEPARATOR = re.compile(r'"?sep=(.)"?[;,\t ]*(?:\r\n|\n|\r)')  # the first line that Excel reads and writes


def recognises(source: Path) -> bool:
    """Return True for a `.csv`, `.tsv` or `.psv` file, or a folder with a table of recordings, or one for each."""
    if source.is_file():
        return source.suffix.lower() in _SUFFIXES
    paths = candidates(source)
    return any(map(_has_header, paths)) or bool(_tables_of_recordings(paths, Recordings(source)))


def read(source: Path, *, columns: str | None = None) -> Splits:
    """Read one table, or one table per split.

    Columns are found by name (see `columns.py`), or named by `columns`: `file=Filename,text=Orthography`, also by
    number in a table without a header. A column `split` divides the utterances. Without `columns`, a table without a
    header must have two columns, recording and text. Recordings are found at any depth below the folder of the table.
    A table with texts and times, and the name of a recording, holds the segments of that recording. Raises SourceError
    that lists every faulty row.
    """
    chosen = None if columns is None else parse_columns(columns)
    if source.is_file():
        tables = [source]
    else:
        tables = [path for path in candidates(source) if _has_header(path, chosen)]
        if not tables and chosen and (alone := candidates(source)):
            tables = alone[:1]  # its error says which columns it has
    recordings = Recordings(source if source.is_dir() else source.parent)
    segments = {} if chosen else _tables_of_recordings([source] if source.is_file() else candidates(source), recordings)
    if segments and (source.is_file() or not tables):
        files = read_each(segments, lambda path: _segments(path, segments[path], recordings))
        return {"": [utterance for file in files for utterance in file]}
    splits: Splits = {}
    for file_split, path in split_files(tables).items():
        rows = table_rows(path, recordings, chosen)
        for split, utterances in read_rows(path, rows, recordings, chosen=chosen).items():
            splits.setdefault(split or file_split, []).extend(utterances)
    return splits


READER = Reader(
    "table (CSV or TSV)", recognises, read, accepts=lambda source: bool(candidates(source)), tracks_files=True
)


def candidates(source: Path) -> list[Path]:
    """Return the files of a folder that may be tables."""
    return matches(source, *(f"*{suffix}" for suffix in _SUFFIXES), "*.txt")


def _tables_of_recordings(paths: list[Path], recordings: Recordings) -> dict[Path, Path]:
    """Return the tables with texts and times but no names of recordings, and the recording that each is named after."""
    found = {}
    timed = []
    for path in paths:
        known = fields(read_header(first_text(path))[0])
        if "audio_filepath" not in known and {"text", "offset"} <= known.keys() and {"end", "duration"} & known.keys():
            timed.append(path)
    for path, (recording, _) in recordings.pair(timed).items() if timed else ():
        if isinstance(recording, Path):
            found[path] = recording
    return found


def _segments(path: Path, recording: Path, recordings: Recordings) -> list[Utterance]:
    text = source_text(path)
    header, delimiter = read_header(text)
    audio = {"audio_filepath": relative_path(recording, path.parent)}
    rows: list[tuple[int, Any]] = []
    for line, cells in parse(path, text, delimiter)[1:]:
        row = named_row(header, cells)
        rows.append((line, row if isinstance(row, ValueError) else row | audio))
    return [utterance for split in read_rows(path, rows, recordings).values() for utterance in split]


def table_rows(path: Path, recordings: Recordings, chosen: Mapping[str, str] | None = None) -> list[tuple[int, Any]]:
    """Return the rows with their line numbers, each a dict by column, or a ValueError.

    `chosen` is from `parse_columns`. Raises SourceError for a table without known columns.
    """
    text = source_text(path)
    header, delimiter = read_header(text, chosen)
    rows = parse(path, text, delimiter)
    by_number = chosen is not None and all(column.isdigit() and column not in header for column in chosen.values())
    if has_audio_and_text(header, chosen) and (chosen is None or set(chosen.values()) <= set(header)):
        rows = rows[1:]
    elif chosen and by_number:
        header = [str(number + 1) for number in range(max(len(cells) for _, cells in rows))]
        if beyond := [column for column in chosen.values() if column not in header]:
            raise SourceError(f"{path}: has {len(header)} columns, but --columns names column {beyond[0]}; correct it")
        return [(line, named_row(header, cells + [""] * (len(header) - len(cells)))) for line, cells in rows]
    elif not chosen and len(header) == 2 and (is_audio(Path(header[0])) or is_file(_find(recordings, header[0]))):
        header = ["audio_filepath", "text"]
    else:
        named = f", as --columns {','.join(f'{field}={column}' for field, column in chosen.items())}" if chosen else ""
        raise SourceError(
            f"{path}:1: no column for the recordings and one for the texts in: {', '.join(header)[:300]}{named}; "
            "the first line must name them: audio (or path, file, …) and text (or sentence, transcript, …); "
            f"or name them: {suggest_columns(header, rows, recordings)}"
        )
    return [(line, named_row(header, cells)) for line, cells in rows]


def parse(path: Path, text: str, delimiter: str, quoted: bool | None = None) -> list[tuple[int, list[str]]]:
    """Split a table into rows of cells, each with the number of its last line.

    `quoted` says whether quotes enclose a cell, as spreadsheets write them, or are part of the text. If it is None,
    both readings are tried and the first that gives all rows equally many cells is taken: quotes that enclose cells
    first, but last if the delimiter is `|`. If neither does, the reading tried first is taken. Raises SourceError that
    names the first line that is not a row.
    """
    orders = [quoted] if quoted is not None else [True, False] if delimiter != "|" else [False, True]
    readings, problem = [], None
    separator = _SEPARATOR.match(text)
    skipped = 1 if separator else 0
    text = text[separator.end() :] if separator else text
    for order in orders:
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if order else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            rows = [(reader.line_num + skipped, cells) for cells in reader if any(cell.strip() for cell in cells)]
        except csv.Error as error:
            line = reader.line_num + skipped
            problem = problem or f"{path}:{line}: {error}; export the table again as CSV with quotes"
            continue
        if not rows:
            raise SourceError(f"{path}: is empty; export the table again")
        if len({len(cells) for _, cells in rows}) == 1:
            return rows
        readings.append(rows)
    if not readings:
        raise SourceError(str(problem))
    return readings[0]


def named_row(header: list[str], cells: list[str]) -> dict[str, str] | ValueError:
    """Return the cells by column; a ValueError if the row and the header differ in length.

    Empty cells at the end of a row do not count, nor do cells of a column without a name.
    """
    while len(cells) > len(header) and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) != len(header):
        return ValueError(
            f"has {len(cells)} cells, but the first line has {len(header)}; put a text that holds the delimiter "
            'in "quotes", and double the quotes inside it'
        )
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name}


def read_header(text: str, chosen: Mapping[str, str] | None = None) -> tuple[list[str], str]:
    """Return the cells of the first line, and the delimiter that gives known column names or else the most cells."""
    separator = _SEPARATOR.match(text)
    first = next(filter(str.strip, io.StringIO(text[separator.end() if separator else 0 :])), "").strip("\r\n")
    delimiters = separator[1] if separator else [delimiter for delimiter in DELIMITERS if delimiter in first] or ","
    headers = [(_cells(first, delimiter), delimiter) for delimiter in delimiters]
    return max(headers, key=lambda found: (has_audio_and_text(found[0], chosen), len(found[0])))


def suggest_columns(header: list[str], rows: list[tuple[int, list[str]]], recordings: Recordings) -> str:
    """Return the `--columns` that fit the cells: names of recordings, and the longest texts that differ."""
    sample = [cells for _, cells in rows[1:21] or rows]
    columns = {
        name: [cells[place].strip() for cells in sample if place < len(cells)] for place, name in enumerate(header)
    }
    found = {name: sum(is_file(_find(recordings, cell)) for cell in cells if cell) for name, cells in columns.items()}
    file = max(found, key=lambda name: found[name])
    others = {name: cells for name, cells in columns.items() if name != file and name}
    if not found[file] or not others:
        return "--columns file=…,text=…"
    text = max(others, key=lambda name: (len(set(others[name])), sum(map(len, others[name]))))
    if is_file(_find(recordings, file)):  # the first line is no header
        return f"--columns file={header.index(file) + 1},text={header.index(text) + 1}"
    return f"--columns {_quoted(f'file={file},text={text}')}"


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w=,.-]+", value) else f"'{value}'"


def _find(recordings: Recordings, name: str) -> Path:
    try:
        return recordings.find(name)
    except ValueError:  # several recordings have the name
        return recordings.folder / name


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return [line.strip()]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _has_header(path: Path, chosen: Mapping[str, str] | None = None) -> bool:
    """Return True if the first line names recordings and texts, in any encoding; its reading says what is wrong."""
    text = first_text(path)
    return bool(text) and has_audio_and_text(read_header(text, chosen)[0], chosen)
