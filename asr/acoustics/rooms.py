"""Rooms: impulse responses of a folder or of simulated rooms, and speech as it sounds in them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asr.acoustics.image_source import SOUND, room_response
from asr.acoustics.noise import power
from asr.acoustics.sounds import evenly, find_recordings
from asr.audio import load_audio
from asr.config import SIMULATED
from asr.decoders import open_recording
from asr.errors import AudioError, ConfigError
from asr.wording import counted

_LEAD = 0.0025  # seconds before the loudest sample, which hold the beginning of the direct sound
_LONGEST = 2.0  # seconds of a response; the later ones are cut
_FAINT = 1e-6  # share of the energy of a response (-60 dB) after which it is cut
_LONGEST_FILE = 20.0  # seconds; a longer file is no response
_EARLY, _FADED = 0.75, 0.9  # least shares of energy from the loudest sample on, and in the first half after it
_MOST = 1000  # responses of a folder
_SIMULATED = 100  # responses
_SMALLEST, _LARGEST = (3.0, 2.5, 2.3), (10.0, 7.0, 3.5)  # metres
_TIMES = 0.2, 0.8  # seconds of reverberation
_WALL = 0.3  # metres from a wall, at least
_NEAR = 0.3  # metres between mouth and microphone, at least


class Rooms:
    """Impulse responses that are ready for `reverberate`. Equal numbers choose equal responses."""

    def __init__(self, responses: Sequence[np.ndarray], sample_rate: int, facts: str) -> None:
        self.facts = facts
        self._responses = list(responses)
        self._sample_rate = sample_rate

    def reverberate(self, samples: np.ndarray, which: float) -> np.ndarray:
        """Return speech `(N,)` as it sounds in the room that `which` in [0, 1) chooses, `(N,)`."""
        return reverberate(samples, self._responses[int(which * len(self._responses))], self._sample_rate)

    def state(self) -> bytes:
        """Return a digest of all responses."""
        digest = hashlib.sha256()
        for response in self._responses:
            digest.update(len(response).to_bytes(8, "little"))
            digest.update(response.data)
        return digest.digest()


def reverberate(samples: np.ndarray, response: np.ndarray, sample_rate: int) -> np.ndarray:
    """Convolve samples `(N,)` with a response of `prepare_response`; return `(N,)` of equal power.

    The direct sound arrives when it was spoken. What would sound after the end is cut.
    """
    from scipy.signal import oaconvolve  # a slow import

    lead = round(_LEAD * sample_rate)
    wet = oaconvolve(samples, response)[lead : lead + len(samples)].astype(np.float32)
    wet_power = power(wet)
    return wet * np.float32(np.sqrt(power(samples) / wet_power)) if wet_power else wet


def open_rooms(folder: str | Path, sample_rate: int, *, setting: str) -> Rooms:
    """Read the responses of a folder, or simulate rooms if it is named `simulated`. Raises ConfigError."""
    return simulate_rooms(sample_rate) if folder == SIMULATED else read_rooms(folder, sample_rate, setting=setting)


def read_rooms(folder: str | Path, sample_rate: int, *, setting: str) -> Rooms:
    """Read the responses of a folder, at most 1,000, evenly spaced. Of several channels the first is read.

    Raises ConfigError, which begins with the `setting` that names the folder, for a folder without recordings, for a
    file that cannot be read, and for a recording that is no impulse response.
    """
    paths = find_recordings(folder, setting)
    chosen = evenly(paths, _MOST)
    responses = []
    for path in chosen:
        try:
            with open_recording(path) as recording:
                if recording.seconds is not None and recording.seconds > _LONGEST_FILE:
                    raise AudioError(f"{path}: has {recording.seconds:.0f} s, and is no impulse response of a room")
                samples = load_audio(recording, sample_rate, channel=1)
        except AudioError as error:
            raise ConfigError(f"{setting}: {error}; or take the file out of {folder}") from None
        if (fault := response_fault(samples, sample_rate)) is not None:
            raise ConfigError(
                f"{setting}: {path}: is no impulse response of a room: {fault}; take the file out of {folder}"
            )
        responses.append(prepare_response(samples, sample_rate))
    facts = f"{counted('{} response<s>', len(chosen))} of {folder}"
    if len(chosen) < len(paths):
        facts += f"; {len(paths)} are there"
    return Rooms(responses, sample_rate, facts)


def simulate_rooms(sample_rate: int, count: int = _SIMULATED) -> Rooms:
    """Simulate rooms of 3 to 10 m with a reverberation time of 0.2 to 0.8 s: equal ones in each call."""
    generator = np.random.default_rng(0)
    responses = []
    for _ in range(count):
        size = generator.uniform(_SMALLEST, _LARGEST)
        time = generator.uniform(*_TIMES)
        while True:
            source, microphone = generator.uniform(_WALL, size - _WALL, (2, 3))
            if np.linalg.norm(source - microphone) >= _NEAR:
                break
        response = room_response(
            size, source, microphone, reverberation_time=time, sample_rate=sample_rate, generator=generator
        )
        direct = round(float(np.linalg.norm(source - microphone)) / SOUND * sample_rate)
        responses.append(prepare_response(response, sample_rate, direct))
    low, high = _TIMES
    facts = f"{count} simulated rooms of 3 to 10 m, with a reverberation time of {low:g} to {high:g} s"
    return Rooms(responses, sample_rate, facts)


def response_fault(samples: np.ndarray, sample_rate: int) -> str | None:
    """Say why samples `(N,)` are no impulse response: it begins with its loudest sample, and fades out."""
    energy = np.square(samples, dtype=np.float64)
    total = energy.sum()
    if not total:
        return "all samples are 0"
    peak = int(np.abs(samples).argmax())
    start = max(0, peak - round(_LEAD * sample_rate))
    after = energy[start:]
    if after.sum() < _EARLY * total:
        return f"{1 - after.sum() / total:.0%} of its energy lies before its loudest sample"
    if after[: (len(after) + 1) // 2].sum() < _FADED * after.sum():
        return "it does not fade out"
    return None


def prepare_response(samples: np.ndarray, sample_rate: int, direct: int | None = None) -> np.ndarray:
    """Cut a response `(N,)` so that the direct sound is at 2.5 ms; cut what is faint at its end, and after 2 s.

    `direct` is the sample of the direct sound (default: the loudest sample).
    """
    lead = round(_LEAD * sample_rate)
    first = int(np.abs(samples).argmax()) if direct is None else direct
    response = np.pad(samples, (lead, 0))[first : first + round(_LONGEST * sample_rate)]
    left = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]  # energy from each sample on
    response = response[: max(lead + 1, int((left > _FAINT * left[0]).sum()))]
    return (response / np.sqrt(left[0])).astype(np.float32)
