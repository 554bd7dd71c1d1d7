"""The proof that an exported file answers as the model does: both compute the same waveforms, alone and in batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asr.batching import pad
from asr.decoding.greedy import best_path
from asr.errors import ExportError
from asr.model import SpeechModel
from asr.recognition.recognizer import Recognizer
from asr.runtime.session import Session
from asr.scoring.wer import score

_TOLERANCE = 1e-4  # `difference` between PyTorch and a file in float32 that is always allowed
_MOST = 1e-3  # `difference` that is never exceeded
_SENSITIVE = 2.0  # times what one changed bit of each sample changes: a file rounds in every operation
_LARGE = 10.0  # nats; float32 has fewer digits after the point for more improbable units
_BATCH = 8  # waveforms computed together
_SYNTHETIC = 16  # waveforms
_WORSE = 0.3  # percentage points of errors that 8-bit weights may cost


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


def tolerance(model: SpeechModel[Any], waveforms: Sequence[np.ndarray]) -> float:
    """Return the largest `difference` of a right file on waveforms `(N,)`.

    It is 0.0001, or twice what the model itself changes by when the last bit of each sample changes, up to 0.001:
    recurrent layers can enlarge what is rounded, and no two programs round alike.
    """
    generator = np.random.default_rng(0)
    changed = 0.0
    for waveform in waveforms:
        towards = np.where(generator.random(len(waveform)) < 0.5, -2, 2).astype(np.float32)
        before, after = (_log_probs(model, [one])[0] for one in (waveform, np.nextafter(waveform, towards)))
        changed = max(changed, difference(before, after))
    return min(_MOST, max(_TOLERANCE, _SENSITIVE * changed))


def compare(model: SpeechModel[Any], session: Session, waveforms: Sequence[np.ndarray]) -> Comparison:
    """Compute waveforms `(N,)` with the model and with the file, one by one and in batches of similar length."""
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
                paths += size == 1 and best(ours) != best(theirs)
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
    outputs = model.log_probs(audio, lengths) if isinstance(model, Recognizer) else model.compute(audio, lengths)
    if isinstance(outputs, torch.Tensor):  # a classifier returns log-probabilities alone
        return list(outputs.cpu().numpy())
    rows, frames = outputs
    return [row[:count] for row, count in zip(rows.cpu().numpy(), frames.tolist(), strict=True)]


def best(log_probs: np.ndarray) -> tuple[int, ...]:
    """Return the units of the best path of `(S, V)`, or the best class of `(C,)` alone."""
    if log_probs.ndim == 1:
        return (int(log_probs.argmax()),)
    return best_path(log_probs[None], [len(log_probs)])[0].units


def compare_errors(
    before: Sequence[str],
    after: Sequence[str],
    references: Sequence[str] | None,
    *,
    classes: bool = False,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Report the errors of the answers before and after quantisation: the CER of texts, or the share of wrong classes.

    Without references that hold a word, the answers after are compared with the answers before. Raises ExportError if
    the errors rise by more than 0.3 percentage points, or cannot be counted, unless `force` is set.
    """
    name, against = "wrong classes" if classes else "CER", "the references"
    if references is None or not any(references):
        references, against = before, "the answers in float32"
    if not any(references):
        if force:
            report("8-bit weights: the model writes no text for these sounds, so errors are not counted")
            return
        raise ExportError(
            "--int8: the model writes no text for these sounds, so errors cannot be counted; name recordings: "
            "--check MANIFEST"
        )
    first, last = (_percent(references, answers, classes) for answers in (before, after))
    report(f"8-bit weights: {name} {first:.2f} % -> {last:.2f} %, against {against}")
    if last - first > _WORSE and not force:
        raise ExportError(
            f"--int8: {name} rises from {first:.2f} to {last:.2f} %, by more than {_WORSE} points, so no file is "
            "written; export without --int8, or add --force"
        )


def _percent(references: Sequence[str], answers: Sequence[str], classes: bool) -> float:
    if classes:
        return 100 * float(np.mean([one != other for one, other in zip(references, answers, strict=True)]))
    return score(references, answers, interval=False).cer.percent
