"""NeMo manifests, other JSON Lines, and plain JSON lists of objects, under the usual field names."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asr.corpus.manifest import json_rows, parse_json
from asr.corpus.readers.columns import fields, read_rows
from asr.corpus.readers.files import Recordings, SourceError, matches, split_files
from asr.files import read_text
from asr.utterance import Utterance

NAME = "JSON list (NeMo manifest)"
_PATTERNS = ("*.jsonl", "*.json", "*.ndjson")


def recognises(source: Path) -> bool:
    """A `.json` or `.jsonl` file, or a folder with some that name recordings."""
    if source.is_file():
        return f"*{source.suffix.lower()}" in _PATTERNS
    return any(_names_recordings(path) for path in matches(source, *_PATTERNS))


def read(source: Path) -> dict[str, list[Utterance]]:
    """One file, or one for each split. Raises SourceError that lists every faulty row."""
    lists = [source] if source.is_file() else list(filter(_names_recordings, matches(source, *_PATTERNS)))
    recordings = Recordings(source if source.is_dir() else source.parent)
    splits: dict[str, list[Utterance]] = {}
    for split, path in split_files(lists).items():
        for own, utterances in read_rows(path, _rows(path), recordings).items():
            splits.setdefault(own or split, []).extend(utterances)
    return splits


def _rows(path: Path) -> Iterable[tuple[int, Any]]:
    """Rows by line, or by their place in a list."""
    text = read_text(path, SourceError)
    if not text.lstrip().startswith("["):
        return json_rows(text)
    try:
        return enumerate(parse_json(text), start=1)
    except ValueError as error:
        raise SourceError(f"{path}: begins like a JSON list and is none ({error})") from None


def _names_recordings(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return "audio_filepath" in fields(re.findall(r'"(\w+)"\s*:', file.read(10_000)))
    except OSError:
        return False
