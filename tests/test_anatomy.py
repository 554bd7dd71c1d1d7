"""Tables that show where the errors are, and the oracle of n-best lists."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.errors import AsrError, AudioError
from asr.scoring.anatomy import by_length, by_level, by_training, oracle
from asr.scoring.files import Pair, score_pairs
from asr.utterance import Utterance


def pairs_of(*texts: tuple[str, str]) -> list[Pair]:
    return [Pair(str(index), *both) for index, both in enumerate(texts)]


def test_unknown_and_rare_words() -> None:
    pairs = pairs_of(("a a b new", "a x b knew"), ("c new", "c new extra"))
    known, often = by_training(score_pairs(pairs), ["a " * 12, "b c", "b"])
    assert known.rows == [("unknown", 2, 1, 50.0), ("known", 4, 1, 25.0)]
    assert often.rows == [
        ("0", 2, 1, 50.0),
        ("1", 1, 0, 0.0),
        ("2-9", 1, 0, 0.0),
        ("10-99", 2, 1, 50.0),
    ]


def test_sums_are_those_of_the_score() -> None:
    generator = np.random.default_rng(0)
    texts = [
        tuple(" ".join(generator.choice(list("abcdef"), generator.integers(0, 20))) for _ in range(2))
        for _ in range(60)
    ]
    result = score_pairs(pairs_of(*texts))
    for table in by_training(result, ["a a a", "b c"]):
        _, words, missed, _ = zip(*table.rows, strict=True)
        assert (sum(words), sum(missed)) == (result.wer.total, result.wer.deletions + result.wer.substitutions)
    _, utterances, words, errors, _ = zip(*by_length(result).rows, strict=True)
    assert (sum(utterances), sum(words), sum(errors)) == (60, result.wer.total, result.wer.errors)


def test_lengths_in_bands_that_double() -> None:
    lengths = (0, 1, 2, 3, 4, 5, 8, 9, 16, 17)
    table = by_length(score_pairs(pairs_of(*[("w " * length, "w " * length) for length in lengths])))
    assert [row[:3] for row in table.rows] == [
        ("0", 1, 0), ("1", 1, 1), ("2", 1, 2), ("3-4", 2, 7), ("5-8", 2, 13), ("9-16", 2, 25), ("17-32", 1, 17),
    ]  # fmt: skip
    assert table.rows[0][-1] == "–"


def test_level_of_known_signals(tmp_path: Path) -> None:
    """A sine of amplitude 0.1 has -23 dB, one of 0.01 -43 dB, zeros are at the bottom; parts of files count alone."""
    sine = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000)
    soundfile.write(tmp_path / "a.wav", np.concatenate([0.1 * sine, 0.01 * sine, 0 * sine]), 16000, subtype="PCM_16")
    pairs = [
        Pair(
            str(start),
            "a",
            "a" if start else "b",
            None,
            Utterance(str(start), tmp_path / "a.wav", "a", float(start), 1.0),
        )
        for start in range(3)
    ]
    assert by_level(score_pairs(pairs), pairs).rows == [
        ("-96 to -90", 1, 1, 0, 0.0),
        ("-48 to -42", 1, 1, 0, 0.0),
        ("-24 to -18", 1, 1, 1, 100.0),
    ]
    with pytest.raises(AsrError, match="not a manifest"):
        by_level(score_pairs(pairs), pairs_of(("a", "a")))
    gone = [Pair("x", "a", "a", None, Utterance("x", tmp_path / "gone.wav"))]
    with pytest.raises(AudioError, match=r"gone\.wav"):
        by_level(score_pairs(gone), gone)


def test_oracle_takes_the_best_of_each_list() -> None:
    pairs = [
        Pair("1", "a b", "a x", nbest=("a x", "a b", "b")),
        Pair("2", "c d", "c", nbest=("c", "x y")),
        Pair("3", "e", "e"),
    ]
    rate = oracle(pairs)
    assert rate is not None and (rate.errors, rate.total) == (1, 5)
    assert oracle(pairs[2:]) is None
