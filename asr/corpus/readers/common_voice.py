"""Mozilla Common Voice: `clips/` beside `train.tsv`, `dev.tsv`, `test.tsv` and `validated.tsv`."""

from pathlib import Path

from asr.corpus.readers.columns import read_rows
from asr.corpus.readers.files import Recordings, SourceError
from asr.corpus.readers.table import named_row, parse
from asr.files import read_text
from asr.utterance import Utterance

NAME = "Common Voice"
_TABLES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}


def recognises(source: Path) -> bool:
    """A language's folder, which has `clips/` and the tables."""
    names = ("validated.tsv", *_TABLES.values())
    return (source / "clips").is_dir() and any((source / name).is_file() for name in names)


def read(source: Path) -> dict[str, list[Utterance]]:
    """The official splits; without them all of `validated.tsv`, undivided."""
    tables = {split: source / name for split, name in _TABLES.items() if (source / name).is_file()}
    recordings = Recordings(source / "clips")
    splits: dict[str, list[Utterance]] = {}
    for split, path in (tables or {"": source / "validated.tsv"}).items():
        content = read_text(path, SourceError)
        (_, header), *rows = parse(path, content, "\t", quoted=False)  # they are written without quoting
        if not {"path", "sentence"} <= set(header):
            raise SourceError(f"{path}:1: must name the columns path and sentence; found: {', '.join(header)}")
        named = [(line, named_row(header, cells)) for line, cells in rows]
        splits[split] = [row for rows in read_rows(path, named, recordings, recordings.folder).values() for row in rows]
    return splits
