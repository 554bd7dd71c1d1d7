"""How many utterances are put into their class, and into which wrong ones the others go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.scoring.bootstrap import clusters, middle_95, resample


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Utterances in their class, in percent, with its 95 % interval; `resampled` says over what that was taken."""

    correct: int
    total: int
    interval: tuple[float, float]
    resampled: str

    @property
    def percent(self) -> float:
        return 100 * self.correct / self.total

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"%accuracy {self.percent:.2f} [{self.correct} / {self.total}] "
            f"95 % interval {low:.2f}-{high:.2f} over {self.resampled}"
        )


def accuracy(
    references: Sequence[str], hypotheses: Sequence[str], speakers: Sequence[str | None] | None = None
) -> Accuracy:
    """The accuracy of one or more utterances; its interval is the bootstrap's that `scoring.wer.score` takes."""
    right = np.array([a == b for a, b in zip(references, hypotheses, strict=True)])
    drawn = clusters(speakers or [None] * len(right))
    totals = resample(np.stack([right, np.ones_like(right)], axis=1).astype(np.int64), drawn)
    interval = middle_95(100 * totals[:, 0] / totals[:, 1])
    return Accuracy(int(right.sum()), len(right), interval, str(drawn))


def confusions(
    references: Sequence[str], hypotheses: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """How often each class, a row, was heard as each of `classes`, a column; the names of the rows.

    Rows are the classes, and after them those that only the references have.
    """
    names = [*classes, *sorted(set(references) - set(classes))]
    row_of = {name: row for row, name in enumerate(names)}
    counts = np.zeros((len(names), len(classes)), dtype=np.int64)
    np.add.at(counts, ([row_of[name] for name in references], [row_of[name] for name in hypotheses]), 1)
    return counts, names
