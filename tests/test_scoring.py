"""Error rates against the edit distance, their 95 % intervals, and tables of errors."""

from pathlib import Path

import numpy as np
import pytest
from oracles import edit_distance
from processes import run_asr
from scipy.stats import binomtest

from asr.errors import AsrError
from asr.scoring.accuracy import accuracy
from asr.scoring.alignment import aligned_lines, confusions, edits, missed
from asr.scoring.bootstrap import MIN_SPEAKERS, clusters
from asr.scoring.intervals import exact_95
from asr.scoring.wer import count_errors, score
from asr.text import Normalizer


def random_texts(seed: int, count: int) -> tuple[list[str], list[str]]:
    """References of at least one word, hypotheses that may be empty."""
    generator = np.random.default_rng(seed)
    references, hypotheses = (
        [" ".join(generator.choice(["a", "bb", "ccc"], generator.integers(low, 7))) for _ in range(count)]
        for low in (1, 0)
    )
    return references, hypotheses


def test_counts_against_edit_distance() -> None:
    references, hypotheses = random_texts(0, 200)
    result = score(references, hypotheses)
    expected = [edit_distance(r.split(), h.split()) for r, h in zip(references, hypotheses, strict=True)]
    assert result.wer.errors == sum(expected)
    assert result.utterances_with_errors == sum(map(bool, expected))
    assert result.wer.total == sum(len(r.split()) for r in references)
    assert result.cer.errors == sum(
        edit_distance(list(r), list(h)) for r, h in zip(references, hypotheses, strict=True)
    )
    assert result.wer.interval[0] < result.wer.percent < result.wer.interval[1]
    assert score(references, hypotheses) == result


def test_edits_spell_both_texts_with_as_many_errors_as_the_edit_distance() -> None:
    references, hypotheses = random_texts(1, 100)
    result = score(references, hypotheses, interval=False)
    for alignment, split in ((result.words, str.split), (result.characters, list)):
        rows = zip(edits(alignment), count_errors(alignment), references, hypotheses, strict=True)
        for steps, counts, reference, hypothesis in rows:
            assert [step.reference for step in steps if step.reference] == split(reference)
            assert [step.hypothesis for step in steps if step.hypothesis] == split(hypothesis)
            assert all((step.kind == "equal") == (step.reference == step.hypothesis) for step in steps)
            errors = sum(step.kind != "equal" for step in steps)
            assert errors == counts[1:].sum() == edit_distance(split(reference), split(hypothesis))


def test_final_line() -> None:
    references = ["yes no yes no yes no yes no"] * 30
    hypotheses = [*references[:29], "yes no yes no yes no yes"]
    line = str(score(references, hypotheses).wer)
    assert line == "%WER 0.42 [1 / 240, 0 ins, 1 del, 0 sub] exact 95 % interval 0.00-3.38 over 30 utterances"
    line = str(score(references, [text.replace("yes", "yet", 1) for text in references[:5]] + references[5:]).wer)
    assert line == "%WER 2.08 [5 / 240, 0 ins, 0 del, 5 sub] 95 % interval 0.42-3.75 over 30 utterances"


def test_interval_against_the_normal_approximation() -> None:
    """400 utterances of one word each, 10 % wrong: the interval of a proportion."""
    result = score(["a"] * 400, ["b"] * 40 + ["a"] * 360)
    half = 196 * np.sqrt(0.1 * 0.9 / 400)
    assert result.wer.interval == pytest.approx((10 - half, 10 + half), abs=0.5)


@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_interval_of_few_errors_is_that_of_clopper_and_pearson(wrong: int) -> None:
    """300 utterances of one word each, as scipy computes the interval of a proportion."""
    rate = score(["a"] * 300, ["b"] * wrong + ["a"] * (300 - wrong)).wer
    expected = binomtest(wrong, 300).proportion_ci(method="exact")
    assert rate.exact and rate.interval == pytest.approx((100 * expected.low, 100 * expected.high))
    assert "] exact 95 % interval " in str(rate)
    assert not score(["a"] * 300, ["b"] * 5 + ["a"] * 295).wer.exact


