"""Copies of recordings in the hidden folder: WAV where a browser cannot play the file, or nothing can seek in it."""

import hashlib
import wave
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import numpy as np
import soundfile
import soxr

from asr.containers import container_of, read_head
from asr.decoders import open_recording
from asr.errors import OutputError
from asr.files import whole_file
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.recordings import seconds_of
from asr.serving.workspace.saved import stamp

TYPES = {  # containers that browsers play, and their media types
    "WAV": "audio/wav",
    "MP3": "audio/mpeg",
    "FLAC": "audio/flac",
    "Ogg": "audio/ogg",
    "MP4 or M4A": "audio/mp4",
    "AAC": "audio/aac",
    "Matroska or WebM": "video/webm",
}
_PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW")  # codings in WAV that browsers play
_COUNTED = ("WAV", "RIFX", "RF64", "W64", "AIFF", "CAF", "AU", "NIST SPHERE", "FLAC", "Ogg")  # soundfile seeks in them
_SHORT = 60.0  # seconds that are decoded quickly enough from the beginning
_SEEK_RATE = 16_000  # Hz of a copy to seek in
_LARGEST = 2**32 - 2**20  # bytes of a WAV file
_converting = Lock()


def playable(workspace: Workspace, recording: Path) -> tuple[Path, str]:
    """Return a file that browsers play, the recording or a copy as 16-bit WAV, and its media type.

    Raises AudioError if the recording cannot be decoded, OutputError if the copy cannot be written.
    """
    container = container_of(read_head(recording)) or ""
    if container in TYPES and (container != "WAV" or _coding(recording) in _PLAIN):
        return recording, TYPES[container]
    return _copy(workspace, recording, None), TYPES["WAV"]


def seekable(workspace: Workspace, recording: Path) -> Path:
    """Return a file in which any part is reached quickly: the recording, or a copy as 16-bit WAV of 16 kHz.

    In a folder that cannot be written, it is the recording, which is then decoded from its beginning each time.
    """
    container = container_of(read_head(recording))
    if container in _COUNTED or (seconds_of(recording) or 0.0) <= _SHORT:
        return recording
    try:
        return _copy(workspace, recording, _SEEK_RATE)
    except OutputError:
        return recording


def _coding(recording: Path) -> str:
    try:
        return str(soundfile.info(recording).subtype)
    except (soundfile.LibsndfileError, OSError, TypeError):
        return ""


def _copy(workspace: Workspace, recording: Path, rate: int | None) -> Path:
    """Return the copy of a recording as WAV, of one channel, at `rate` Hz or at its own rate; it is made once."""
    changed, size = stamp(recording)
    key = hashlib.sha256(f"{workspace.identify(recording)}\0{changed}\0{size}\0{rate}".encode()).hexdigest()[:32]
    path = workspace.hidden("audio", f"{key}.wav")
    if not path.is_file():
        with _converting:
            if not path.is_file():
                write_wav(recording, path, rate=rate)
    return path


def write_wav(
    recording: Path, path: Path, *, rate: int | None = None, start: float = 0.0, end: float | None = None
) -> None:
    """Write a recording, or a part of it in seconds, as WAV: 16 bits, one channel, `rate` Hz or its own rate.

    Raises AudioError if it cannot be decoded, OutputError if the file cannot be written.
    """
    with open_recording(recording, salvage=True) as opened:
        rate = rate or opened.sample_rate
        if (opened.seconds or 0.0) * rate * 2 > _LARGEST:
            rate = min(rate, _SEEK_RATE)
        stop = None if end is None else round(end * opened.sample_rate)
        blocks = opened.blocks(round(start * opened.sample_rate), stop)
        with whole_file(path) as file, wave.open(file, "wb") as wav:  # soundfile would hide that a disk is full
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(rate)
            for block in _resampled(blocks, opened.sample_rate, rate):
                wav.writeframesraw(np.round(block.clip(-1.0, 1.0) * 32767).astype("<i2").tobytes())


def _resampled(blocks: Iterator[np.ndarray], before: int, after: int) -> Iterator[np.ndarray]:
    """Yield blocks `(N, channels)` as blocks `(N,)` of one channel at another rate."""
    stream = soxr.ResampleStream(before, after, 1, dtype="float32")
    for block in blocks:
        mono = block.mean(axis=1)
        yield mono if before == after else stream.resample_chunk(mono)
    if before != after:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
