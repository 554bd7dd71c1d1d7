"""Accuracy of classification, with its 95 % interval, and the table of confused classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.scoring.bootstrap import clusters
from asr.scoring.intervals import interval_95


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of utterances with the right class, in percent, with its 95 % interval.

    `resampled` names the units of the interval, `exact` is true where it is not a bootstrap: see `ErrorRate`.
    """

    correct: int
    total: int
    interval: tuple[float, float]
    resampled: str
    exact: bool = False

    @property
    def percent(self) -> float:
        return 100 * self.correct / self.total

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"%accuracy {self.percent:.2f} [{self.correct} / {self.total}] "
            f"{'exact ' * self.exact}95 % interval {low:.2f}-{high:.2f} over {self.resampled}"
        )


def accuracy(
    references: Sequence[str], hypotheses: Sequence[str], speakers: Sequence[str | None] | None = None
) -> Accuracy:
    """Return the accuracy of one or more utterances, with the interval that `scoring.wer.score` describes.

    The interval is exact where few utterances are wrong, and where few are right.
    """
    right = np.array([a == b for a, b in zip(references, hypotheses, strict=True)]).astype(np.int64)
    drawn = clusters(speakers or [None] * len(right))
    interval, exact = interval_95(right, np.ones_like(right), drawn)
    if not exact:
        (low, high), exact = interval_95(1 - right, np.ones_like(right), drawn)
        if exact:
            interval = (100 - high, 100 - low)
    return Accuracy(int(right.sum()), len(right), interval, str(drawn), exact)


def confusions(
    references: Sequence[str], hypotheses: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Count how often each class of the references (a row) was recognised as each of `classes` (a column).

    Returns the counts and the names of the rows: `classes`, then the classes that only the references have.
    """
    names = [*classes, *sorted(set(references) - set(classes))]
    row_of = {name: row for row, name in enumerate(names)}
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, ([row_of[name] for name in references], [row_of[name] for name in hypotheses]), 1)
    return counts, names
