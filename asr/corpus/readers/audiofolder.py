"""Reader of Hugging Face `audiofolder`: recordings with `metadata.csv` or `metadata.jsonl`, column `file_name`."""

from pathlib import Path
from typing import Any

from asr.corpus.manifest import json_rows
from asr.corpus.readers.columns import read_rows
from asr.corpus.readers.files import matches, split_name
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import first_text, source_text
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.table import table_rows

_PATTERNS = tuple(f"{folder}metadata.{suffix}" for folder in ("", "*/", "*/*/") for suffix in ("csv", "jsonl"))


def recognises(source: Path) -> bool:
    """Return True for a folder with metadata files in it, or in one folder per split (`train/`, `data/train/`)."""
    return any(_is_metadata(path) for path in matches(source, *_PATTERNS))


def read(source: Path) -> Splits:
    """Read the metadata files; a folder named after a split holds that split."""
    recordings = Recordings(source)
    splits: Splits = {}
    for path in filter(_is_metadata, matches(source, *_PATTERNS)):
        rows: Any = json_rows(source_text(path)) if path.suffix == ".jsonl" else table_rows(path, recordings)
        for split, utterances in read_rows(path, rows, recordings).items():
            folder_split = split_name(path.parent.name) if path.parent != source else ""
            splits.setdefault(split or folder_split or "", []).extend(utterances)
    return splits


READER = Reader("Hugging Face audiofolder", recognises, read)


def _is_metadata(path: Path) -> bool:
    return "file_name" in first_text(path).partition("\n")[0]
