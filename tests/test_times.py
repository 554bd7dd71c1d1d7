"""Times of words on a CTC path: in order, without overlap, inside their segment, and not cut short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.decoding.times import LINGER, Word, words_on_path
from asr.text import Units

UNITS = Units("ab ")  # 0 is the blank
STRIDE = 0.04  # seconds


def words(path: list[int], start: int = 0) -> tuple[Word, ...]:
    return words_on_path(
        np.array(path), np.zeros(len(path)), UNITS, spell=UNITS.decode, start=start, seconds_per_frame=STRIDE
    )


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 5))
def test_words_are_in_order_and_inside_their_segment(path: list[int], start: int) -> None:
    found = words(path, start)
    times = [time for word in found for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(word.start < word.end for word in found)
    assert not times or ((start - 0.5) * STRIDE <= times[0] and times[-1] <= (start + len(path) - 0.5) * STRIDE)


@pytest.mark.parametrize(
    ("blanks", "pause"),
    [(0, 0.0), (1, 0.0), (3, 4 * STRIDE - LINGER), (9, 10 * STRIDE - LINGER)],
)
def test_a_word_lasts_until_the_next_word_or_lingers_in_a_pause(blanks: int, pause: float) -> None:
    first, second = words([0, 1, 3, *[0] * blanks, 2, 0, 0, 0, 0])
    assert second.start - first.end == pytest.approx(pause)
    assert second.end == pytest.approx(second.start + STRIDE + LINGER)
