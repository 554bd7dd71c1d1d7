"""Error rates at several amounts of data -> the rate at a larger amount, with an interval.

The error rate of a learner falls with the amount `n` of data as `a + b n^-c` (Hestness et al. 2017,
https://arxiv.org/abs/1712.00409). Four amounts cannot fix three parameters well, so the parameters are bounded
(`a`, `b` >= 0, `c` from 0.02 to 1.5), and the interval shows what is left open: the law is fitted to many resamples of
the validation data, with the noise of training added, and the forecast of each is kept. If the rates lie further from
the law than that noise explains, as where a curve bends, the resamples are spread wider by as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asr.errors import AsrError
from asr.scoring.bootstrap import Clusters, middle_95, resample

MOST = 4.0  # times the data at hand: no forecast beyond
# Deviation of one training over its mean: other seeds, and other utterances of as much data. Measured over seeds:
# 0.5 to 2 % on Mboshi with hours, up to 4 % with minutes (docs/experiments/mboshi.md, defaults.md).
NOISE = 0.03
_LEAST_NOISE = 0.01  # few seeds can agree by chance
_ROUNDING = 1.0001  # four times the data, computed in another way, is still four times
_PARAMETERS = 3  # a, b and c of a law
_SEEN = 1.05  # misfit that is worth a word
_EXPONENTS = np.linspace(0.02, 1.5, 75)


@dataclass(frozen=True, slots=True, eq=False)
class Laws:
    """Power laws `a + b n^-c`; each parameter is an array `(R,)` of one law for each resample."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def __call__(self, amount: float) -> np.ndarray:
        """Return the error rate of each law `(R,)` at an amount of data."""
        return np.asarray(self.a + self.b * amount**-self.c)

    def loss(self, amounts: np.ndarray, rates: np.ndarray, variances: np.ndarray) -> np.ndarray:
        """Return the squared distances `(R,)` of `rates (R, K)` from the laws, in units of the variances."""
        fitted = np.stack([self(amount) for amount in amounts], axis=1)
        return np.asarray((np.square(rates - fitted) / variances).sum(axis=1))


def fit(amounts: np.ndarray, rates: np.ndarray, variances: np.ndarray) -> Laws:
    """Fit a law to each row of `rates (R, K)`, measured at `amounts (K,)` with `variances (K,)`.

    Weighted least squares with a, b >= 0 is solved exactly for each exponent of a grid, and the best exponent is kept.
    So the fit is deterministic, and has no local minimum.
    """
    weights = 1 / variances
    best = np.full(len(rates), np.inf)
    laws = Laws(*(np.zeros(len(rates)) for _ in range(3)))
    for exponent in _EXPONENTS:
        falling = amounts**-exponent
        for a, b in _solutions(falling, rates, weights):
            loss = (weights * (rates - a[:, None] - b[:, None] * falling) ** 2).sum(axis=1)
            better = (a >= 0) & (b >= 0) & (loss < best)
            best[better] = loss[better]
            laws.a[better], laws.b[better], laws.c[better] = a[better], b[better], exponent
    return laws


