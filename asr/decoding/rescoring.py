"""Rescoring: a recurrent language model reads the hypotheses that are left in the beam, whole, and ranks them anew.

    score = score of the beam + weight * log p(tokens and sentence end) + bonus * number of them

The bonus makes up for what each further token costs. With `weight` and `bonus` 0 the order stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jiwer
import numpy as np

from asr.decoding.decoder import Decoder
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.ngram import END, SPECIALS
from asr.decoding.recurrent import RecurrentLM
from asr.decoding.tune import Validation
from asr.errors import LanguageModelError
from asr.scoring.wer import count_errors
from asr.text import Units

_WIDTH = 32  # hypotheses that are read, at least
_WEIGHTS = np.arange(1, 13) / 10
_SHARES = np.arange(11) / 4  # of what a token costs on average, given back


class Rescorer:
    """A recurrent language model and how much it counts."""

    def __init__(
        self,
        lm: RecurrentLM,
        units: Units,
        weight: float = 0.0,
        bonus: float = 0.0,
        summary: dict[str, Any] | None = None,
    ) -> None:
        """`units` are those of the hypotheses; `summary` is what `asr info` shows of how it was tuned."""
        self.lm = lm
        self.units = units
        self.weight = weight
        self.bonus = bonus
        self.summary = summary or {}

    def text(self, hypothesis: Hypothesis) -> str:
        """What the language model is given to read."""
        return self.lm.normalizer(self.units.decode(hypothesis.units))

    def read(self, lists: Sequence[Sequence[Hypothesis]]) -> list[np.ndarray]:
        """Log-probability and number of tokens of each hypothesis, `(n, 2)` for each list of `n`."""
        texts = sorted({self.text(hypothesis) for hypotheses in lists for hypothesis in hypotheses})
        sentences = [self.lm.encode([*self.lm.tokens(text), SPECIALS[END]]) for text in texts]
        log_probs = self.lm.log_probs(sentences)
        found = {text: (row.sum(), len(row)) for text, row in zip(texts, log_probs, strict=True)}
        return [np.array([found[self.text(hypothesis)] for hypothesis in hypotheses]) for hypotheses in lists]

    def rescored(self, lists: Sequence[Sequence[Hypothesis]]) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance with their new scores, best first."""
        ranked = []
        for hypotheses, read in zip(lists, self.read(lists), strict=True):
            scores = new_scores(hypotheses, read, self.weight, self.bonus)
            order = np.argsort(-scores, kind="stable")
            ranked.append([replace(hypotheses[index], score=float(scores[index])) for index in order])
        return ranked

    def to_tensors(self) -> dict[str, np.ndarray]:
        """The language model in arrays, for the model file."""
        return self.lm.to_tensors()

    def to_metadata(self) -> dict[str, Any]:
        """Everything else, for the JSON in the model file."""
        return {"weight": self.weight, "bonus": self.bonus, "summary": self.summary, "lm": self.lm.to_metadata()}

    @classmethod
    def from_parts(cls, units: Units, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> "Rescorer":
        """What `to_tensors` and `to_metadata` took apart. Raises LanguageModelError if the parts do not fit."""
        try:
            weight, bonus = float(metadata["weight"]), float(metadata["bonus"])
            if not np.isfinite([weight, bonus]).all():
                raise ValueError(f"weight {weight}, bonus {bonus}")
            return cls(RecurrentLM.from_parts(tensors, metadata["lm"]), units, weight, bonus, metadata["summary"])
        except (KeyError, TypeError, ValueError) as error:
            raise LanguageModelError(f"the stored settings of rescoring are damaged: {error!r}") from None


def new_scores(hypotheses: Sequence[Hypothesis], read: np.ndarray, weight: float, bonus: float) -> np.ndarray:
    """Scores `(n,)` of hypotheses whose log-probabilities and numbers of tokens were `read (n, 2)`."""
    return np.array([hypothesis.score for hypothesis in hypotheses]) + read @ np.array([weight, bonus])


def tune_rescoring(validation: Validation, lm: RecurrentLM, say: Callable[[str], None]) -> None:
    """Has the recogniser's decoder rescored by `lm`, with the best weights for validation data; if none helps, not.

    The beam is searched once, and every weight tried on what it leaves.
    """
    recognizer = validation.recognizer
    say(f"the language model on the references: {lm.perplexity(validation.references)}")
    if recognizer.decoder is not None:
        recognizer.decoder = recognizer.decoder.without_recurrent()
    before = validation.score(recognizer.decoder, interval=True)
    decoder = recognizer.decoder or Decoder(recognizer.units)
    pruning = decoder.pruning._replace(width=max(decoder.pruning.width, _WIDTH))
    decoder = decoder.using(pruning=pruning)
    lists = decoder.decode_n_best(validation.log_probs, pruning.width)
    rescorer = Rescorer(lm, recognizer.units)
    reads = rescorer.read(lists)
    errors = [
        _errors(reference, [recognizer.text(hypothesis.units) for hypothesis in hypotheses])
        for reference, hypotheses in zip(validation.references, lists, strict=True)
    ]
    totals = np.array([before.wer.total, before.cer.total]) / 100
    best_choice = sum(each[:, 0].min() for each in errors) / totals[0]
    say(f"the best choice among {pruning.width} hypotheses each would give WER {best_choice:.2f}")
    cost = -sum(read[:, 0].sum() for read in reads) / sum(read[:, 1].sum() for read in reads)  # of a token
    say("weight  bonus      WER    CER")
    lowest = np.inf
    for weight in _WEIGHTS.tolist():
        for bonus in (weight * _SHARES * cost).round(3).tolist():
            first = [np.argmax(new_scores(*pair, weight, bonus)) for pair in zip(lists, reads, strict=True)]
            rates = sum(each[index] for each, index in zip(errors, first, strict=True)) / totals
            if rates.sum() < lowest:
                lowest, rescorer.weight, rescorer.bonus = rates.sum(), weight, bonus
                say(f"{weight:6.2f} {bonus:6.2f}   {rates[0]:6.2f} {rates[1]:6.2f}")
    decoder.rescorer = rescorer
    after = validation.score(decoder, interval=True)
    say(f"before:   {before.cer}\n          {before.wer}\nrescored: {after.cer}\n          {after.wer}")
    if (after.wer.errors, after.cer.errors) < (before.wer.errors, before.cer.errors):
        rescorer.summary = {"utterances": len(lists), "before": str(before.wer), "rescored": str(after.wer)}
        recognizer.decoder = decoder
    else:
        say("no weight helps: nothing is rescored")


def _errors(reference: str, texts: Sequence[str]) -> np.ndarray:
    """Word and character errors of each text, `(n, 2)`."""
    references = [reference] * len(texts)
    alignments = jiwer.process_words(references, list(texts)), jiwer.process_characters(references, list(texts))
    return np.stack([count_errors(alignment)[:, 1:].sum(axis=1) for alignment in alignments], axis=1)
