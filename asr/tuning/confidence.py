"""What a confidence means, and how sure the recogniser must be of a phrase."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from asr.decoding.confidence import calibrate
from asr.decoding.phrases import Phrases, Rejection, none_of_these, posteriors
from asr.errors import TextError
from asr.scoring.alignment import edits
from asr.scoring.wer import score
from asr.tuning.validation import Validation

_COSTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)  # tried for `Rejection`
_SCALES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_THRESHOLDS = tuple(round(0.02 * number, 2) for number in range(1, 50))
_IMPOSSIBLE = -50.0  # nats: one utterance that is heard all wrong decides nothing alone


def words_heard(validation: Validation) -> tuple[np.ndarray, np.ndarray]:
    """Raw confidence of each word that is recognised `(words,)`, and whether it is right `(words,)`."""
    recognizer = validation.recognizer
    recognizer.confidence = None
    heard = [recognizer.words(torch.from_numpy(log_probs)) for log_probs in validation.log_probs]
    texts = [" ".join(word.text for word in words) for words in heard]
    raw = [word.confidence for words in heard for word in words for _ in word.text.split()]
    aligned = edits(score(validation.references, texts, interval=False).words)
    right = [step.kind == "equal" for steps in aligned for step in steps if step.hypothesis]
    return np.array(raw), np.array(right)


def tune_confidence(validation: Validation, say: Callable[[str], None], picture: Path | None = None) -> None:
    """Calibrates the recogniser's confidence on validation data, and draws how far it can be trusted.

    Raises TextError if no word is recognised.
    """
    raw, right = words_heard(validation)
    validation.recognizer.confidence, unseen = calibrate(raw, right)
    say(str(validation.recognizer.confidence))
    if picture is not None:
        from asr.figures.reliability import reliability_picture  # matplotlib takes its time

        reliability_picture(picture, {"raw": raw, "calibrated, on words not fitted to": unseen}, right)


def tune_rejection(validation: Validation, phrases: Sequence[str], say: Callable[[str], None]) -> None:
    """Sets how sure the recogniser must be of a phrase, by what of the validation data is one of `phrases`.

    So that there is something to reject, each of these utterances also counts with its own phrase out of the list.
    Raises TextError if none is there.
    """
    recognizer, references = validation.recognizer, validation.references
    decoder = Phrases(phrases, recognizer.units)
    index = {phrase: number for number, phrase in enumerate(decoder.phrases)}
    said = np.array([index.get(reference, -1) for reference in references])
    inside = np.flatnonzero(said >= 0)
    if not len(inside):
        raise TextError("none of the phrases is said in the validation data, so there is nothing to tune on")
    scores = decoder.scores(validation.log_probs)
    without = scores.copy()
    without[inside, said[inside]] = -np.inf
    correct = np.concatenate([said[inside], np.full(len(said), len(phrases))])  # the last stands for none of these

    def log_posteriors(cost: float, scale: float) -> np.ndarray:
        anything = none_of_these(validation.log_probs, cost)
        return np.concatenate(
            [posteriors(scores[inside], anything[inside], scale), posteriors(without, anything, scale)]
        )

    def likelihood(setting: tuple[float, float]) -> float:
        found = np.maximum(log_posteriors(*setting)[np.arange(len(correct)), correct], _IMPOSSIBLE)
        return float(found[: len(inside)].mean() + found[len(inside) :].mean())

    cost, scale = max(product(_COSTS, _SCALES), key=likelihood)
    best = np.exp(log_posteriors(cost, scale)[:, :-1])
    sure, right = best.max(axis=1), best.argmax(axis=1) == correct
    right[len(inside) :] = True  # as long as they are rejected
    accept = np.arange(len(correct)) < len(inside)

    def errors(threshold: float) -> tuple[float, float]:
        wrong = np.where(accept, (sure < threshold) | ~right, sure >= threshold)
        return wrong[accept].mean() + wrong[~accept].mean(), abs(threshold - 0.5)

    threshold = min(_THRESHOLDS, key=errors)
    taken = sure >= threshold
    said_right, refused = int((taken & right & accept).sum()), int((~taken & accept).sum())
    summary = {
        "in the list": f"{said_right} of {len(inside)} right, {refused} rejected",
        "not in the list": f"{int((taken & ~accept).sum())} of {len(said)} taken for one of it",
    }
    recognizer.rejection = Rejection(cost=cost, scale=scale, threshold=threshold, summary=summary)
    say(f"{len(phrases)} phrases: cost {cost:g}, scale {scale:g}, threshold {threshold:g}")
    for name, outcome in summary.items():
        say(f"  {name}: {outcome}")
