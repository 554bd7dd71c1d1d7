"""Reader of CSV and TSV tables with the usual column names, any delimiter, or two columns without a header."""

import csv
import io
from pathlib import Path
from typing import Any

from asr.corpus.readers.columns import has_audio_and_text, read_rows
from asr.corpus.readers.files import SourceError, is_audio, is_file, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.files import read_text

DELIMITERS = "\t|;,"


def recognises(source: Path) -> bool:
    """Return True for a `.csv`, `.tsv` or `.psv` file, or a folder with a table of recordings and texts."""
    if source.is_file():
        return source.suffix.lower() in (".csv", ".tsv", ".psv")
    return any(_has_header(path) for path in matches(source, "*.csv", "*.tsv"))


def read(source: Path) -> Splits:
    """Read one table, or one table per split.

    Columns are found by name (see `columns.py`); a column `split` divides the utterances. A table without a header must
    have two columns, recording and text. Recordings are found at any depth below the folder of the table. Raises
    SourceError that lists every faulty row.
    """
    tables = [source] if source.is_file() else list(filter(_has_header, matches(source, "*.csv", "*.tsv")))
    recordings = Recordings(source if source.is_dir() else source.parent)
    splits: Splits = {}
    for file_split, path in split_files(tables).items():
        for split, utterances in read_rows(path, table_rows(path, recordings), recordings).items():
            splits.setdefault(split or file_split, []).extend(utterances)
    return splits


READER = Reader("table (CSV or TSV)", recognises, read)


def table_rows(path: Path, recordings: Recordings) -> list[tuple[int, Any]]:
    """Return the rows with their line numbers, each a dict by column without empty cells, or a ValueError."""
    text = read_text(path, SourceError)
    header, delimiter = _header(text)
    rows = parse(path, text, delimiter)
    if has_audio_and_text(header):
        rows = rows[1:]
    elif len(header) == 2 and (is_audio(Path(header[0])) or is_file(recordings.find(header[0]))):
        header = ["audio_filepath", "text"]
    else:
        raise SourceError(
            f"{path}:1: no column for the recordings and one for the texts in: {', '.join(header)}; "
            "the first line must name them: audio (or path, file, …) and text (or sentence, transcript, …)"
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
    for order in orders:
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if order else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
        except csv.Error as error:
            problem = problem or f"{path}:{reader.line_num}: {error}; export the table again as CSV with quotes"
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
    """Return the cells that are not empty, by column; a ValueError if the row and the header differ in length."""
    if len(cells) != len(header):
        return ValueError(
            f"has {len(cells)} cells, but the first line has {len(header)}; put a text that holds the delimiter "
            'in "quotes", and double the quotes inside it'
        )
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}


def _header(text: str) -> tuple[list[str], str]:
    """Return the cells of the first line, and the delimiter that gives known column names or else the most cells."""
    first = next(filter(str.strip, io.StringIO(text)), "").strip()
    headers = [(_cells(first, delimiter), delimiter) for delimiter in DELIMITERS]
    return max(headers, key=lambda found: (has_audio_and_text(found[0]), len(found[0])))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return [line]


def _has_header(path: Path) -> bool:
    try:
        return has_audio_and_text(_header(read_text(path, SourceError))[0])
    except SourceError:
        return False