def _solutions(falling: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the least squares (a, b) without bounds, with a = 0, and with b = 0: one of them is best within bounds."""
    total, ones = weights.sum(), np.zeros(len(rates))
    x, y = (weights * falling).sum() / total, (rates * weights).sum(axis=1) / total
    slope = ((falling - x) * weights * (rates - y[:, None])).sum(axis=1) / (weights * (falling - x) ** 2).sum()
    through_zero = (rates * weights * falling).sum(axis=1) / (weights * falling**2).sum()
    return [(y - slope * x, slope), (ones, through_zero), (y, ones)]


def require_near(amount: float, at_hand: float) -> None:
    """Raise AsrError if `amount` hours are more than four times the hours at hand."""
    if amount > MOST * at_hand * _ROUNDING:
        raise AsrError(
            f"{amount:.2f} hours are more than {MOST:g} times the {at_hand:.2f} hours of training data, and nothing "
            "that was measured says what happens so far away; ask for less, and ask again with more data"
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """An error rate in percent at an amount of data, and its 95 % interval."""

    rate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.rate:.1f} ({self.low:.1f} to {self.high:.1f})"


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """An error rate measured at several amounts of data, and the law that is fitted to it.

    `rates (K,)` are in percent, means over seeds, at `amounts (K,)` in hours. `noise` is the relative deviation of one
    training, `assumed` unless several seeds measure it. `resampled (R, K)` are rates of resamples with this noise.
    `misfit` tells how many times as far as by chance the rates lie from the law, at least 1; `laws` count it in.
    """

    name: str
    amounts: np.ndarray
    rates: np.ndarray
    noise: float
    assumed: bool
    misfit: float
    resampled: np.ndarray = field(repr=False)
    law: Laws = field(repr=False)
    laws: Laws = field(repr=False)

    @property
    def formula(self) -> str:
        """The fitted law, in words."""
        a, b, c = (float(value[0]) for value in (self.law.a, self.law.b, self.law.c))
        source = "assumed" if self.assumed else "measured over seeds"
        law = f"{self.name} = {a:.2f} + {b:.2f} x hours^-{c:.2f}; a training varies by {self.noise:.1%} ({source})"
        if self.misfit < _SEEN:
            return law
        return f"{law}; the parts lie {self.misfit:.1f} times as far from it as by chance, so its intervals are wider"

    def fitted(self, amount: float) -> float:
        """Return the rate of the fitted law, in percent."""
        return float(self.law(amount)[0])

    def forecast(self, amount: float) -> Forecast:
        """Forecast the rate of one training on `amount` hours.

        Raises AsrError for more than four times the data at hand.
        """
        require_near(amount, float(self.amounts[-1]))
        rates = self.laws(amount) * np.exp(
            self.misfit * self.noise * _generator(1).standard_normal(len(self.resampled))
        )
        return Forecast(self.fitted(amount), *middle_95(rates))

    def gain(self, amount: float) -> tuple[float, float]:
        """Return the 95 % interval of the share of errors that `amount` hours save, compared with all data at hand."""
        return middle_95(1 - self.laws(amount) / np.maximum(self.laws(float(self.amounts[-1])), 1e-9))

    def rises(self) -> list[tuple[int, bool]]:
        """Return the indices of amounts with a higher rate than the amount before, and whether that is no chance."""
        shares = (self.resampled[:, 1:] > self.resampled[:, :-1]).mean(axis=0)
        return [
            (index + 1, bool(shares[index] > 0.975))
            for index in range(len(self.rates) - 1)
            if self.rates[index + 1] > self.rates[index]
        ]

    def from_smaller(self) -> "Curve | None":
        """Return the curve without the largest amount, or None if fewer than three amounts are left."""
        if len(self.amounts) < 4:
            return None
        return _curve(self.name, self.amounts[:-1], self.rates[:-1], self.noise, self.assumed, self.resampled[:, :-1])


def curve(name: str, amounts: Sequence[float], errors: np.ndarray, items: np.ndarray, drawn: Clusters) -> Curve:
    """Fit the curve of an error rate.

    `errors (K, seeds, utterances)` are the errors of each training in each validation utterance, `items (utterances,)`
    the words or characters of its reference. Resamples of the utterances are equal for all trainings (paired).
    """
    sizes, seeds, _ = errors.shape
    rates = 100 * errors.sum(axis=2) / items.sum()  # (K, seeds)
    noise = NOISE
    if seeds > 1:
        spread = np.log(np.maximum(rates, 1e-3)).var(axis=1, ddof=1)
        noise = max(_LEAST_NOISE, float(np.sqrt(spread.mean())))
    totals = resample(np.concatenate([errors.reshape(sizes * seeds, -1), items[None]]).T, drawn)
    drawn_rates = 100 * totals[:, :-1] / np.maximum(totals[:, -1:], 1)  # (R, K * seeds)
    means = drawn_rates.reshape(len(totals), sizes, seeds).mean(axis=2)
    shaken = means * np.exp(noise / np.sqrt(seeds) * _generator(0).standard_normal(means.shape))
    return _curve(name, np.asarray(amounts, float), rates.mean(axis=1), noise, seeds == 1, shaken)


def _curve(
    name: str, amounts: np.ndarray, rates: np.ndarray, noise: float, assumed: bool, resampled: np.ndarray
) -> Curve:
    variances = np.maximum(resampled.var(axis=0), 1e-9)
    law = fit(amounts, rates[None], variances)
    misfit = _misfit(law, amounts, rates, resampled, variances)
    laws = fit(amounts, np.maximum(rates + misfit * (resampled - rates), 0.0), variances)
    return Curve(name, amounts, rates, noise, assumed, misfit, resampled, law, laws)


def _misfit(law: Laws, amounts: np.ndarray, rates: np.ndarray, resampled: np.ndarray, variances: np.ndarray) -> float:
    """Return how many times as far as by chance the rates lie from their law, at least 1.

    Chance is what the resamples of a corpus that follows the law would show. Three rates leave nothing to judge three
    parameters by.
    """
    if len(amounts) <= _PARAMETERS:
        return 1.0
    fitted = np.array([law(amount)[0] for amount in amounts])
    chance = fitted + resampled - rates
    by_chance = fit(amounts, chance, variances).loss(amounts, chance, variances).mean()
    return float(np.sqrt(max(1.0, law.loss(amounts, rates[None], variances)[0] / max(by_chance, 1e-9))))


def _generator(number: int) -> np.random.Generator:
    return np.random.default_rng([20261130, number])
