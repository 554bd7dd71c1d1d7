"""Time of recorded noise, rooms and channels in training, beside a step of a small model.

Prints a JSON line: milliseconds of processor time for a second of audio, for each change of an utterance, for the
surroundings that a configuration with all of them draws on average at a share of a half, and for the features, the
forward and the backward pass of a model of 2 x 128 (the size of recipes/demo), in one thread.
"""

import json
import time
from collections.abc import Callable

import numpy as np
import torch

from asr.acoustics.channels import CHANNELS, through
from asr.acoustics.noise import Noise
from asr.acoustics.rooms import simulate_rooms
from asr.acoustics.sounds import Sounds
from asr.acoustics.surroundings import NUM_DRAWS, Surroundings
from asr.features import LogMel
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel

RATE, SECONDS, UTTERANCES = 16000, 4.0, 20


def main() -> None:
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    speech = [(0.1 * generator.standard_normal(round(SECONDS * RATE))).astype(np.float32) for _ in range(UTTERANCES)]
    noise = Noise(Sounds(((generator.integers(-3000, 3000, 60 * RATE).astype(np.int16),),), ""))
    rooms = simulate_rooms(RATE)
    surroundings = Surroundings(
        sample_rate=RATE, share=0.5, noise=noise, snr_db=(5.0, 25.0), rooms=rooms, channels=tuple(CHANNELS)
    )
    alone = Surroundings(sample_rate=RATE, share=1.0, noise=noise, snr_db=(5.0, 25.0))
    draws = generator.random((UTTERANCES, NUM_DRAWS))
    changes: dict[str, Callable[[int], object]] = {
        "noise": lambda index: alone(speech[index], draws[index]),
        "room": lambda index: rooms.reverberate(speech[index], draws[index, 1]),
        **{name: _through(name, speech, draws) for name in CHANNELS},
        "all, half of the utterances each": lambda index: surroundings(speech[index], draws[index]),
    }
    times = {name: _milliseconds(change) for name, change in changes.items()}
    print(json.dumps({"bench": "surroundings", **times, "training step": _step(speech)}))


def _through(name: str, speech: list[np.ndarray], draws: np.ndarray) -> Callable[[int], object]:
    return lambda index: through(name, speech[index], RATE, draws[index, 8])


def _milliseconds(change: Callable[[int], object]) -> float:
    """Return the processor time of a change for a second of audio, in ms: the least of three turns."""
    change(0)
    turns = []
    for _ in range(3):
        before = time.process_time()
        for index in range(UTTERANCES):
            change(index)
        turns.append(time.process_time() - before)
    return round(1000 * min(turns) / UTTERANCES / SECONDS, 2)


def _step(speech: list[np.ndarray]) -> float:
    features = LogMel(sample_rate=RATE, bins=80)
    model = AcousticModel(num_bins=80, num_units=20, subsampling=3, hidden=128, layers=2)
    audio = torch.from_numpy(np.stack(speech))
    lengths = torch.full((UTTERANCES,), audio.shape[1])
    targets = [[1 + number % 19 for number in range(40)]] * UTTERANCES

    def step(_: int) -> None:
        log_probs, frames = model(*features(audio, lengths))
        ctc_loss(log_probs, frames, targets).sum().backward()

    step(0)
    turns = []
    for _ in range(3):
        before = time.process_time()
        step(0)
        turns.append(time.process_time() - before)
    return round(1000 * min(turns) / UTTERANCES / SECONDS, 2)


if __name__ == "__main__":
    main()
