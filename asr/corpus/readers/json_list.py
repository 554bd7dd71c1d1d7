"""Reader of NeMo manifests, other JSON Lines, and JSON lists of objects, with the usual field names."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asr.corpus.manifest import json_rows, parse_json
from asr.corpus.readers.columns import fields, read_rows
from asr.corpus.readers.files import SourceError, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import first_text, source_text
from asr.corpus.readers.recordings import Recordings

_PATTERNS = ("*.jsonl", "*.json", "*.ndjson")


def recognises(source: Path) -> bool:
    """Return True for a `.json` or `.jsonl` file, or a folder with such files that name recordings."""
    if source.is_file():
        return f"*{source.suffix.lower()}" in _PATTERNS
    return any(_names_recordings(path) for path in matches(source, *_PATTERNS))


def read(source: Path) -> Splits:
    """Read one file, or one file per split. Raises SourceError that lists every faulty row."""
    lists = [source] if source.is_file() else list(filter(_names_recordings, matches(source, *_PATTERNS)))
    recordings = Recordings(source if source.is_dir() else source.parent)
    splits: Splits = {}
    for file_split, path in split_files(lists).items():
        for split, utterances in read_rows(path, _rows(path), recordings).items():
            splits.setdefault(split or file_split, []).extend(utterances)
    return splits


READER = Reader("JSON list (NeMo manifest)", recognises, read, tracks_files=True)


def _rows(path: Path) -> Iterable[tuple[int, Any]]:
    """Return the rows with their line numbers, or with their positions in a JSON list."""
    text = source_text(path)
    if not text.lstrip().startswith("["):
        return json_rows(text)
    try:
        return enumerate(parse_json(text), start=1)
    except ValueError as error:
        raise SourceError(f"{path}: begins like a JSON list, but is not JSON ({error}); export it again") from None


def _names_recordings(path: Path) -> bool:
    return "audio_filepath" in fields(re.findall(r'"(\w+)"\s*:', first_text(path)))
