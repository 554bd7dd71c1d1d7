"""Recordings that would take too much memory: many channels at a high rate, which compress to little."""

from pathlib import Path

from asr.decoders import open_recording
from asr.errors import AudioError

_MOST = 3_072_000  # samples of all channels in a second: 16 channels at 192 kHz; two minutes are read at a time


def require_moderate(path: Path) -> None:
    """Raise AudioError for a recording with too many samples a second, or one that cannot be opened."""
    with open_recording(path, salvage=True) as recording:
        rate, channels = recording.sample_rate, recording.channels
    if rate * channels > _MOST:
        raise AudioError(
            f"{path}: has {channels} channels at {rate} Hz; the service takes {_MOST} samples a second of all channels "
            "together; export it with fewer channels, or at 48000 Hz",
            "too dense",
        )
