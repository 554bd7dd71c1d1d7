"""Reader of Mozilla Common Voice: `clips/` beside `train.tsv`, `dev.tsv`, `test.tsv` and `validated.tsv`."""

from pathlib import Path

from asr.corpus.readers.columns import read_rows
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.table import named_row, parse
from asr.files import read_text

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
        content = read_text(path, SourceError)
        (_, header), *rows = parse(path, content, "\t", quoted=False)  # a quote is part of the text here
        if not {"path", "sentence"} <= set(header):
            raise SourceError(
                f"{path}:1: has the columns {', '.join(header)}, but not both of path and sentence; "
                "download the corpus again"
            )
        named = [(line, named_row(header, cells)) for line, cells in rows]
        splits[split] = [row for rows in read_rows(path, named, recordings, recordings.folder).values() for row in rows]
    return splits


READER = Reader("Common Voice", recognises, read)
