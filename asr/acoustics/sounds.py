"""The recordings of a folder, read once, in bounded memory: noise to mix, or responses of rooms."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from asr.audio import AUDIO_SUFFIXES, load_audio, to_int16
from asr.decoders import open_recording
from asr.errors import AudioError, ConfigError
from asr.wording import counted

T = TypeVar("T")
_PART = 20.0  # seconds of a part, at most: a recording is never in memory as a whole at its own rate
_LEAST = 10.0  # seconds of a recording that are worth reading
_NAMED = 3  # files that are named one by one before the rest are counted


@dataclass(frozen=True, slots=True)
class Sounds:
    """Recordings that were read: of each its parts, int16 `(N,)`, at one sample rate; `facts` say what was read."""

    recordings: tuple[tuple[np.ndarray, ...], ...]
    facts: str


def find_recordings(folder: str | Path, setting: str) -> list[Path]:
    """Return the recordings in a folder and in all folders in it, in the order of their names; or one recording.

    Files whose suffix is not that of a recording, and hidden files, are passed over. Raises ConfigError, which begins
    with the `setting` that names the folder, if there is no folder or no recording in it.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ConfigError(f"{setting}: {folder}: no such folder; name a folder of recordings")
    inside = [path for path in folder.rglob("*") if not path.name.startswith(".") and path.is_file()]
    found = [path for path in inside if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        others = sorted(path.name for path in inside)[:_NAMED]
        holds = f"holds no recording, but {', '.join(others)}" if others else "is empty"
        raise ConfigError(f"{setting}: {folder}: {holds}; put recordings ({', '.join(AUDIO_SUFFIXES[:5])} …) into it")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the items, evenly spaced."""
    return [items[index * len(items) // most] for index in range(most)] if len(items) > most else list(items)


def read_sounds(folder: str | Path, sample_rate: int, *, setting: str, seconds: float) -> Sounds:
    """Read at most `seconds` of the recordings of a folder, at `sample_rate` Hz, in parts of at most 20 s.

    If the recordings are longer together, all of them get an equal limit, so that a long one does not displace the
    others. The parts of a recording above the limit are evenly spaced. If the limit would be under 10 s, fewer
    recordings are read, also evenly spaced.

    Raises ConfigError, which begins with the `setting` that names the folder, for a folder without recordings, for a
    recording that cannot be read, and for one that is silent.
    """
    paths = find_recordings(folder, setting)
    chosen = evenly(paths, max(1, int(seconds / _LEAST)))
    try:
        lengths = [_seconds(path) for path in chosen]
        limit = _limit(lengths, seconds)
        recordings = tuple(
            tuple(_parts(path, length, limit, sample_rate)) for path, length in zip(chosen, lengths, strict=True)
        )
    except AudioError as error:
        raise ConfigError(f"{setting}: {error}; or take the file out of {folder}") from None
    for path, parts in zip(chosen, recordings, strict=True):
        if not any(part.any() for part in parts):
            raise ConfigError(f"{setting}: {path}: is silent, all samples are 0; take the file out of {folder}")
    used = sum(len(part) for parts in recordings for part in parts) / sample_rate / 60
    facts = f"{counted('{} recording<s>', len(chosen))} of {folder}, {used:.1f} min"
    if len(chosen) < len(paths):
        facts += f"; {len(paths)} are there, every {len(paths) / len(chosen):.1f}th is used"
    if any(length > limit for length in lengths):
        facts += f"; of each at most {limit:.0f} s are used, from all of its parts"
    return Sounds(recordings, facts)


def _seconds(path: Path) -> float:
    with open_recording(path) as recording:
        return recording.seconds or recording.frames() / recording.sample_rate


def _limit(lengths: Sequence[float], seconds: float) -> float:
    """Return the seconds of one recording at which recordings of these `lengths` have `seconds` together."""
    left, limit = seconds, max(lengths)
    if sum(lengths) <= seconds:
        return limit
    for number, length in enumerate(sorted(lengths)):
        limit = left / (len(lengths) - number)
        if length > limit:
            break
        left -= length
    return limit


def _parts(path: Path, length: float, limit: float, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield the parts of a recording of `length` seconds: all of it, or evenly spaced parts of `limit` seconds."""
    used = min(length, limit)
    count = math.ceil(used / _PART)
    with open_recording(path) as recording:
        for number in range(count):
            part = load_audio(
                recording,
                sample_rate,
                offset=number * length / count,
                duration=used / count,
                channel="mix",
                allow_short=True,
            )
            yield to_int16(part)