def test_interval_of_few_errors_is_wider_where_words_come_in_few_units() -> None:
    """1200 words without an error in fewer and fewer utterances; four errors in one utterance and in four."""
    perfect = [[" ".join("a" * size)] * (1200 // size) for size in (1, 4, 20, 240)]
    high = [score(texts, texts).wer.interval[1] for texts in perfect]
    assert high == sorted(set(high))
    assert high[0] == pytest.approx(100 * (1 - 0.025 ** (1 / 1200)))
    references = ["a b c d"] * 40
    apart = score(references, ["x b c d"] * 4 + references[4:]).wer
    together = score(references, ["x y z w", *references[1:]]).wer
    assert apart.errors == together.errors == 4 and apart.exact and together.exact
    assert apart.interval[1] < together.interval[1]
    speakers = [str(index % 8) for index in range(40)]
    by_speaker = score(references, references, speakers=speakers).wer
    assert by_speaker.interval[1] > score(references, references).wer.interval[1]
    assert str(by_speaker).endswith("over 8 speakers")


def test_interval_of_few_errors_holds_the_true_rate() -> None:
    """30 utterances of 8 words whose rates differ: the interval misses the true rate in at most 5 draws of 100."""
    generator = np.random.default_rng(0)
    logits = -6 + 2 * generator.standard_normal((100, 30))
    errors = generator.binomial(8, 1 / (1 + np.exp(-logits)))
    true = 100 * np.mean(1 / (1 + np.exp(6 - 2 * generator.standard_normal(100_000))))
    bounds = [exact_95(row, np.full(30, 8)) for row in errors]
    assert sum(low <= true <= high for low, high in bounds) >= 95
    assert all(low <= 100 * row.sum() / 240 <= high for (low, high), row in zip(bounds, errors, strict=True))


def test_more_insertions_than_words_keep_the_rate_inside_its_interval() -> None:
    rate = score(["a", "b c"], ["a x y z w", "b c"]).wer
    assert rate.exact and rate.interval[0] < rate.percent < rate.interval[1]
    assert rate.percent == pytest.approx(400 / 3)
    assert score(["a"], ["x y z"]).wer.interval[1] == pytest.approx(300)


def test_accuracy_of_all_right_and_of_all_wrong() -> None:
    expected = 100 * 0.025 ** (1 / 50)
    assert accuracy(["a"] * 50, ["a"] * 50).interval == pytest.approx((expected, 100))
    assert accuracy(["a"] * 50, ["b"] * 50).interval == pytest.approx((0, 100 - expected))
    assert str(accuracy(["a"] * 50, ["a"] * 50)) == (
        "%accuracy 100.00 [50 / 50] exact 95 % interval 92.89-100.00 over 50 utterances"
    )
    assert not accuracy(["a"] * 50, ["b"] * 10 + ["a"] * 40).exact


def test_interval_by_speaker_is_wider_where_speakers_differ() -> None:
    """20 speakers of 20 words, 10 of them always wrong: as many independent draws as there are speakers."""
    speakers = [f"speaker {index // 20}" for index in range(400)]
    hypotheses = ["b" if index // 20 < 10 else "a" for index in range(400)]
    by_speaker = score(["a"] * 400, hypotheses, speakers=speakers).wer
    half = 196 * np.sqrt(0.5 * 0.5 / 20)
    assert by_speaker.interval == pytest.approx((50 - half, 50 + half), abs=3)
    assert str(by_speaker).endswith("over 20 speakers")
    assert score(["a"] * 400, hypotheses).wer.interval == pytest.approx((45, 55), abs=0.5)


def test_few_or_unknown_speakers_are_not_resampled() -> None:
    many = [str(index % MIN_SPEAKERS) for index in range(40)]
    assert str(clusters(many)) == f"{MIN_SPEAKERS} speakers"
    assert str(clusters([*many[:-1], None])) == "40 utterances"
    assert str(clusters([str(index % (MIN_SPEAKERS - 1)) for index in range(40)])) == "40 utterances"
    assert str(clusters(["x"])) == "1 utterance"


def test_empty_references_and_hypotheses() -> None:
    result = score(["", "a b"], ["x y", ""])
    assert (result.wer.insertions, result.wer.deletions, result.wer.total) == (2, 2, 2)
    with pytest.raises(AsrError, match="no words"):
        score([""], ["x"])
    with pytest.raises(AsrError, match="1 reference and 2"):
        score(["a"], ["a", "b"])


def test_texts_are_normalised_as_the_command_does() -> None:
    result = score(["  \u0065\u0301  b\u200b "], ["\u00e9 b"])
    assert (result.wer.errors, result.cer.errors, result.wer.total) == (0, 0, 2)
    assert score(["A b"], ["a b"]).wer.errors == 1
    assert score(["A b"], ["a b"], normalizer=Normalizer(lower=True)).wer.errors == 0
    assert score(["a-b"], ["a b"], normalizer=lambda text: text.replace("-", " ")).wer.errors == 0


def test_wrong_arguments_of_score() -> None:
    with pytest.raises(AsrError, match=r"references must be a list of texts, one for each utterance.*\['a b'\]"):
        score("a b", ["a c"])
    with pytest.raises(AsrError, match="hypotheses must be a list of texts"):
        score(["a b"], "a b")
    with pytest.raises(AsrError, match=r"hypotheses\[1\] is not a text but NoneType"):
        score(["a", "b"], ["a", None])  # type: ignore[list-item]


def test_aligned_lines_stand_under_each_other_in_any_script() -> None:
    substituted, inserted = edits(score(["a 한국 bab c", "a b"], ["a 말 c", "a xyz b"], interval=False).words)
    assert aligned_lines(substituted).split("\n") == [
        "  REF a 한국 bab c",
        "  HYP a 말   *** c",
        "        S    D",
    ]
    assert aligned_lines(inserted, "B").split("\n") == ["  REF a *** b", "  B   a xyz b", "        I"]


def test_confusions_and_missed_words() -> None:
    references, hypotheses = ["a b", "a b", "a b c", "x\u0323\u0301 y"], ["a c", "a c", "a c d c", "x\u0301"]
    result = score(references, hypotheses, interval=False)
    assert confusions(result.words).rows == [
        ("b", "c", 2),
        ("∅", "c", 1),
        ("b", "d", 1),
        ("x\u0323\u0301", "x\u0301", 1),
        ("y", "∅", 1),
    ]
    assert ("◌\u0323", "∅", 1) in confusions(result.characters).rows
    assert ("␣", "∅", 1) in confusions(result.characters).rows
    assert missed(result.words).rows == [("b", 3, 3, 100.0), ("x\u0323\u0301", 1, 1, 100.0), ("y", 1, 1, 100.0)]
    assert str(missed(result.words)).split("\n")[:3] == [
        "Most missed words",
        "  word  missed  of       %",
        "  b          3   3  100.00",
    ]


def test_normalised_as_a_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("Don\u2019t: A\n")
    (tmp_path / "hyp.txt").write_text("don't a\n")
    (tmp_path / "c.yaml").write_text("data: {train: t, validation: v}\ntext: {lower: true, strip_punctuation: true}\n")
    files = (tmp_path / "ref.txt", tmp_path / "hyp.txt")
    plain = run_asr("score", *files)
    assert plain.stdout.splitlines()[-1].startswith("%WER 100.00 [2 / 2")
    assert plain.stdout.splitlines()[-1].endswith("; NFC, white space collapsed")
    alike = run_asr("score", *files, "--config", tmp_path / "c.yaml")
    assert alike.stdout.splitlines()[-1].startswith("%WER 0.00 [0 / 2")
    assert alike.stdout.splitlines()[-1].endswith("punctuation stripped except ' inside words, lower case")
    assert run_asr("score", *files, "--config", tmp_path / "c.yaml", "--lower").returncode == 2
