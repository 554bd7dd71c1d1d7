"""Audio input: any file, array or tensor -> float32 mono samples at a stated rate.

This module does not import torch, so that checking a corpus in many processes stays light. Samples are always rounded
to the 16-bit grid. The samples that training packs as int16 therefore equal the samples that transcription reads from
a file, to the last bit.
"""

import logging
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr

from asr.errors import AudioError

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (  # audio files, then video files
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".sph"),
    *(".m4a", ".aac", ".wma", ".amr", ".3gp", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"),
)
MAX_CHANNELS = 64
MIN_RATE = 1000  # Hz
_BLOCK_VALUES = 2**15  # samples of all channels; damage costs at most one block
_UNKNOWN_DATA_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)  # written by programs that stream a WAV file


def load_audio(
    source: Any,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | Literal["mix"] | None = None,
) -> np.ndarray:
    """Read a recording; return mono samples `(N,)`, float32 in [-1, 1], at `sample_rate` Hz.

    `source` is a path, or an array or tensor of shape `(N,)` or `(channels, N)`. Soundfile reads WAV, FLAC, OGG/Opus
    and MP3 files; ffmpeg, if it is installed, reads all other files. An array needs its rate in `source_rate`. Integer
    arrays are divided by the range of their type.

    `offset` and `duration` (in seconds) select a part. `channel` (counted from 1) selects one channel. Without
    `channel`, all channels are averaged and the log says so; `channel="mix"` averages without a log line.

    Raises AudioError, which names the source and the cure, for a source without usable samples.
    """
    if isinstance(source, str | Path):
        name = str(source)
        samples, source_rate = _read_file(Path(source), offset, duration)
    else:
        name = "array"
        samples = _from_array(source, source_rate)
        if samples.shape[1] > 1 and channel is None:
            raise AudioError(
                f"array: shape {samples.T.shape}: several recordings, or the channels of one? Pass recordings one at a "
                'time, or choose a channel: channel=1, or channel="mix" for the average of all'
            )
        if source_rate is None:
            raise AudioError("array: its sample rate is not known; pass the rate in Hz beside the array")
        samples = _cut(samples, source_rate, offset, duration, name)
    mono = _one_channel(samples, channel, name)
    if not np.isfinite(mono).all():
        first = int(np.flatnonzero(~np.isfinite(mono))[0])
        raise AudioError(f"{name}: sample {first} is not a finite number (NaN or infinity); export the recording again")
    if source_rate != sample_rate:
        mono = soxr.resample(mono, source_rate, sample_rate)
    if len(mono) == 0:
        raise AudioError(f"{name}: holds no samples at {sample_rate} Hz; record or export it again")
    return _to_16_bit_grid(mono, name)


@contextmanager
def seekable(path: Path) -> Iterator[Path]:
    """Give the path of a file that soundfile can read: the recording itself, or a temporary WAV file by ffmpeg.

    Raises AudioError, with its `fault`, for a file that is missing, empty, cut short or not a recording.
    """
    reason = None
    try:
        _require_file(path)
        _require_whole_wav(path)
        soundfile.SoundFile(path).close()
    except soundfile.LibsndfileError as error:
        reason = _reason(error)
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror}; check its permissions") from None
    if reason is None:
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            decoded = Path(folder) / path.name
            _decode_with_ffmpeg(path, decoded, reason)
            yield decoded


