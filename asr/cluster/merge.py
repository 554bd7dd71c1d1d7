"""Finished shards -> one manifest with hypotheses, and one of the lines that failed."""

import json
import os
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path
from typing import Any

from asr.cluster.folder import ERRORS_FILE, JOB_FILE, BulkFolder
from asr.corpus.manifest import relative_path
from asr.errors import AsrError
from asr.files import require_file, to_json, whole_file

_MARK = b'"error": '  # in every row that failed, and in few other rows


def failed_rows(folder: BulkFolder) -> Iterator[bytes]:
    """Yield the rows of finished shards that failed, in the order of the input, as lines."""
    for number in folder.numbers:
        if folder.file(number).exists():
            for place, line in _lines(folder.file(number)):
                if _MARK in line and _has_failed(_row(place, line)):
                    yield line


def write_errors(folder: BulkFolder) -> int:
    """Write `errors.jsonl`, the failed lines of all finished shards, and count them; without any, remove the file.

    Raises OutputError if the file cannot be written.
    """
    with folder.writing(ERRORS_FILE) as path:  # so that the last process to write has seen all shards
        number = 0
        with whole_file(path) as file:
            for row in failed_rows(folder):
                file.write(row)
                number += 1
        if not number:
            path.unlink()
        return number


def merge(folder: BulkFolder, path: Path) -> tuple[int, int]:
    """Write the manifest of all lines with a hypothesis, in the order of the input, whole or not at all.

    It is what `asr transcribe -o NAME.jsonl` writes of the whole input. Audio paths are relative to its folder. Returns
    the numbers of lines with a hypothesis, and of lines that failed. Raises AsrError if shards are missing, OutputError
    if the file cannot be written.
    """
    _require_complete(folder)
    reserved = [folder.path / JOB_FILE, folder.path / ERRORS_FILE, *map(folder.file, folder.numbers)]
    if path.suffix != ".jsonl" or path.absolute() in [one.absolute() for one in reserved]:
        raise AsrError(f"--merge {path}: must be a new manifest NAME.jsonl, and no file of {folder.path} itself")
    require_file(path)
    written = failed = 0
    with whole_file(path) as file:
        for number in folder.numbers:
            for place, line in _lines(folder.file(number)):
                row = _row(place, line)
                if _has_failed(row):
                    failed += 1
                    continue
                audio = Path(os.path.normpath(folder.path / row["audio_filepath"]))
                file.write(f"{to_json(row | {'audio_filepath': relative_path(audio, path.parent)})}\n".encode())
                written += 1
    return written, failed


def ranges(numbers: list[int]) -> str:
    """Return ascending numbers with their ranges: `1, 3-7`."""
    runs = groupby(zip(numbers, count(), strict=False), key=lambda pair: pair[0] - pair[1])
    bounds = [[number for number, _ in run] for _, run in runs]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in bounds)


def _require_complete(folder: BulkFolder) -> None:
    if missing := folder.unfinished():
        done = len(folder.numbers) - len(missing)
        there = (
            f"; or take the {done} shards that are there: cat {folder.path}/shard-*.jsonl > {folder.path}/part.jsonl"
            if done
            else ""
        )
        raise AsrError(
            f"{folder.path}: {len(missing)} of {len(folder.numbers)} shards are missing: {ranges(missing)}; transcribe "
            f"them{there}"
        )


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of a finished shard, each with its place. Raises AsrError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path}:{number}", line
    except OSError as error:
        raise AsrError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None


def _row(place: str, line: bytes) -> dict[str, Any]:
    """Parse a row. Raises AsrError for a shard that was changed."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("audio_filepath"), str):
        raise AsrError(f"{place}: is no row of a manifest; remove this shard, and transcribe it again")
    return row


def _has_failed(row: dict[str, Any]) -> bool:
    return "error" in row and "hypothesis" not in row
