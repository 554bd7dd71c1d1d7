"""Inspection of one audio file: it is decoded once, in blocks, to its end, and each part of it is measured.

Many processes do this at the same time, so this module does not import torch, and its memory does not grow with the
length of the file.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.audio import gain_of
from asr.decoders import TOLERANCE, open_recording
from asr.errors import AudioError

Part = tuple[float, float | None]  # offset and duration in seconds; None: to the end
_RUN = 3  # samples in a row at the highest or lowest value that count as clipped


@dataclass(frozen=True, slots=True)
class Figures:
    """Measurements of one part of a recording; levels are shares of full scale, and `rms` is without the DC offset."""

    num_samples: int
    sample_rate: int
    channels: int
    peak: float
    rms: float
    bits: int  # number of 16 bits that the samples use
    clipped: float  # share of samples
    dc_offset: float
    balance: float  # level of the quietest channel divided by the level of the loudest
    correlation: float  # correlation of two channels; 1 for any other number of channels
    content: str  # hash of the samples, equal in all lossless formats
    doubt: str = ""  # a sign that the recording has another length

    @property
    def duration(self) -> float:
        return self.num_samples / self.sample_rate


@dataclass(frozen=True, slots=True)
class Inspection:
    """The figures of a part, or the verdict and a message (without the path) if the part cannot be read."""

    figures: Figures | None = None
    fault: str = ""
    message: str = ""


def inspect_file(path: Path, parts: Sequence[Part]) -> list[Inspection]:
    """Decode a file to its end and measure each of its `parts`; no fault in a file raises an error.

    A part is usable if it ends before any damage, and at most 0.1 s beyond the end of the file.
    """
    failure, position, rate, doubt = None, 0, 1, ""
    meters: list[_Meter] = []
    try:
        with open_recording(path) as recording:
            rate, is_fine = recording.sample_rate, recording.is_fine
            meters = [_Meter(part, rate, recording.channels, is_fine) for part in parts]
            for block in recording.blocks():
                # A clipped recording in a lossy format decodes beyond full scale; floating point may lie there.
                block = block if is_fine else block.clip(-1.0, 1.0)
                for meter in meters:
                    meter.add(block, position)
                position += len(block)
            doubt = recording.doubt
    except AudioError as error:
        message = str(error).removeprefix(f"{path}: ").removeprefix(f"{error.fault}: ")
        failure = Inspection(None, error.fault, message.rpartition("; ")[0])
    if failure and not meters:
        return [failure] * len(parts)
    return [_judge(meter, position, rate, failure, doubt) for meter in meters]


def _judge(meter: "_Meter", end: int, rate: int, failure: Inspection | None, doubt: str) -> Inspection:
    if failure and meter.stop > end:
        return failure
    if meter.start >= end or end + TOLERANCE * rate < meter.stop < math.inf:
        asked = f"{meter.start / rate:.2f} s to {'the end' if meter.stop == math.inf else f'{meter.stop / rate:.2f} s'}"
        return Inspection(None, "beyond the end", f"the line asks for {asked}, the file ends at {end / rate:.2f} s")
    if not meter.count:
        return Inspection(None, "zero length", "the duration of the line is shorter than one sample")
    return Inspection(replace(meter.figures(), doubt=doubt))


class _Meter:
    """Running sums over one part of a file. Column 0 is the input of a model: the mean of all channels."""

    def __init__(self, part: Part, rate: int, channels: int, is_fine: bool) -> None:
        offset, duration = part
        self._is_fine = is_fine
        self.start = round(offset * rate)
        self.stop = math.inf if duration is None else self.start + round(duration * rate)
        self.count, self.rate, self.channels = 0, rate, channels
        columns = 1 if channels == 1 else 1 + channels
        self._sum, self._squares, self._product = np.zeros(columns), np.zeros(columns), 0.0
        self._extremes = [(sign, np.full(columns, -np.inf), np.zeros(columns, np.int64)) for sign in (1, -1)]
        self._bits_used = 0
        self._hash = hashlib.blake2b(str(rate).encode(), digest_size=16)
        self._fine_hash = self._hash.copy()  # digest of samples with more than 16 bits

    def add(self, block: np.ndarray, position: int) -> None:
        """Add the samples of the part in a block `(N, channels)` that begins at sample `position`."""
        if position >= self.stop or position + len(block) <= self.start:
            return
        block = block[max(0, self.start - position) : int(min(self.stop - position, len(block)))].astype(np.float64)
        mono = block.mean(axis=1, keepdims=True)
        signals = block if self.channels == 1 else np.hstack([mono, block])
        self.count += len(block)
        self._sum += signals.sum(axis=0)
        self._squares += np.square(signals).sum(axis=0)
        if self.channels == 2:
            self._product += float(np.dot(block[:, 0], block[:, 1]))
        self._extremes = [(sign, *_flat_tops(sign * signals, top, flat)) for sign, top, flat in self._extremes]
        samples = np.rint(mono * 32768).clip(-(2.0**62), 2.0**62).astype("<i8")  # float files may hold any number
        self._bits_used |= int(np.bitwise_or.reduce(samples, axis=None))
        self._hash.update(samples.tobytes())
        if self._is_fine:
            self._fine_hash.update(block.mean(axis=1).tobytes())

    def figures(self) -> Figures:
        mean = self._sum / self.count
        levels = np.sqrt(np.maximum(self._squares / self.count - mean**2, 0.0))
        (_, high, high_flat), (_, low, low_flat) = self._extremes
        peak = float(np.maximum(high, low).max())
        gain = (gain_of(float(np.maximum(high, low)[0])) if self._is_fine else None) or 1.0  # as `load_audio` does
        balance = correlation = 1.0
        if self.channels > 1:
            balance = float(levels[1:].min() / max(levels[1:].max(), 1e-9))
        if self.channels == 2:
            covariance = self._product / self.count - mean[1] * mean[2]
            correlation = float(covariance / max(levels[1] * levels[2], 1e-18))
        return Figures(
            num_samples=self.count,
            sample_rate=self.rate,
            channels=self.channels,
            peak=round(gain * peak, 5),
            rms=round(gain * float(levels[0]), 7),
            bits=16 - max((self._bits_used & -self._bits_used).bit_length() - 1, 0),
            clipped=round(float((high_flat + low_flat).max() / self.count), 6),
            dc_offset=round(float(mean[np.abs(mean).argmax()]), 5),
            balance=round(balance, 5),
            correlation=round(correlation, 5),
            content=(self._fine_hash if gain > 1 else self._hash).hexdigest(),
        )


def _flat_tops(signals: np.ndarray, top: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest value of each column so far, and the number of samples in runs of at least `_RUN` there.

    `top` and `flat` are the two results for the blocks before `signals` `(N, columns)`.
    """
    highest = np.maximum(top, signals.max(axis=0))
    at_top = signals == highest
    flat = np.where(highest > top, 0, flat)
    if (at_top.sum(axis=0) < _RUN).all():
        return highest, flat
    runs = np.logical_and.reduce([at_top[shift : len(at_top) - _RUN + 1 + shift] for shift in range(_RUN)])
    inside = np.zeros_like(at_top)
    for shift in range(_RUN):
        inside[shift : shift + len(runs)] |= runs
    return highest, flat + inside.sum(axis=0)
