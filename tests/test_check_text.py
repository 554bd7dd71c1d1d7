"""The inspection of transcripts: hidden characters, look-alikes, the character table, unknown words, speeds."""

import numpy as np
import pytest

from asr.corpus.check_text import Scripts, character_table, hidden_characters, unknown_words, usual_speeds


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("plain, ASCII\ttext\r\n", ""),
        ("na\u00efve \u4f60\u597d \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ""),
        ("a\u200bb\ufeffc\u00add", "\u200b\ufeff\u00ad"),
        ("bell\x07 \ufffd \ue000 \u202e", "\x07\ufffd\ue000\u202e"),
    ],
)
def test_hidden_characters(text: str, hidden: str) -> None:
    assert set(hidden_characters(text)) == set(hidden)


def test_look_alikes_are_not_orthographies() -> None:
    latin = ["kata kama", "mat\u0430"]  # a Cyrillic а among Latin ones
    scripts = Scripts(latin)
    assert [*scripts.foreign_letters(latin[1])] == [("mat\u0430", "\u0430")] and scripts.is_look_alike("\u0430")
    russian = Scripts(["\u043a\u043e\u0442 \u043c\u0430\u043c\u0430 \u043b\u0430\u043ca", "cat"])
    assert [letter for _, letter in russian.foreign_letters("\u043b\u0430\u043ca")] == ["a"]
    assert russian.is_look_alike("a") and not [*russian.foreign_letters("\u043a\u043e\u0442 cat")]
    # A Greek epsilon is a mistake only if the corpus also holds the Latin letter; some Latin orthographies use it.
    assert not Scripts(["bh\u03b5\u03b5"]).is_look_alike("\u03b5")
    assert Scripts(["bh\u03ad", "b\u025b"]).is_look_alike("\u03ad")


def test_character_table() -> None:
    rows = [("train", "t:1", "kata 7"), ("train", "t:2", "kata"), ("test", "v:1", "k\u0101t\u0430")]
    scripts = Scripts(text for *_, text in rows)
    table = {row.glyph: row for row in character_table(rows, "train", scripts, list)}
    assert table["k"].counts == {"train": 2, "test": 1} and table["k"].flags == [] and table["k"].first == "t:1"
    assert table["7"].flags == ["digit", "singleton"]
    assert table["\u0101"].flags == ["singleton", "only outside training"]
    assert table["\u0430"].flags == ["look-alike", "singleton", "only outside training"]
    graphemes = character_table([("train", "t:1", "x")], "train", scripts, lambda text: ["e\u0331\u0301"])
    assert graphemes[0].code_points == "U+0065 U+0331 U+0301"
    assert graphemes[0].name == "LATIN SMALL LETTER E + COMBINING MACRON BELOW + COMBINING ACUTE ACCENT"


def test_unknown_words() -> None:
    texts = {"train": ["a b", "c"], "test": ["a d d", "b"], "validation": []}
    assert unknown_words(texts, "train") == {"test": (2, 4), "validation": (0, 0)}


def test_usual_speeds_ignore_the_outliers_themselves() -> None:
    generator = np.random.default_rng(0)
    speeds = 12 * np.exp(0.1 * generator.standard_normal(100))
    low, high = usual_speeds([*speeds, 0.1, 0.2, 500, 700])
    assert low == pytest.approx(6, rel=0.1) and high == pytest.approx(24, rel=0.1)
    assert usual_speeds([10] * 30) == pytest.approx((5, 20))
    assert usual_speeds([1, 100]) == (0, float("inf"))
