"""CSV and TSV under the usual column names, with any delimiter; a headerless `audio,text` too."""

import csv
import io
from pathlib import Path
from typing import Any

from asr.corpus.readers.columns import has_audio_and_text, read_rows
from asr.corpus.readers.files import Recordings, SourceError, is_audio, is_file, matches, split_files
from asr.files import read_text
from asr.utterance import Utterance

NAME = "table (CSV or TSV)"
DELIMITERS = "\t|;,"


def recognises(source: Path) -> bool:
    """A `.csv` or `.tsv` file, or a folder with one that has a column for the audio and one for the text."""
    if source.is_file():
        return source.suffix.lower() in (".csv", ".tsv", ".psv")
    return any(_has_header(path) for path in matches(source, "*.csv", "*.tsv"))


def read(source: Path) -> dict[str, list[Utterance]]:
    """One table, or one for each split. Recordings are found beneath the table's folder.

    Columns are found by name (see `columns.py`), a column `split` is followed. A table without header must have two
    columns, recording and text. Raises SourceError that lists every faulty row.
    """
    tables = [source] if source.is_file() else list(filter(_has_header, matches(source, "*.csv", "*.tsv")))
    recordings = Recordings(source if source.is_dir() else source.parent)
    splits: dict[str, list[Utterance]] = {}
    for split, path in split_files(tables).items():
        for own, utterances in read_rows(path, table_rows(path, recordings), recordings).items():
            splits.setdefault(own or split, []).extend(utterances)
    return splits


def table_rows(path: Path, recordings: Recordings) -> list[tuple[int, Any]]:
    """Numbered rows, each a dict by column without empty cells, or a ValueError."""
    text = read_text(path, SourceError)
    header, delimiter = _header(text)
    rows = parse(path, text, delimiter)
    if has_audio_and_text(header):
        rows = rows[1:]
    elif len(header) == 2 and (is_audio(Path(header[0])) or is_file(recordings.find(header[0]))):
        header = ["audio_filepath", "text"]
    else:
        raise SourceError(
            f"{path}:1: no column for the audio and one for the text in: {', '.join(header)}; "
            "its first line must name them, as audio (or path, file, …) and text (or sentence, transcript, …)"
        )
    return [(line, named_row(header, cells)) for line, cells in rows]


def parse(path: Path, text: str, delimiter: str, quoted: bool | None = None) -> list[tuple[int, list[str]]]:
    """Rows with the number of their last line. SourceError names the first line that is no table.

    Where `quoted` is None, quotes are taken as a spreadsheet writes them, unless only their being part of the
    text gives every row as many cells as the first: then they are. With `|` it is the other way round.
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
            raise SourceError(f"{path}: is empty")
        if len({len(cells) for _, cells in rows}) == 1:
            return rows
        readings.append(rows)
    if not readings:
        raise SourceError(str(problem))
    return readings[0]


def named_row(header: list[str], cells: list[str]) -> dict[str, str] | ValueError:
    """Cells that are not empty, by column; a ValueError where a row has more or fewer than the header."""
    if len(cells) != len(header):
        return ValueError(
            f"has {len(cells)} cells where the first line has {len(header)}; put a text that holds the delimiter "
            'in "quotes", and double the quotes within it'
        )
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}


def _header(text: str) -> tuple[list[str], str]:
    """Cells of the first line, and the delimiter that gives it known names or, failing that, most cells."""
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