@contextmanager
def open_recording(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording of any format for `read_blocks`. Raises AudioError as `seekable` does."""
    with seekable(path) as readable, soundfile.SoundFile(readable) as file:
        if file.frames == 0:
            raise AudioError(f"{path}: has a header and 0 samples; record or export it again", "header only")
        if file.samplerate < MIN_RATE:  # resampling an hour from 1 Hz would fill the memory
            raise AudioError(
                f"{path}: its header states {file.samplerate} Hz, at least {MIN_RATE} Hz are required; export it again"
            )
        yield file


def read_blocks(file: soundfile.SoundFile, path: Path, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Yield samples `start` to `stop` (default: the end) as float32 `(N, channels)` blocks of at most 128 kB.

    Raises AudioError, after the blocks that can be decoded, if the file holds fewer samples than its header promises.
    """
    stop = file.frames if stop is None else stop
    position = start
    try:
        if start:
            file.seek(start)
        while position < stop:
            block = file.read(min(_BLOCK_VALUES // file.channels, stop - position), dtype="float32", always_2d=True)
            if not len(block):
                break
            if not np.isfinite(block).all():
                first = position + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
                raise AudioError(
                    f"{path}: sample {first} is not a finite number (NaN or infinity); export the recording again"
                )
            yield block
            position += len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: damaged: {_reason(error)}; copy it again from its source") from None
    # The length that MP3 and Ogg headers state is not exact, so that up to 0.1 s may be missing.
    if position < stop - file.samplerate // 10:
        raise AudioError(
            f"{path}: truncated: its header promises {stop / file.samplerate:.1f} s, "
            f"{position / file.samplerate:.1f} s can be decoded; copy it again from its source",
            "truncated",
        )


def describe(path: Path) -> tuple[float, int]:
    """Return the duration (s) and the number of channels in a recording's header. Raises AudioError as `seekable`."""
    with open_recording(path) as file:
        return file.frames / file.samplerate, file.channels


def _read_file(path: Path, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    """Return samples `(N, channels)` of a part of a file (in seconds), and their rate (Hz)."""
    with open_recording(path) as file:
        rate, channels = file.samplerate, file.channels
        start = round(offset * rate)
        if not 0 <= start < file.frames:
            raise AudioError(f"{path}: offset {offset} s lies outside its {file.frames / rate:.2f} s", "beyond the end")
        stop = file.frames if duration is None else min(start + round(duration * rate), file.frames)
        blocks = [np.zeros((0, channels), np.float32), *read_blocks(file, path, start, stop)]
    return np.concatenate(blocks), rate


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not a recording; give the files in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file; correct the path, or remove the line", "missing audio")
    if not path.is_file():  # opening a pipe could wait for ever
        raise AudioError(f"{path}: is a device or a pipe, not a recording; give a file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is empty (0 bytes); copy it again from its source", "zero length")


def _require_whole_wav(path: Path) -> None:
    """Raise AudioError if the data chunk of a WAV file is longer than the file, which libsndfile does not report."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        byte_rate, position = 0, 12
        while position + 8 <= size:
            file.seek(position)
            chunk, length = struct.unpack("<4sI", file.read(8))
            if chunk == b"fmt ":
                fields = file.read(16)
                byte_rate = struct.unpack_from("<I", fields, 8)[0] if len(fields) == 16 else 0
            elif chunk == b"data":
                held = size - position - 8
                if length > held and length not in _UNKNOWN_DATA_SIZES:
                    promised, found = length / max(byte_rate, 1), held / max(byte_rate, 1)
                    raise AudioError(
                        f"{path}: truncated: its header promises {promised:.1f} s, the data holds {found:.1f} s; "
                        "copy it again from its source",
                        "truncated",
                    )
                return
            position += 8 + length + length % 2
    raise AudioError(f"{path}: a WAV header without audio data; record or export it again", "header only")


def _decode_with_ffmpeg(path: Path, decoded: Path, reason: str) -> None:
    """Decode a file with ffmpeg into the WAV file `decoded`; an hour of video would not fit into memory."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise AudioError(
            f"{path}: is not WAV, FLAC, OGG/Opus or MP3 ({reason}); if it is a recording in another "
            "container, install ffmpeg and it will be used, else convert it to WAV"
        )
    command = [
        ffmpeg,
        "-nostdin",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-f",
        "wav",
        "-c:a",
        "pcm_f32le",
        "-",
    ]
    with decoded.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=False)
    try:
        if done.returncode == 0:
            soundfile.SoundFile(decoded).close()
            return
    except soundfile.LibsndfileError as error:
        reason = _reason(error)
    message = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise AudioError(f"{path}: neither soundfile nor ffmpeg can read it: {message[-1] if message else reason}")


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).rstrip(".")


def _from_array(source: Any, source_rate: int | None) -> np.ndarray:
    """Convert an array or tensor `(N,)` or `(channels, N)` to float32 `(N, channels)`."""
    if isinstance(source, list | tuple):
        raise AudioError(f"array: is a {type(source).__name__}; pass one recording as a numpy array or a tensor")
    if hasattr(source, "detach"):  # a torch tensor, on any device
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()  # numpy has no bfloat16
    array = np.asarray(source)
    if source_rate is not None and source_rate <= 0:
        raise AudioError(f"array: the sample rate is {source_rate} Hz, but must be positive; pass the true rate")
    if array.ndim not in (1, 2) or array.size == 0:
        raise AudioError(f"array: its shape is {array.shape}; pass samples of shape (N,) or (channels, N)")
    if array.ndim == 2 and array.shape[0] > MAX_CHANNELS:
        raise AudioError(f"array: has {array.shape[0]} channels; the shape must be (channels, N), so transpose it")
    return np.atleast_2d(_scaled(array)).T.astype(np.float32)


def _scaled(array: np.ndarray) -> np.ndarray:
    """Scale integers to [-1, 1): by the range of their type, or of the 16 bits that they all fit in."""
    if np.issubdtype(array.dtype, np.floating):
        return array
    if not np.issubdtype(array.dtype, np.integer):
        raise AudioError(f"array: its type is {array.dtype}; pass float or integer samples")
    limits = np.iinfo(array.dtype)
    if limits.min == 0:  # unsigned samples are centred on the middle of their range
        middle = (limits.max + 1) // 2
        return (array.astype(np.float64) - middle) / middle
    if limits.bits <= 16:
        return array / -float(limits.min)
    low, high = int(array.min()), int(array.max())
    for full_scale in (2**15, 2**31):  # 16-bit samples often come in wider integers
        if -full_scale <= low and high < full_scale:
            return array / float(full_scale)
    raise AudioError(f"array: has values up to {max(-low, high)}; pass samples of 16 or 32 bits")


def _one_channel(samples: np.ndarray, channel: int | Literal["mix"] | None, name: str) -> np.ndarray:
    """Return one channel, or the mean of all: `(N, channels)` -> `(N,)`."""
    channels = samples.shape[1]
    if isinstance(channel, int):
        if not 1 <= channel <= channels:
            raise AudioError(
                f"{name}: has {channels} channel{'s' * (channels > 1)}, so there is no channel {channel}; "
                "channels are counted from 1"
            )
        return samples[:, channel - 1]
    if channels > 1 and channel is None:
        logger.info("%s: %d channels averaged to one", name, channels)
    return samples.mean(axis=1)


def _cut(samples: np.ndarray, rate: int, offset: float, duration: float | None, name: str) -> np.ndarray:
    start = round(offset * rate)
    if not 0 <= start < len(samples):
        raise AudioError(f"{name}: offset {offset} s lies outside its {len(samples) / rate:.2f} s")
    return samples[start:] if duration is None else samples[start : start + round(duration * rate)]


def _to_16_bit_grid(samples: np.ndarray, name: str) -> np.ndarray:
    peak = float(np.abs(samples).max())
    if peak > 1.0:
        logger.info("%s: peak %.2f scaled to full scale", name, peak)
        samples = samples / peak
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.float32) / np.float32(32768)
