"""Inspection of all recordings of a corpus, in parallel processes, with a cache beside each manifest."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from asr.corpus.check_audio import Figures, Inspection, Part, inspect_file
from asr.corpus.manifest import relative_path
from asr.files import write_whole
from asr.progress import ProgressBar
from asr.utterance import Utterance

_FORMAT = 2  # version of the cache; a cache of another version is ignored
_FILES_PER_PROCESS = 50  # files, where each 0.5 MB counts as one more file; a new process is not worth less

Key = tuple[Path, Part]


def inspect_files(lines: Iterable[tuple[Path, Utterance]]) -> list[Inspection]:
    """Inspect the audio of each `(manifest, utterance)`; a file is decoded once for all its parts.

    The results of files with unchanged size and time of change come from the cache `MANIFEST.checked`. The cache is
    rewritten at the end, also after an interruption. If it cannot be written, all files are read again the next time.
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
        delayed(_inspect)(path, parts) for path, parts in missing.items()
    )
    return results


def _inspect(path: Path, parts: Sequence[Part]) -> tuple[Path, list[Inspection]]:
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
    found: dict[str, Inspection] = {}
    try:
        with _cache_path(manifest).open(encoding="utf-8") as file:
            if json.loads(next(file)) != {"format": _FORMAT}:
                return {}
            for line in file:
                key, figures = json.loads(line)
                found[json.dumps(key)] = Inspection(Figures(**figures))
    except (OSError, StopIteration, ValueError, TypeError):  # no cache, or a damaged one
        return {}
    rows = {key: json.dumps(_row(manifest, key)) for key in keys}
    return {key: found[row] for key, row in rows.items() if row in found}


def _save_cache(manifest: Path, inspections: dict[Key, Inspection]) -> None:
    rows: list[object] = [{"format": _FORMAT}]
    for key, result in inspections.items():
        if result.figures:  # a faulty file is read again the next time
            rows.append([_row(manifest, key), asdict(result.figures)])
    with suppress(OSError):
        write_whole(_cache_path(manifest), "".join(json.dumps(row) + "\n" for row in rows).encode())
