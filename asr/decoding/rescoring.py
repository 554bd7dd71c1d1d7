"""Rescoring: a recurrent language model reads the hypotheses that are left in the beam, whole, and ranks them anew.

    score = score of the beam + weight * log p(tokens and sentence end) + bonus * number of them

The bonus makes up for what each further token costs. With `weight` and `bonus` 0 the order stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asr.decoding.hypothesis import Hypothesis
from asr.errors import LanguageModelError
from asr.lm.ngram import END, SPECIALS
from asr.lm.recurrent import RecurrentLM
from asr.text import Units


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
            if not isinstance(metadata["lm"], dict) or not isinstance(metadata["summary"], dict):
                raise TypeError("lm or summary is no object")
            return cls(RecurrentLM.from_parts(tensors, metadata["lm"]), units, weight, bonus, metadata["summary"])
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise LanguageModelError(f"the stored settings of rescoring are damaged: {error!r}") from None


def new_scores(hypotheses: Sequence[Hypothesis], read: np.ndarray, weight: float, bonus: float) -> np.ndarray:
    """Scores `(n,)` of hypotheses whose log-probabilities and numbers of tokens were `read (n, 2)`."""
    return np.array([hypothesis.score for hypothesis in hypotheses]) + read @ np.array([weight, bonus])
