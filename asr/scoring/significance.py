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


def compare(
    a: Score, b: Score, speakers: Sequence[str | None] | None = None, *, alternatives: bool = False
) -> Comparison:
    """Compare two scores by a paired bootstrap (Bisani and Ney 2004): both systems are counted on the same resamples.

    Speakers are drawn if every utterance has one and there are six or more, else utterances. With `alternatives`, the
    two systems may choose other words of a reference; the words of such an utterance are neither fixed nor broken.
    Raises AsrError if the references differ otherwise.
    """
    if len(a.words.references) != len(b.words.references) or (
        not alternatives and a.words.references != b.words.references
    ):
        raise AsrError("the references of the two systems differ; score both against the same references in one order")
    counts_a, counts_b = (count_errors(result.words) for result in (a, b))
    errors_a, errors_b = (counts[:, 1:].sum(axis=1) for counts in (counts_a, counts_b))
    drawn = clusters(speakers or [None] * len(counts_a))
    totals = resample(np.stack([errors_a, counts_a[:, 0], errors_b, counts_b[:, 0]], axis=1), drawn)
    rates_a, rates_b = (totals[:, column] / np.maximum(totals[:, column + 1], 1) for column in (0, 2))
    fixed, broken = [], []
    for index, steps in enumerate(zip(edits(a.words), edits(b.words), strict=True)):
        alike = a.words.references[index] == b.words.references[index]
        sides = ([step for step in side if step.reference and alike] for side in steps)
        words = list(zip(*sides, strict=True))
        fixed.append([first for first, second in words if first.kind != "equal" and second.kind == "equal"])
        broken.append([second for first, second in words if first.kind == "equal" and second.kind != "equal"])
    return Comparison(
        difference=b.wer.percent - a.wer.percent,
        interval=middle_95(100 * (rates_b - rates_a)),
        resampled=str(drawn),
        probability=float(np.mean(rates_b < rates_a) + np.mean(rates_b == rates_a) / 2),
        fixed=fixed,
        broken=broken,
        better=int((errors_b < errors_a).sum()),
        worse=int((errors_b > errors_a).sum()),
    )


def _frequent(changes: Iterable[list[Edit]]) -> list:
    pairs = Counter((step.reference, step.hypothesis or NOTHING) for steps in changes for step in steps)
    return [(expected, found, count) for (expected, found), count in most_frequent(pairs)]
