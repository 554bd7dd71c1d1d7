"""The power law of learning curves: known laws are found, another solver agrees, intervals cover what comes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from asr.errors import AsrError
from asr.learning.power_law import _EXPONENTS, Curve, Laws, _misfit, curve, fit
from asr.scoring.bootstrap import Clusters, clusters

AMOUNTS = np.array([0.5, 1.0, 2.0, 4.0])


@pytest.mark.parametrize(("a", "b", "c"), [(0.0, 20.0, 0.3), (5.0, 12.0, 0.5), (2.0, 30.0, 1.2), (8.0, 0.0, 1.0)])
def test_an_exact_law_is_found(a: float, b: float, c: float) -> None:
    laws = fit(AMOUNTS, (a + b * AMOUNTS**-c)[None], np.ones(4))
    for amount in (0.5, 3.0, 8.0, 16.0):
        assert laws(amount)[0] == pytest.approx(a + b * amount**-c, rel=0.002)


def test_the_fit_is_that_of_non_negative_least_squares_over_the_grid() -> None:
    generator = np.random.default_rng(0)
    rates = generator.uniform(5, 30, (40, 4))
    variances = generator.uniform(0.1, 2, 4)
    laws = fit(AMOUNTS, rates, variances)
    scale = 1 / np.sqrt(variances)
    for index, row in enumerate(rates):
        designs = [np.stack([np.ones(4), AMOUNTS**-c], axis=1) * scale[:, None] for c in _EXPONENTS]
        least = min(nnls(design, row * scale)[1] for design in designs)
        left = (row - np.array([laws(amount)[index] for amount in AMOUNTS])) * scale
        assert np.linalg.norm(left) == pytest.approx(least, rel=1e-6)
        assert laws.a[index] >= 0 and laws.b[index] >= 0


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw 1,000 resamples instead of 10,000, which is ten times as fast."""
    monkeypatch.setattr("asr.scoring.bootstrap.RESAMPLES", 1000)


def law_of(a: float, b: float, c: float) -> Callable[[float], float]:
    return lambda amount: float(a + b * amount**-c)


def bent_law(b: float, knee: float, before: float, after: float) -> Callable[[float], float]:
    return lambda amount: float(b * (amount / knee) ** -(before if amount < knee else after))


def simulate(generator: np.random.Generator, law: Callable[[float], float], seeds: int = 1) -> tuple[Curve, float]:
    """Return the curve of simulated trainings at 0.5 to 4 hours, and the rate of one training at 8 hours."""
    items = generator.integers(20, 40, 300)
    hardness = generator.gamma(4, 1 / 4, 300)
    errors = np.zeros((5, seeds, 300), np.int64)
    for size, amount in enumerate([*AMOUNTS, 8.0]):
        for seed in range(seeds):
            rate = law(amount) / 100 * np.exp(0.02 * generator.standard_normal())
            errors[size, seed] = generator.binomial(items, np.minimum(rate * hardness, 0.95))
    found = curve("CER", AMOUNTS.tolist(), errors[:4], items, clusters([None] * 300))
    return found, 100 * errors[4, 0].sum() / items.sum()


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_what_twice_the_data_gives(seeds: int) -> None:
    generator = np.random.default_rng(1)
    covered = []
    for _ in range(40):
        law = law_of(generator.uniform(0, 8), generator.uniform(8, 25), generator.uniform(0.2, 0.8))
        found, then = simulate(generator, law, seeds)
        forecast = found.forecast(8.0)
        assert forecast.low <= forecast.rate <= forecast.high
        covered.append(forecast.low <= then <= forecast.high)
    assert np.mean(covered) >= 0.85
    assert found.assumed is (seeds == 1) and (seeds == 1 or found.noise < 0.04)


