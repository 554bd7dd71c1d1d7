"""What the header of a recording tells, without decoding it: whether it can be read, and its duration."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asr.decoders import open_recording
from asr.errors import AudioError, audio_error

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Header:
    """The duration of a recording in seconds, None if only decoding can tell it; or why it cannot be read."""

    seconds: float | None = None
    sample_rate: int = 0
    channels: int = 0
    error: str | None = None


def header_of(path: Path) -> Header:
    """Return the header of a recording; its fault is no error here."""
    try:
        state = path.stat()
    except OSError as error:
        return Header(error=str(audio_error(error, str(path))))
    return _header(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=100_000)
def _header(path: Path, changed: int, size: int) -> Header:
    """Return the header of a file as it was at the time `changed`, with `size` bytes."""
    try:
        with open_recording(path) as recording:
            return Header(recording.seconds, recording.sample_rate, recording.channels)
    except AudioError as error:
        return Header(error=str(error))
    except Exception as error:
        return Header(error=str(audio_error(error, str(path))))


def seconds_of(path: Path) -> float | None:
    """Return the duration of a recording; decode it if its header does not state it. None if it cannot be read."""
    found = header_of(path)
    if found.seconds is None and found.error is None:
        state = path.stat()
        return _decoded_seconds(path, state.st_mtime_ns, state.st_size)
    return found.seconds


@lru_cache(maxsize=10_000)
def _decoded_seconds(path: Path, changed: int, size: int) -> float | None:
    try:
        with open_recording(path, salvage=True) as recording:
            return recording.frames() / recording.sample_rate
    except AudioError as error:
        _log.warning("%s", error)
        return None
