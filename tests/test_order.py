"""Keyed order: a permutation in each pass, local, a function of seed and epoch alone, with exact shares of corpora."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from asr.training.epochs import Epochs, Planner, count_steps, planned_batches
from asr.training.order import BLOCK, WINDOW, KeyedOrder, Part, divide, shares_of


def lines_of(order: KeyedOrder, epoch: int) -> np.ndarray:
    return np.concatenate(order.windows(epoch))


@pytest.mark.parametrize("lines", [1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 20 * BLOCK + 7])
@pytest.mark.parametrize("per_epoch", [1, 0.37, 2.5])
def test_each_pass_has_every_line_once(lines: int, per_epoch: float) -> None:
    """Epochs of any length: the lines of three passes, one after the other, are three permutations."""
    size = max(1, round(lines * per_epoch))
    order = KeyedOrder([Part(100, lines, size)], seed=3)
    epochs = -(-3 * lines // size)
    seen = Counter(np.concatenate([lines_of(order, epoch) for epoch in range(epochs)]).tolist())
    assert sum(seen.values()) == epochs * size
    assert set(seen) == set(range(100, 100 + lines))
    assert set(seen.values()) <= {3, 4, 5, 6}  # the last epoch may begin further passes
    if epochs * size == 3 * lines:
        assert set(seen.values()) == {3}


def test_an_epoch_of_all_lines_is_a_permutation_in_another_order_each_time() -> None:
    order = KeyedOrder([Part(0, 100_000, 100_000)], seed=0)
    epochs = [lines_of(order, epoch) for epoch in range(3)]
    for lines in epochs:
        np.testing.assert_array_equal(np.sort(lines), np.arange(100_000))
    assert not any(np.array_equal(left, right) for left, right in pairwise(epochs))


def test_an_epoch_needs_no_other_epoch_and_depends_on_the_seed() -> None:
    parts = [Part(0, 50_000, 12_345.5), Part(50_000, 700, 500.25)]
    alone = lines_of(KeyedOrder(parts, seed=7), 5)
    order = KeyedOrder(parts, seed=7)
    np.testing.assert_array_equal([lines_of(order, epoch) for epoch in range(6)][5], alone)
    assert not np.array_equal(lines_of(KeyedOrder(parts, seed=8), 5), alone)
    assert order.generator(5, 0).random() != order.generator(5, 1).random() != order.generator(4, 0).random()


def test_a_window_reads_few_ranges() -> None:
    """One million lines: a window has about 8,192 lines in at most 18 contiguous ranges of at most 512 lines."""
    windows = KeyedOrder([Part(0, 1_000_000, 200_000)], seed=1).windows(2)
    assert len(windows) == round(200_000 / WINDOW)
    for lines in windows:
        assert abs(len(lines) - WINDOW) < 2 * BLOCK
        blocks = np.unique(lines // BLOCK)
        assert len(blocks) <= WINDOW // BLOCK + 2
        assert len(np.unique(lines)) == len(lines)


def test_shares_are_reached_within_an_utterance() -> None:
    """The audio of each corpus has its share, whatever the lengths of its utterances; all windows are mixed."""
    sizes, seconds = [40_000, 3_000, 90], [200_000.0, 6_000.0, 900.0]
    shares = shares_of(seconds, weights=[5, 3, 2])
    parts = divide(sizes, seconds, shares, 30_000)
    order = KeyedOrder(parts, seed=0)
    mean = np.array(seconds) / sizes
    for epoch in range(3):
        counts = [0, 0, 0]
        for lines in order.windows(epoch):
            of = np.searchsorted(np.cumsum(sizes), lines, side="right")
            assert set(of.tolist()) == {0, 1, 2}
            counts = counts + np.bincount(of, minlength=3)
        np.testing.assert_allclose(counts, [part.per_epoch for part in parts], atol=1)
        np.testing.assert_allclose(counts * mean / (counts * mean).sum(), shares, atol=1e-3)


def test_temperature_and_weights() -> None:
    hours = [100.0, 1.0]
    assert shares_of(hours) == pytest.approx([100 / 101, 1 / 101])
    assert shares_of(hours, temperature=1) == shares_of(hours)
    assert shares_of(hours, temperature=0) == [0.5, 0.5]
    assert shares_of(hours, temperature=0.5) == pytest.approx([10 / 11, 1 / 11])
    assert shares_of(hours, weights=[3, 1]) == [0.75, 0.25]
    proportional = divide([10, 40], [50.0, 20.0], shares_of([50.0, 20.0]), 50)
    assert [part.per_epoch for part in proportional] == pytest.approx([10, 40])


def test_a_corpus_smaller_than_a_batch_fills_epochs_by_many_passes() -> None:
    order = KeyedOrder([Part(0, 3, 10_000)], seed=0)
    counts = Counter(lines_of(order, 0).tolist())
    assert sum(counts.values()) == 10_000 and max(counts.values()) - min(counts.values()) <= 1


def test_epochs_are_planned_when_they_are_asked_for() -> None:
    planned: list[int] = []

    def plan(epoch: int) -> list[int]:
        planned.append(epoch)
        return [epoch] * (4 if epoch == 0 else 5)

    epochs = Epochs(Planner(plan), range(1000))
    assert count_steps(epochs) == 4000 and planned_batches(epochs) == [0] * 4 and planned == [0]
    assert epochs[7] == epochs[7] == [7] * 5 and planned == [0, 7]
    assert len(epochs.of(3)) == 3 and count_steps(epochs[998:]) == 8 and planned == [0, 7]
    assert epochs[998:][1] == [999] * 5
    assert count_steps([[1, 2], [3]]) == 3 and planned_batches([[1, 2], [3]]) == [1, 2, 3]
