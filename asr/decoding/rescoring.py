"""Rescoring of n-best lists: a recurrent language model reads whole hypotheses, and they are ranked anew.

    score = score of the beam + weight * log p(tokens and sentence end) + bonus * number of tokens and sentence end

The bonus makes up for the cost of each further token. With `weight` and `bonus` 0 the order does not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asr.decoding.hypothesis import Hypothesis
from asr.errors import LanguageModelError
from asr.lm.base import RecurrentModel
from asr.lm.ngram import END, SPECIALS
from asr.lm.restore import restore
from asr.text import Units


class Rescorer:
    """A recurrent language model with its weight and its bonus for each token."""

    def __init__(
        self,
        lm: RecurrentModel,
        units: Units,
        weight: float = 0.0,
        bonus: float = 0.0,
        summary: dict[str, Any] | None = None,
    ) -> None:
        """`units` spell the hypotheses. `summary` is shown by `asr info`: how the weight was tuned."""
        self.lm = lm
        self.units = units
        self.weight = weight
        self.bonus = bonus
        self.summary = summary or {}

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the text of a hypothesis, normalised for the language model."""
        return self.lm.normalizer(self.units.decode(hypothesis.units))

    def read(self, lists: Sequence[Sequence[Hypothesis]]) -> list[np.ndarray]:
        """Return the log-probability and the number of tokens of each hypothesis, `(n, 2)` for each list of `n`."""
        texts = sorted({self.text(hypothesis) for hypotheses in lists for hypothesis in hypotheses})
        sentences = [self.lm.encode([*self.lm.tokens(text), SPECIALS[END]]) for text in texts]
        log_probs = self.lm.log_probs(sentences)
        found = {text: (row.sum(), len(row)) for text, row in zip(texts, log_probs, strict=True)}
        return [np.array([found[self.text(hypothesis)] for hypothesis in hypotheses]) for hypotheses in lists]

    def rescored(self, lists: Sequence[Sequence[Hypothesis]]) -> list[list[Hypothesis]]:
        """Return the hypotheses of each utterance with their new scores, best first."""
        ranked = []
        for hypotheses, read in zip(lists, self.read(lists), strict=True):
            scores = new_scores(hypotheses, read, self.weight, self.bonus)
            order = np.argsort(-scores, kind="stable")
            ranked.append([replace(hypotheses[index], score=float(scores[index])) for index in order])
        return ranked

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the language model as arrays, for the model file."""
        return self.lm.to_tensors()

    def to_metadata(self) -> dict[str, Any]:
        """Return the settings, for the JSON in the model file."""
        return {"weight": self.weight, "bonus": self.bonus, "summary": self.summary, "lm": self.lm.to_metadata()}

    @classmethod
    def from_parts(cls, units: Units, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> "Rescorer":
        """Build a rescorer from `to_tensors` and `to_metadata`. Raises LanguageModelError if the parts do not fit."""
        try:
            weight, bonus = float(metadata["weight"]), float(metadata["bonus"])
            if not np.isfinite([weight, bonus]).all():
                raise ValueError(f"weight {weight}, bonus {bonus}")
            if not isinstance(metadata["lm"], dict) or not isinstance(metadata["summary"], dict):
                raise TypeError("lm or summary is no object")
            return cls(restore(tensors, metadata["lm"]), units, weight, bonus, metadata["summary"])
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise LanguageModelError(f"the stored settings of rescoring are damaged: {error!r}") from None


def new_scores(hypotheses: Sequence[Hypothesis], read: np.ndarray, weight: float, bonus: float) -> np.ndarray:
    """Compute the scores `(n,)` of hypotheses from their log-probabilities and numbers of tokens, `read (n, 2)`."""
    return np.array([hypothesis.score for hypothesis in hypotheses]) + read @ np.array([weight, bonus])
