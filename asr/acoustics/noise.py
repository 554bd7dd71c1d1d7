"""Noise: parts of the recordings of a folder, and sound mixed with speech at a stated signal-to-noise ratio."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.acoustics.sounds import Sounds, read_sounds

SECONDS = 3600.0  # seconds of noise in memory, at most: 115 MB at 16 kHz
_RAISED = 0.01  # power of a part over that of its recording (-20 dB); a quieter part is a pause in the noise


class Noise:
    """The noise of a folder: music, babble, machines. Equal numbers choose equal parts."""

    def __init__(self, sounds: Sounds) -> None:
        self.facts = sounds.facts
        self._recordings = sounds.recordings
        self._powers = [_power_of(parts) for parts in sounds.recordings]

    def part(self, length: int, which: float, where: float) -> tuple[np.ndarray, float]:
        """Return `length` samples `(N,)` of a recording, and the power that they are mixed by.

        `which` in [0, 1) chooses the recording, all with equal probability; `where` in [0, 1) chooses where it begins.
        A part that is shorter than `length` is repeated. The power is the mean square of the samples, or -20 dB of that
        of the recording if this is more: a pause in the noise stays a pause.
        """
        number = int(which * len(self._recordings))
        parts = self._recordings[number]
        position = where * len(parts)
        sound = parts[int(position)]
        spare = len(sound) - length
        if spare >= 0:
            start = int((position % 1) * (spare + 1))
            samples = sound[start : start + length]
        else:
            samples = np.resize(np.roll(sound, -int((position % 1) * len(sound))), length)
        samples = samples / np.float32(32768)
        return samples, max(power(samples), _RAISED * self._powers[number])

    def state(self) -> bytes:
        """Return a digest of all samples."""
        digest = hashlib.sha256()
        for parts in self._recordings:
            for part in parts:
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part.data)
        return digest.digest()


def read_noise(folder: str | Path, sample_rate: int, *, setting: str) -> Noise:
    """Read the noise of a folder, at most an hour of it. Raises the errors of `read_sounds`."""
    return Noise(read_sounds(folder, sample_rate, setting=setting, seconds=SECONDS))


def _power_of(parts: Sequence[np.ndarray]) -> float:
    """Return the mean square of parts, int16, as that of samples in [-1, 1]."""
    energy = sum(power(part / np.float32(32768)) * len(part) for part in parts)
    return energy / sum(map(len, parts))


def power(samples: np.ndarray) -> float:
    """Return the mean square of samples `(N,)`."""
    return float(np.square(samples, dtype=np.float64).mean())


def mix(samples: np.ndarray, noise: np.ndarray, noise_power: float, snr_db: float) -> np.ndarray:
    """Add noise `(N,)` of a power to samples `(N,)` at a signal-to-noise ratio in dB, over the whole utterance."""
    if not noise_power:
        return samples
    scale = np.sqrt(power(samples) / noise_power) * 10 ** (-snr_db / 20)
    return samples + np.float32(scale) * noise


def pink(length: int, generator: np.random.Generator) -> np.ndarray:
    """Make noise `(N,)` whose power falls by 3 dB an octave, as that of many rooms and streets does about."""
    size = max(length, 2)
    spectrum = np.fft.rfft(generator.standard_normal(size))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    samples = np.fft.irfft(spectrum, size)[:length]
    return (samples / np.abs(samples).max()).astype(np.float32)
