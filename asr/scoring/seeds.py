"""Rates over several seeds: mean and standard deviation, and the difference of two groups of runs.

Two things vary: the seed of a training, and the utterances that happen to be in the test. The bootstrap draws
utterances and takes the seeds as they are. The t-test takes the utterances as they are and the seeds as drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from asr.errors import AsrError
from asr.scoring.bootstrap import cluster_sums, clusters, middle_95, resample


@dataclass(frozen=True, slots=True)
class Spread:
    """The rate of each seed in percent."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation of single seeds (n - 1 in the denominator); NaN for one seed."""
        return stdev(self.values) if len(self.values) > 1 else math.nan

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.deviation:.2f}" if len(self.values) > 1 else "")


def deviation_factors(seeds: int) -> tuple[float, float]:
    """Return the 95 % interval of a standard deviation over `seeds` values, as factors of it.

    Holds for values of a normal distribution. Two values say little: the interval is 0.45 to 31.9 times the deviation.
    """
    from scipy.special import chdtri  # quantiles of the chi-square distribution; scipy.stats takes longer to import

    free = seeds - 1
    return math.sqrt(free / float(chdtri(free, 0.025))), math.sqrt(free / float(chdtri(free, 0.975)))


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean rate of group B minus that of group A, in points of percent.

    `interval` is the 95 % interval of a paired bootstrap over `resampled`, and `probability` the share of resamples in
    which B has fewer errors; ties count half. `p_value` is that of Welch's t-test over seeds, two-sided; None if a
    group has one seed, or if no rate varies. `differing` counts the speakers or utterances whose mean errors differ:
    if they are few, the bootstrap says nothing.
    """

    points: float
    interval: tuple[float, float]
    resampled: str
    probability: float
    p_value: float | None
    differing: int


def compare_groups(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    items: np.ndarray,
    speakers: Sequence[str | None] | None = None,
) -> Difference:
    """Compare the errors of two groups of runs on the same utterances, `(utterances,)` for each run.

    `items (utterances,)` counts the words or characters of the references. For each utterance, the errors of all seeds
    of a group are added, and the sums are resampled together (Bisani and Ney 2004). Speakers are drawn if every
    utterance has one and there are six or more, else utterances. Raises AsrError if there are no items.
    """
    if not items.sum():
        raise AsrError("the references hold no words, so there is no error rate")
    drawn = clusters(speakers or [None] * len(items))
    totals = resample(np.stack([np.sum(a, axis=0), np.sum(b, axis=0), items], axis=1), drawn)
    per_unit = cluster_sums(np.stack([len(b) * np.sum(a, axis=0), len(a) * np.sum(b, axis=0)], axis=1), drawn)
    size = np.maximum(totals[:, 2], 1)
    rates_a, rates_b = totals[:, 0] / (len(a) * size), totals[:, 1] / (len(b) * size)
    of_a, of_b = ([100 * float(errors.sum() / items.sum()) for errors in group] for group in (a, b))
    return Difference(
        points=fmean(of_b) - fmean(of_a),
        interval=middle_95(100 * (rates_b - rates_a)),
        resampled=str(drawn),
        probability=float(np.mean(rates_b < rates_a) + np.mean(rates_b == rates_a) / 2),
        p_value=welch(of_a, of_b),
        differing=int((per_unit[:, 0] != per_unit[:, 1]).sum()),
    )


def welch(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Welch's t-test; None if a side has one value, or if no value varies."""
    from scipy.special import stdtr  # the distribution of Student's t

    if min(len(a), len(b)) < 2:
        return None
    parts = [stdev(side) ** 2 / len(side) for side in (a, b)]
    if not sum(parts):
        return None
    free = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True))
    return 2 * float(stdtr(free, -abs(fmean(b) - fmean(a)) / math.sqrt(sum(parts))))
