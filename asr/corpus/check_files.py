"""Every recording of a corpus inspected once, in parallel processes, and remembered beside the manifests."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from asr.corpus.check_audio import Figures, Inspection, Part, inspect_file
from asr.progress import ProgressBar
from asr.utterance import Utterance

_FORMAT = 2  # of the cache; another one is read as empty
_SMALL = 50  # files, or as many 0.5 MB, that are not worth a second process

Key = tuple[Path, Part]


def inspect_files(lines: Iterable[tuple[Path, Utterance]]) -> list[Inspection]:
    """Inspects the audio of each `(manifest, utterance)`; a file is decoded once for all its parts.

    Recordings that were read the last time, and have kept size and time of change, are taken from
    `MANIFEST.checked`, which is renewed, also when this is interrupted. Where it cannot be written, all are read anew.
    """
    wanted: dict[Path, set[Key]] = defaultdict(set)
    keys: list[Key] = []
    for manifest, utterance in lines:
        keys.append((utterance.audio, (utterance.offset, utterance.duration)))
        wanted[manifest].add(keys[-1])
    done: dict[Key, Inspection] = {}
    for manifest, own in wanted.items():
        done |= _remembered(manifest, own)
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
                _remember(manifest, {key: done[key] for key in own & done.keys()})
    return [done[key] for key in keys]


def _in_parallel(missing: dict[Path, list[Part]]) -> Iterable[tuple[Path, list[Inspection]]]:
    megabytes = sum(stamp[0] for path in missing if (stamp := _stamp(path))) / 1e6
    jobs = min(cpu_count(), len(missing), 1 + int((len(missing) + 2 * megabytes) / _SMALL))
    results: Iterable[tuple[Path, list[Inspection]]] = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_inspect)(path, parts) for path, parts in missing.items()
    )
    return results


def _inspect(path: Path, parts: Sequence[Part]) -> tuple[Path, list[Inspection]]:
    return path, inspect_file(path, parts)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns


def _cache(manifest: Path) -> Path:
    return manifest.with_name(manifest.name + ".checked")


def _row(manifest: Path, key: Key) -> list[object]:
    path, (offset, duration) = key
    stamp = _stamp(path)
    return [os.path.relpath(path, manifest.parent), *(stamp or (0, 0)), offset, duration]


def _remembered(manifest: Path, keys: set[Key]) -> dict[Key, Inspection]:
    found: dict[str, Inspection] = {}
    try:
        with _cache(manifest).open(encoding="utf-8") as file:
            if json.loads(next(file)) != {"format": _FORMAT}:
                return {}
            for line in file:
                key, figures = json.loads(line)
                found[json.dumps(key)] = Inspection(Figures(**figures))
    except (OSError, StopIteration, ValueError, TypeError):  # none there, or not ours: everything is inspected anew
        return {}
    rows = {key: json.dumps(_row(manifest, key)) for key in keys}
    return {key: found[row] for key, row in rows.items() if row in found}


def _remember(manifest: Path, inspections: dict[Key, Inspection]) -> None:
    draft = _cache(manifest).with_name(_cache(manifest).name + ".part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"format": _FORMAT}) + "\n")
            for key, result in inspections.items():
                if result.figures:  # a file that failed is tried again
                    file.write(json.dumps([_row(manifest, key), asdict(result.figures)]) + "\n")
        draft.replace(_cache(manifest))
    except OSError:
        with suppress(OSError):
            draft.unlink()
