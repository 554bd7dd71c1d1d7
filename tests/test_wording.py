"""Counts in messages: one, none and several."""

import pytest

from asr.wording import counted


@pytest.mark.parametrize(
    ("text", "one", "two"),
    [
        ("left out {} utterance<s>, why", "left out 1 utterance, why", "left out 2 utterances, why"),
        ("{} line<s> repeat<s|> it", "1 line repeats it", "2 lines repeat it"),
        ("{} class<es> <is|are> new", "1 class is new", "2 classes are new"),
        ("an interval a > b, <s", "an interval a > b, <s", "an interval a > b, <s"),
    ],
)
def test_words_fit_the_count(text: str, one: str, two: str) -> None:
    assert [counted(text, number) for number in (1, 2)] == [one, two]
    assert counted(text, 0) == two.replace("2", "0")
