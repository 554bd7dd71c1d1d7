"""The paired bootstrap that compares two systems."""

import numpy as np
import pytest

from asr.errors import AsrError
from asr.scoring.significance import Comparison, compare
from asr.scoring.wer import score

REFERENCES = ["one two three four"] * 40


def system(wrong: list[int]) -> list[str]:
    """Hypotheses with one word wrong in the utterances named."""
    return ["one two tree four" if index in wrong else text for index, text in enumerate(REFERENCES)]


def compared(a: list[int], b: list[int], speakers: list[str] | None = None) -> Comparison:
    return compare(score(REFERENCES, system(a)), score(REFERENCES, system(b)), speakers)


def test_identical_systems_are_even() -> None:
    same = compared([1, 5, 9], [1, 5, 9])
    assert (same.difference, same.interval, same.probability) == (0.0, (0.0, 0.0), 0.5)
    assert (same.better, same.worse) == (0, 0) and not any(same.fixed) and not any(same.broken)


def test_a_clearly_better_system_is_sure_and_so_is_the_reverse() -> None:
    better = compared(list(range(30)), [0, 1])
    assert better.probability > 0.999 and better.interval[1] < 0
    assert better.difference == pytest.approx(100 * -28 / 160)
    reverse = compared([0, 1], list(range(30)))
    assert reverse.probability == pytest.approx(1 - better.probability)
    assert reverse.interval == pytest.approx((-better.interval[1], -better.interval[0]))


def test_as_many_errors_elsewhere_are_even() -> None:
    even = compared(list(range(10)), list(range(10, 20)))
    assert even.difference == 0 and even.probability == pytest.approx(0.5, abs=0.02)


def test_interval_against_the_normal_approximation() -> None:
    """Differences of -1 in 12, +1 in 4 and 0 in 24 of 40 utterances of 4 words."""
    found = compared(list(range(12)), list(range(12, 16)))
    deltas = np.array([-1] * 12 + [1] * 4 + [0] * 24) / 4
    half = 1.96 * deltas.std() / np.sqrt(40)
    assert found.interval == pytest.approx((100 * (deltas.mean() - half), 100 * (deltas.mean() + half)), abs=1)


def test_speakers_are_drawn_whole() -> None:
    """B gains in one of eight speakers only: a resample misses that speaker with probability (7/8)^8 = 34 %."""
    speakers = [str(index // 5) for index in range(40)]
    found = compared(list(range(5)), [], speakers)
    assert found.resampled == "8 speakers"
    assert found.probability == pytest.approx(1 - (7 / 8) ** 8 / 2, abs=0.01)


def test_words_fixed_and_broken() -> None:
    references = ["a b c", "a b"]
    found = compare(score(references, ["a x", "a b"]), score(references, ["a b z", "y a"]))
    assert [[step[1:] for step in steps] for steps in found.fixed] == [[("b", "x")], []]
    assert [[step[1:] for step in steps] for steps in found.broken] == [[], [("b", "")]]
    fixed, broken = found.tables()
    assert fixed.rows == [("b", "x", 1)] and broken.rows == [("b", "∅", 1)]
    assert (found.better, found.worse) == (1, 1)


def test_different_references_cannot_be_compared() -> None:
    with pytest.raises(AsrError, match="references of the two systems differ"):
        compare(score(["a"], ["a"]), score(["b"], ["a"]))
