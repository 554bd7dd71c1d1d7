"""Reader of Mozilla Common Voice: `clips/` beside `train.tsv`, `dev.tsv`, `test.tsv` and `validated.tsv`."""

from pathlib import Path

from asr.corpus.readers.columns import read_rows
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import source_text
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.table import named_row, parse

_TABLES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}


def recognises(source: Path) -> bool:
    """Return True for the folder of a language, with `clips/` and at least one of the tables."""
    names = ("validated.tsv", *_TABLES.values())
    return (source / "clips").is_dir() and any((source / name).is_file() for name in names)


def read(source: Path) -> Splits:
    """Read the official splits or, if there are none, all of `validated.tsv` as one undivided list."""
    tables = {split: source / name for split, name in _TABLES.items() if (source / name).is_file()}
    recordings = Recordings(source / "clips")
    splits: Splits = {}
    for split, path in (tables or {"": source / "validated.tsv"}).items():
        # Releases differ: a quote is part of the text, but some texts are in quotes, and their own quotes are doubled.
        (_, header), *rows = parse(path, source_text(path), "\t", quoted=False)
        if not {"path", "sentence"} <= set(header):
            raise SourceError(
                f"{path}:1: has the columns {', '.join(header)[:300]}, but not both of path and sentence; "
                "download the corpus again"
            )
        named = [(line, named_row(header, [_unquoted(cell) for cell in cells])) for line, cells in rows]
        splits[split] = [row for rows in read_rows(path, named, recordings, recordings.folder).values() for row in rows]
    return splits


READER = Reader("Common Voice", recognises, read)


def _unquoted(cell: str) -> str:
    """Return the text of a cell in quotes whose own quotes are doubled; any other cell as it is."""
    inside = cell[1:-1]
    if len(cell) < 2 or cell[0] + cell[-1] != '""' or '""' not in inside or '"' in inside.replace('""', ""):
        return cell
    return inside.replace('""', '"')
