"""The proof that an exported file answers as the model does: both compute the same waveforms, alone and in batches."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asr.batching import pad
from asr.model import SpeechModel
from asr.runtime.session import Session
from asr.text import BLANK

TOLERANCE = 1e-4  # largest `difference` between PyTorch and a file in float32
_LARGE = 10.0  # nats; float32 has fewer digits after the point for more improbable units
_BATCH = 8  # waveforms computed together
_SYNTHETIC = 16  # waveforms


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers of a model and of an exported file to the same waveforms.

    `difference` is the largest of any log-probability, as the function `difference` measures it. `paths` counts the
    waveforms with another best path. `real_time` are the seconds of computation for each second of audio, of the model
    and of the file.
    """

    waveforms: int
    seconds: float
    difference: float
    paths: int
    real_time: tuple[float, float]


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference of log-probabilities in nats; below -10 nats it counts in proportion."""
    return float((np.abs(ours - theirs) / np.maximum(1, np.abs(ours) / _LARGE)).max(initial=0.0))


def compare(model: SpeechModel[Any], session: Session, waveforms: Sequence[np.ndarray]) -> Comparison:
    """Compute waveforms `(N,)` with both, one by one and in batches of similar length."""
    order = sorted(waveforms, key=len)
    spent = [0.0, 0.0]
    largest, paths = 0.0, 0
    for size in (1, _BATCH):
        for batch in (order[first : first + size] for first in range(0, len(order), size)):
            begin = time.perf_counter()
            expected = _log_probs(model, batch)
            middle = time.perf_counter()
            found = session.log_probs(batch)
            if size == 1:
                spent = [spent[0] + middle - begin, spent[1] + time.perf_counter() - middle]
            for ours, theirs in zip(expected, found, strict=True):
                if ours.shape != theirs.shape:
                    return Comparison(len(order), 0.0, np.inf, len(order), (0.0, 0.0))
                largest = max(largest, difference(ours, theirs))
                paths += size == 1 and best_path(ours) != best_path(theirs)
    seconds = sum(map(len, order)) / model.sample_rate
    return Comparison(len(order), seconds, largest, paths, (spent[0] / seconds, spent[1] / seconds))


def synthetic(sample_rate: int) -> list[np.ndarray]:
    """Return noise of 0.5 to 8 s whose level rises and falls as that of speech does, float32, equal in each call."""
    generator = np.random.default_rng(0)
    found = []
    for seconds in np.geomspace(0.5, 8, _SYNTHETIC):
        times = np.arange(round(seconds * sample_rate)) / sample_rate
        level = 0.1 * np.exp(2 * np.sin(2 * np.pi * generator.uniform(2, 5) * times))
        found.append((level * generator.uniform(-1, 1, len(times))).clip(-1, 1).astype(np.float32))
    return found


def _log_probs(model: SpeechModel[Any], waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
    audio, lengths = pad(waveforms)
    outputs = model.compute(audio, lengths)
    if isinstance(outputs, torch.Tensor):  # of classes
        return list(outputs.cpu().numpy())
    rows, frames = outputs
    return [row[:count] for row, count in zip(rows.cpu().numpy(), frames.tolist(), strict=True)]


def best_path(log_probs: np.ndarray) -> list[int]:
    """Return the units of the best path of `(S, V)`, or the best class of `(C,)` in a list."""
    path = np.atleast_1d(log_probs.argmax(axis=-1))
    if log_probs.ndim == 1:
        return path.tolist()
    return path[(np.diff(path, prepend=BLANK) != 0) & (path != BLANK)].tolist()
