"""Audio input: any file, array or tensor -> float32 mono samples at a stated rate.

This module does not import torch, so that checking a corpus in many processes stays light. Samples are always rounded
to the 16-bit grid. The samples that training packs as int16 therefore equal the samples that transcription reads from
a file, to the last bit. A recording with more than 16 bits that is very quiet is raised before it is rounded.
"""

import logging
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr

from asr.decoders import TOLERANCE, Recording, open_recording
from asr.errors import AudioError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".3gp", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
AUDIO_SUFFIXES = (  # audio files, then video files
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".sph"),
    *(".m4a", ".aac", ".wma", ".amr"),
    *VIDEO_SUFFIXES,
)
MAX_CHANNELS = 64
_HIGHEST_RATE = 10_000_000  # Hz of an array
QUIET = 2.0**-5  # peak (-30 dB) below which a recording with more than 16 bits is raised
_SILENT = 2.0**-16  # peak (-96 dB) below which there is nothing to raise
_DEAD = 0.01  # level of a channel over that of the loudest: 40 dB below it
_CANCELLED = 0.25  # power of the average over the mean power of the channels: below it they correlate under -0.5


def load_audio(
    source: Any,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | Literal["mix"] | None = None,
    salvage: bool = False,
    allow_short: bool = False,
) -> np.ndarray:
    """Read a recording; return mono samples `(N,)`, float32 in [-1, 1], at `sample_rate` Hz.

    `source` is a path, or an array or tensor of shape `(N,)` or `(channels, N)`. Files of any format are read: by
    soundfile, else by PyAV. An array needs its rate in `source_rate`. Integer arrays are divided by the range of their
    type.

    `offset` and `duration` (in seconds) select a part. `channel` (counted from 1) selects one channel. Without
    `channel`, all channels are averaged and the log says so; `channel="mix"` averages without a log line. A channel
    that is silent, and channels that cancel each other, are logged in both cases.

    Floating-point samples, and samples of 24 or 32 bits, are raised by a power of two if their peak lies below
    -30 dB; the log states the gain.

    `salvage` reads what is there of a file that is truncated or damaged, and logs both lengths.

    Raises AudioError, which names the source and the cure, for a source without usable samples. A part that ends more
    than 0.1 s beyond the end of a file is an error too; `allow_short` returns what there is of the part.
    """
    if isinstance(source, Recording):
        return _load_part(source, sample_rate, offset, duration, channel, allow_short)
    if isinstance(source, str | Path):
        with open_recording(Path(source), salvage=salvage) as recording:
            return _load_part(recording, sample_rate, offset, duration, channel, allow_short)
    samples = _from_array(source, source_rate)
    if samples.shape[1] > 1 and channel is None:
        raise AudioError(
            f"array: shape {samples.T.shape}: several recordings, or the channels of one? Pass recordings one at a "
            'time, or choose a channel: channel=1, or channel="mix" for the average of all'
        )
    if source_rate is None:
        raise AudioError("array: its sample rate is not known; pass the rate in Hz beside the array")
    samples = _cut(samples, source_rate, offset, duration)
    mono = _one_channel(samples, channel, "array")
    is_fine = getattr(source, "dtype", None) is not None and "float" in str(source.dtype)
    return _at_rate(mono, source_rate, sample_rate, "array", gain_of(_peak(mono)) if is_fine else 1.0)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return the samples of `load_audio` as int16, without loss."""
    return (samples * 32768).clip(-32768, 32767).astype(np.int16)


def chunk_audio(chunk: Any, sample_rate: int) -> np.ndarray:
    """Return a chunk of live sound as `load_audio` does, but always at its own level.

    `chunk` is an array `(N,)` or `(channels, N)` at `sample_rate` Hz.
    """
    mono = _from_array(chunk, sample_rate).mean(axis=1)
    return _at_rate(mono, sample_rate, sample_rate, "array", 1.0)


def _load_part(
    recording: Recording,
    sample_rate: int,
    offset: float,
    duration: float | None,
    channel: int | Literal["mix"] | None,
    allow_short: bool,
) -> np.ndarray:
    rate, name = recording.sample_rate, str(recording.path)
    start = round(offset * rate)
    stop = None if duration is None else start + round(duration * rate)
    blocks = list(recording.blocks(start, stop)) if start >= 0 else []
    if not blocks and stop != start:
        raise AudioError(
            f"{name}: offset {offset} s lies outside its {recording.frames() / rate:.2f} s", "beyond the end"
        )
    samples = np.concatenate([np.zeros((0, recording.channels), np.float32), *blocks])
    end = start + len(samples)
    if stop is not None and end < stop - TOLERANCE * rate and not (allow_short or recording.salvage):
        raise AudioError(
            f"{name}: {offset:.2f} s to {stop / rate:.2f} s are asked for, the file ends at {end / rate:.2f} s; "
            "correct offset and duration, or copy the file again",
            "beyond the end",
        )
    if samples.shape[1] > 1 and not isinstance(channel, int):
        if channel is None:
            recording.log_once(logging.INFO, f"{samples.shape[1]} channels averaged to one")
        if (fault := _channel_fault(samples)) is not None:
            recording.log_once(logging.WARNING, fault)
    mono = _one_channel(samples, channel or "mix", name)
    gain = 1.0
    if recording.is_fine and len(mono):
        recording.gain = recording.gain or gain_of(_peak(mono))
        gain = recording.gain or 1.0
    return _at_rate(mono, rate, sample_rate, name, gain)


def _at_rate(mono: np.ndarray, rate: int, new_rate: int, name: str, gain: float | None) -> np.ndarray:
    """Resample samples `(N,)` that were multiplied by `gain`, and round them to the 16-bit grid."""
    if not np.isfinite(mono).all():
        first = int(np.flatnonzero(~np.isfinite(mono))[0])
        raise AudioError(f"{name}: sample {first} is not a finite number (NaN or infinity); export the recording again")
    if gain is not None and gain > 1:
        logger.info("%s: very quiet; raised by %.0f dB", name, 20 * math.log10(gain))
        mono = mono * np.float32(gain)
    if rate != new_rate:
        mono = soxr.resample(mono, rate, new_rate)
    if len(mono) == 0:
        raise AudioError(f"{name}: holds no samples at {new_rate} Hz; record or export it again")
    return _to_16_bit_grid(mono, name)


def gain_of(peak: float) -> float | None:
    """Return the power of two that raises a peak below `QUIET` to 1/4 or more; 1 for a peak that is loud enough.

    Returns None for silence, which tells nothing of the level of a recording.
    """
    if not _SILENT <= peak < math.inf:
        return None
    return 1.0 if peak >= QUIET else 2.0 ** math.floor(-1 - math.log2(peak))


def _channel_fault(samples: np.ndarray) -> str | None:
    """Name the channels of samples `(N, channels)` whose average loses speech, with the cure; None without a fault."""
    powers = np.square(samples).mean(axis=0, dtype=np.float64)
    if powers.max(initial=0.0) == 0:
        return None
    alive = np.flatnonzero(powers > _DEAD**2 * powers.max())
    if len(alive) < len(powers):
        dead = ", ".join(str(number + 1) for number in range(len(powers)) if number not in alive)
        choice = " or ".join(f"--channels {number + 1}" for number in alive)
        return f"channel {dead} of {len(powers)} is silent and weakens the average; choose {choice}"
    average = float(np.square(samples.mean(axis=1)).mean(dtype=np.float64))
    if average < _CANCELLED * float(powers.mean()):
        return "its channels cancel each other in the average; choose one: --channels 1"
    return None


def _from_array(source: Any, source_rate: int | None) -> np.ndarray:
    """Convert an array or tensor `(N,)` or `(channels, N)` to float32 `(N, channels)`."""
    if isinstance(source, list | tuple):
        raise AudioError(f"array: is a {type(source).__name__}; pass one recording as a numpy array or a tensor")
    if hasattr(source, "detach"):  # a torch tensor, on any device
        source = source.detach().cpu()
        source = (source.float() if source.is_floating_point() else source).numpy()  # numpy has no bfloat16
    array = np.asarray(source)
    is_number = isinstance(source_rate, int | float | np.integer | np.floating)
    if source_rate is not None and not (is_number and 0 < source_rate <= _HIGHEST_RATE):
        raise AudioError(
            f"array: the sample rate is {source_rate!r:.40}, but must be a positive number of Hz, at most "
            f"{_HIGHEST_RATE}; pass the true rate"
        )
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
    return samples.mean(axis=1)


def _cut(samples: np.ndarray, rate: int, offset: float, duration: float | None) -> np.ndarray:
    start = round(offset * rate)
    if not 0 <= start < len(samples):
        raise AudioError(f"array: offset {offset} s lies outside its {len(samples) / rate:.2f} s")
    return samples[start:] if duration is None else samples[start : start + round(duration * rate)]


def _peak(mono: np.ndarray) -> float:
    return float(np.abs(mono).max(initial=0.0))


def _to_16_bit_grid(samples: np.ndarray, name: str) -> np.ndarray:
    peak = _peak(samples)
    if peak > 1.0:
        logger.info("%s: peak %.2f scaled to full scale", name, peak)
        samples = samples / peak
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.float32) / np.float32(32768)
