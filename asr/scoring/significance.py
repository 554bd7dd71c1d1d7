"""Comparison of two systems on the same utterances: is B better than A, and could the difference be chance?"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.errors import AsrError
from asr.scoring.alignment import NOTHING, Edit, edits, most_frequent
from asr.scoring.bootstrap import clusters, middle_95, resample
from asr.scoring.tables import Table
from asr.scoring.wer import Score, count_errors


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of system B with system A.

    `difference` is the WER of B minus the WER of A in points, `interval` its 95 % interval. `probability` is the share
    of resamples in which B is better; ties count half. For each utterance, `fixed` holds A's errors on reference words
    that B has right, and `broken` holds B's errors on words that A has right. `better` and `worse` count the utterances
    in which B makes fewer and more errors.
    """

    difference: float
    interval: tuple[float, float]
    resampled: str
    probability: float
    fixed: list[list[Edit]]
    broken: list[list[Edit]]
    better: int
    worse: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"B - A: {self.difference:+.2f} points of WER, 95 % interval {low:+.2f} to {high:+.2f} over "
            f"{self.resampled}; B is better with probability {100 * self.probability:.1f} %\n"
            f"words: {sum(map(len, self.fixed))} fixed, {sum(map(len, self.broken))} broken; "
            f"utterances: {self.better} better, {self.worse} worse, {len(self.fixed) - self.better - self.worse} equal"
        )

    def tables(self) -> list[Table]:
        """Return the words most often fixed and broken, with the words recognised instead."""
        columns = ("reference", "hypothesis", "times")
        return [
            Table(title, columns, _frequent(changes))
            for title, changes in (
                ("Words that A has wrong and B right", self.fixed),
                ("Words that A has right and B wrong", self.broken),
            )
        ]


def compare(a: Score, b: Score, speakers: Sequence[str | None] | None = None) -> Comparison:
    """Compare two scores by a paired bootstrap (Bisani and Ney 2004): both systems are counted on the same resamples.

    Speakers are drawn if every utterance has one and there are six or more, else utterances. Raises AsrError if the
    references differ.
    """
    if a.words.references != b.words.references:
        raise AsrError("the references of the two systems differ; score both against the same references in one order")
    lengths = count_errors(a.words)[:, 0]
    errors_a, errors_b = (count_errors(result.words)[:, 1:].sum(axis=1) for result in (a, b))
    drawn = clusters(speakers or [None] * len(lengths))
    totals = resample(np.stack([errors_b - errors_a, lengths], axis=1), drawn)
    fixed, broken = [], []
    for steps in zip(edits(a.words), edits(b.words), strict=True):
        words = list(zip(*([step for step in side if step.reference] for side in steps), strict=True))
        fixed.append([first for first, second in words if first.kind != "equal" and second.kind == "equal"])
        broken.append([second for first, second in words if first.kind == "equal" and second.kind != "equal"])
    return Comparison(
        difference=b.wer.percent - a.wer.percent,
        interval=middle_95(100 * totals[:, 0] / np.maximum(totals[:, 1], 1)),
        resampled=str(drawn),
        probability=float(np.mean(totals[:, 0] < 0) + np.mean(totals[:, 0] == 0) / 2),
        fixed=fixed,
        broken=broken,
        better=int((errors_b < errors_a).sum()),
        worse=int((errors_b > errors_a).sum()),
    )


def _frequent(changes: Iterable[list[Edit]]) -> list:
    pairs = Counter((step.reference, step.hypothesis or NOTHING) for steps in changes for step in steps)
    return [(expected, found, count) for (expected, found), count in most_frequent(pairs)]
