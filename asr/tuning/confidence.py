"""Calibration of word confidences, and the threshold below which a phrase is rejected."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from asr.decoding.confidence import calibrate
from asr.decoding.phrases import Phrases, Rejection, none_of_these, posteriors
from asr.errors import TextError
from asr.scoring.alignment import edits
from asr.scoring.wer import score
from asr.tuning.validation import Validation

_COSTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)  # nats a unit; tried for `Rejection.cost`
_SCALES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_THRESHOLDS = tuple(round(0.02 * number, 2) for number in range(1, 50))
_IMPOSSIBLE = -50.0  # nats, at least: so that one utterance that is all wrong does not decide alone


def recognised_words(validation: Validation) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw confidence of each recognised word `(words,)`, and whether the word is right `(words,)`."""
    recognizer = validation.recognizer
    recognizer.confidence = None
    words_of = [recognizer.words(log_probs) for log_probs in validation.log_probs]
    texts = [" ".join(word.text for word in words) for words in words_of]
    raw = [word.confidence for words in words_of for word in words for _ in word.text.split()]
    aligned = edits(score(validation.references, texts, interval=False).words)
    right = [step.kind == "equal" for steps in aligned for step in steps if step.hypothesis]
    return np.array(raw), np.array(right)


def tune_confidence(validation: Validation, report: Callable[[str], None], picture: Path | None = None) -> None:
    """Calibrate the recogniser's word confidences on validation data, and draw them in a `picture` if it is given.

    Raises TextError if no word is recognised.
    """
    raw, right = recognised_words(validation)
    validation.recognizer.confidence, unseen = calibrate(raw, right)
    report(str(validation.recognizer.confidence))
    if picture is not None:
        from asr.figures.reliability import reliability_picture  # importing matplotlib takes long

        reliability_picture(picture, {"raw": raw, "calibrated, on words not fitted to": unseen}, right)


def tune_rejection(validation: Validation, phrases: Sequence[str], report: Callable[[str], None]) -> None:
    """Tune how sure the recogniser must be of a phrase, on the utterances whose text is one of `phrases`.

    To have utterances to reject, all utterances count a second time with their own phrase taken out of the list.
    Raises TextError if no utterance is one of the phrases.
    """
    recognizer, references = validation.recognizer, validation.references
    decoder = Phrases(phrases, recognizer.units)
    index = {phrase: number for number, phrase in enumerate(decoder.phrases)}
    spoken = np.array([index.get(reference, -1) for reference in references])
    inside = np.flatnonzero(spoken >= 0)
    if not len(inside):
        raise TextError("no text of the validation data is one of the phrases; add recordings of phrases to it")
    scores = decoder.scores(validation.log_probs)
    without = scores.copy()
    without[inside, spoken[inside]] = -np.inf
    correct = np.concatenate([spoken[inside], np.full(len(spoken), len(phrases))])  # the last index: no phrase

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
    right[len(inside) :] = True  # if they are rejected, which `errors` asks for
    accept = np.arange(len(correct)) < len(inside)

    def errors(threshold: float) -> tuple[float, float]:
        wrong = np.where(accept, (sure < threshold) | ~right, sure >= threshold)
        return wrong[accept].mean() + wrong[~accept].mean(), abs(threshold - 0.5)

    threshold = min(_THRESHOLDS, key=errors)
    accepted = sure >= threshold
    num_right, rejected = int((accepted & right & accept).sum()), int((~accepted & accept).sum())
    summary = {
        "in the list": f"{num_right} of {len(inside)} right, {rejected} rejected",
        "not in the list": f"{int((accepted & ~accept).sum())} of {len(spoken)} taken for one of it",
    }
    recognizer.rejection = Rejection(cost=cost, scale=scale, threshold=threshold, summary=summary)
    report(f"{len(phrases)} phrases: cost {cost:g}, scale {scale:g}, threshold {threshold:g}")
    for name, outcome in summary.items():
        report(f"  {name}: {outcome}")
