"""Hugging Face `audiofolder`: recordings, and `metadata.csv` or `metadata.jsonl` with a column `file_name`."""

from pathlib import Path
from typing import Any

from asr.corpus.manifest import json_rows
from asr.corpus.readers.columns import read_rows
from asr.corpus.readers.files import Recordings, SourceError, matches, split_name
from asr.corpus.readers.table import table_rows
from asr.files import read_text
from asr.utterance import Utterance

NAME = "Hugging Face audiofolder"
_PATTERNS = tuple(f"{folder}metadata.{suffix}" for folder in ("", "*/", "*/*/") for suffix in ("csv", "jsonl"))


def recognises(source: Path) -> bool:
    """A folder with such metadata in it, or in a folder for each split (`train/`, `data/train/`)."""
    return any(_names_files(path) for path in matches(source, *_PATTERNS))


def read(source: Path) -> dict[str, list[Utterance]]:
    """Splits are the folders called after one."""
    recordings = Recordings(source)
    splits: dict[str, list[Utterance]] = {}
    for path in filter(_names_files, matches(source, *_PATTERNS)):
        rows: Any = json_rows(read_text(path, SourceError)) if path.suffix == ".jsonl" else table_rows(path, recordings)
        for split, utterances in read_rows(path, rows, recordings).items():
            own = split or (split_name(path.parent.name) if path.parent != source else "") or ""
            splits.setdefault(own, []).extend(utterances)
    return splits


def _names_files(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return "file_name" in file.readline(10_000)
    except OSError:
        return False