def test_intervals_are_wider_where_the_curve_bends() -> None:
    """The slope of a curve changes at 1 or 2 hours; the misfit widens intervals that would miss what comes."""
    generator = np.random.default_rng(3)
    covered, narrow, misfits = [], [], []
    for _ in range(40):
        b, knee = generator.uniform(12, 30), generator.choice([1.0, 2.0])
        before, after = generator.uniform(0.1, 0.8, 2)
        found, then = simulate(generator, bent_law(b, knee, before, after))
        forecast, by_chance = found.forecast(8.0), replace(found, misfit=1.0, laws=refitted(found)).forecast(8.0)
        covered.append(forecast.low <= then <= forecast.high)
        narrow.append(by_chance.low <= then <= by_chance.high)
        misfits.append(found.misfit)
    assert np.mean(covered) >= 0.85 > np.mean(narrow)
    assert np.median(misfits) > 1.2 and "times as far from it as by chance" in found.formula


def refitted(found: Curve) -> Laws:
    """Return the laws of the resamples without the misfit."""
    return fit(found.amounts, found.resampled, found.resampled.var(axis=0))


def test_a_curve_that_follows_the_law_has_no_misfit() -> None:
    misfits = [simulate(np.random.default_rng(seed), law_of(3.0, 15.0, 0.5))[0].misfit for seed in range(12)]
    assert np.median(misfits) < 1.1 and min(misfits) == 1.0
    exact = np.array([5 + 12 * amount**-0.5 for amount in AMOUNTS])
    noise = np.random.default_rng(0).standard_normal((500, 4)) * 0.3
    variances = np.full(4, 0.09)
    laws = fit(AMOUNTS, exact[None], variances)
    assert _misfit(laws, AMOUNTS, exact, exact + noise, variances) == 1.0
    bent = exact + np.array([0.0, 3.0, 0.0, 3.0])
    laws = fit(AMOUNTS, bent[None], variances)
    # One parameter less than rates: chance leaves a mean loss of about 1, so the misfit is the root of the loss.
    assert _misfit(laws, AMOUNTS, bent, bent + noise, variances) == pytest.approx(
        np.sqrt(laws.loss(AMOUNTS, bent[None], variances)[0]), rel=0.35
    )


def test_the_forecast_from_half_the_data_is_a_curve_of_its_own() -> None:
    found, _ = simulate(np.random.default_rng(2), law_of(3.0, 15.0, 0.5))
    half = found.from_smaller()
    assert half is not None and half.amounts.tolist() == AMOUNTS[:3].tolist()
    forecast = half.forecast(4.0)
    assert forecast.low <= found.rates[-1] <= forecast.high
    assert half.from_smaller() is None
    wide, narrow = half.forecast(8.0), found.forecast(8.0)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_no_forecast_beyond_four_times_the_data() -> None:
    found, _ = simulate(np.random.default_rng(3), law_of(3.0, 15.0, 0.5))
    found.forecast(16.0)
    with pytest.raises(AsrError, match=r"16.10 hours are more than 4 times the 4.00 hours of training data"):
        found.forecast(16.1)


def test_a_flat_curve_and_a_rising_one_are_told() -> None:
    flat, _ = simulate(np.random.default_rng(4), law_of(12.0, 0.0, 1.0))
    assert flat.gain(8.0)[1] < 0.15 and flat.gain(8.0)[0] < 0.02
    falling, _ = simulate(np.random.default_rng(5), law_of(0.0, 20.0, 0.5))
    low, high = falling.gain(8.0)
    assert low < 1 - 2**-0.5 < high and low > 0.1
    assert falling.rises() == []
    items = np.full(200, 30)
    errors = np.stack([np.full((1, 200), count) for count in (6, 5, 9, 4)])
    rising = curve("CER", AMOUNTS.tolist(), errors, items, Clusters("utterance", np.arange(200)))
    assert rising.rises() == [(2, True)]
    again = curve("CER", AMOUNTS.tolist(), errors, items, Clusters("utterance", np.arange(200)))
    assert again.forecast(8.0) == rising.forecast(8.0)  # equal in each call
