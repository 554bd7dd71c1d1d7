"""Surroundings of a microphone, drawn for each utterance of training: a room, then noise, then a channel."""

import hashlib
from collections.abc import Sequence

import numpy as np

from asr.acoustics.channels import through
from asr.acoustics.noise import Noise, mix
from asr.acoustics.rooms import Rooms

NUM_DRAWS = 9


class Surroundings:
    """Room, noise and channel; each of them changes a share of the utterances, drawn by itself."""

    def __init__(
        self,
        *,
        sample_rate: int,
        share: float,
        noise: Noise | None = None,
        snr_db: tuple[float, float] = (0.0, 0.0),
        rooms: Rooms | None = None,
        channels: Sequence[str] = (),
    ) -> None:
        """`share` is in [0, 1]; `snr_db` is the lowest and the highest ratio of speech to noise; Hz."""
        self._sample_rate, self._share = sample_rate, share
        self._noise, self._snr_db = noise, snr_db
        self._rooms, self._channels = rooms, tuple(channels)

    def __call__(self, samples: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Change samples `(N,)` by random numbers `draws (9,)` in [0, 1); return `(N,)` in [-1, 1].

        A sum that exceeds full scale is scaled down. Equal draws give equal results.
        """
        in_room, room, in_noise, sound, where, ratio, in_channel, channel, strength = draws.tolist()
        before = samples
        if self._rooms is not None and in_room < self._share:
            samples = self._rooms.reverberate(samples, room)
        if self._noise is not None and in_noise < self._share:
            low, high = self._snr_db
            samples = mix(samples, *self._noise.part(len(samples), sound, where), low + ratio * (high - low))
        if samples is not before:
            samples = samples / max(np.float32(1), np.abs(samples).max())
        if self._channels and in_channel < self._share:
            name = self._channels[int(channel * len(self._channels))]
            samples = through(name, samples, self._sample_rate, strength).clip(-1, 1)
        return samples

    def state(self) -> bytes:
        """Return a digest of all sounds that utterances are mixed with."""
        digest = hashlib.sha256()
        for part in (self._noise, self._rooms):
            digest.update(b"" if part is None else part.state())
        return digest.digest()

    def facts(self) -> list[str]:
        """Describe room, noise and channel, a line each."""
        low, high = self._snr_db
        lines = []
        if self._noise is not None:
            lines.append(f"augment.noise: {self._noise.facts}; mixed at {low:g} to {high:g} dB")
        if self._rooms is not None:
            lines.append(f"augment.rooms: {self._rooms.facts}")
        if self._channels:
            lines.append(f"augment.channels: {', '.join(self._channels)}")
        return [f"{line}; {self._share:.0%} of the utterances" for line in lines]
