"""Inspection of all recordings of a corpus, in parallel processes, with a cache for each manifest."""

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from asr.corpus.cache import cached
from asr.corpus.check_audio import Figures, Inspection, Part, inspect_file
from asr.corpus.manifest import relative_path
from asr.files import write_whole
from asr.progress import ProgressBar
from asr.utterance import Utterance

_FORMAT = 4  # version of the cache; a cache of another version is ignored
_FILES_PER_PROCESS = 50  # files, where each 0.5 MB counts as one more file; a new process is not worth less

_START = f'{{"format": {_FORMAT}, "sha256": "'.encode()
logger = logging.getLogger(__name__)

Key = tuple[Path, Part]


def inspect_files(lines: Iterable[tuple[Path, Utterance]]) -> list[Inspection]:
    """Inspect the audio of each `(manifest, utterance)`; a file is decoded once for all its parts.

    The results of files with unchanged size and time of change come from the cache `MANIFEST.checked`, beside the
    manifest or in the folder that `cached` chooses. The cache is rewritten at the end, also after an interruption. A
    cache that is damaged is logged and made anew. If it cannot be written, all files are read again the next time.
    """
    wanted: dict[Path, set[Key]] = defaultdict(set)
    keys: list[Key] = []
    for manifest, utterance in lines:
        keys.append((utterance.audio, (utterance.offset, utterance.duration)))
        wanted[manifest].add(keys[-1])
    done: dict[Key, Inspection] = {}
    for manifest, own in wanted.items():
        done |= _load_cache(manifest, own)
    missing: dict[Path, list[Part]] = defaultdict(list)
    for path, part in sorted(set().union(*wanted.values()) - done.keys(), key=repr):
        missing[path].append(part)
    if missing:
        try:
            with ProgressBar("checking", len(missing)) as bar:
                for path, inspections in _in_parallel(missing):
                    done.update(((path, part), result) for part, result in zip(missing[path], inspections, strict=True))
                    bar.advance()
        finally:
            for manifest, own in wanted.items():
                _save_cache(manifest, {key: done[key] for key in own & done.keys()})
    return [done[key] for key in keys]


def _in_parallel(missing: dict[Path, list[Part]]) -> Iterable[tuple[Path, list[Inspection]]]:
    megabytes = sum(state[0] for path in missing if (state := _size_and_time(path))) / 1e6
    jobs = min(cpu_count(), len(missing), 1 + int((len(missing) + 2 * megabytes) / _FILES_PER_PROCESS))
    results: Iterable[tuple[Path, list[Inspection]]] = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_inspect)(Path.cwd(), path, parts) for path, parts in missing.items()
    )
    return results


def _inspect(folder: Path, path: Path, parts: Sequence[Part]) -> tuple[Path, list[Inspection]]:
    os.chdir(folder)  # an earlier call may have started the process in another folder, where paths mean other files
    return path, inspect_file(path, parts)


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns


def _cache_path(manifest: Path) -> Path:
    return manifest.with_name(manifest.name + ".checked")


def _row(manifest: Path, key: Key) -> list[object]:
    path, (offset, duration) = key
    return [relative_path(path, manifest.parent), *(_size_and_time(path) or (0, 0)), offset, duration]


def _load_cache(manifest: Path, keys: set[Key]) -> dict[Key, Inspection]:
    """Return the results for `keys` in the cache of a manifest. Log a cache that is damaged."""
    beside = _cache_path(manifest)
    for path in dict.fromkeys((cached(beside), beside)):
        try:
            head, _, body = path.read_bytes().partition(b"\n")
        except OSError:
            continue
        if head == _head(body):
            found = {
                json.dumps(key): Inspection(Figures(**figures)) for key, figures in map(json.loads, body.splitlines())
            }
            rows = {key: json.dumps(_row(manifest, key)) for key in keys}
            return {key: found[row] for key, row in rows.items() if row in found}
        if head[: len(_START)] == _START or not head.startswith(b'{"format"'):  # else it is of another version
            logger.warning(f"{path}: is damaged; the recordings are checked again")
    return {}


def _head(body: bytes) -> bytes:
    """Return the first line of a cache, which tells its version and a digest of its other lines."""
    return _START + hashlib.sha256(body).hexdigest().encode() + b'"}'


def _save_cache(manifest: Path, inspections: dict[Key, Inspection]) -> None:
    lines = []
    for key, result in inspections.items():
        if result.figures:  # a faulty file is read again the next time, and so is one with figures that are not finite
            with suppress(ValueError):
                lines.append(json.dumps([_row(manifest, key), asdict(result.figures)], allow_nan=False) + "\n")
    body = "".join(lines).encode()
    with suppress(OSError):
        write_whole(cached(_cache_path(manifest)), _head(body) + b"\n", body)
