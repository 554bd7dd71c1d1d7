import json
from pathlib import Path

import numpy as np
import pytest
from conftest import run_asr
from oracles import edit_distance

from asr.errors import AsrError, ManifestError
from asr.scoring.files import pair_files, score_groups
from asr.scoring.wer import score
from asr.text import Normalizer


def test_counts_against_edit_distance() -> None:
    generator = np.random.default_rng(0)
    references, hypotheses = (
        [" ".join(generator.choice(["a", "bb", "ccc"], generator.integers(low, 7))) for _ in range(200)]
        for low in (1, 0)
    )
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


def test_final_line() -> None:
    references = ["yes no yes no yes no yes no"] * 30
    hypotheses = [*references[:29], "yes no yes no yes no yes"]
    line = str(score(references, hypotheses).wer)
    assert line == "%WER 0.42 [1 / 240, 0 ins, 1 del, 0 sub] 95 % interval 0.00-1.25"


def test_interval_against_the_normal_approximation() -> None:
    """400 utterances of one word each, 10 % wrong: the interval is that of a proportion."""
    result = score(["a"] * 400, ["b"] * 40 + ["a"] * 360)
    half = 196 * np.sqrt(0.1 * 0.9 / 400)
    assert result.wer.interval == pytest.approx((10 - half, 10 + half), abs=0.5)


def test_empty_references_and_hypotheses() -> None:
    result = score(["", "a b"], ["x y", ""])
    assert (result.wer.insertions, result.wer.deletions, result.wer.total) == (2, 2, 2)
    with pytest.raises(AsrError, match="no words"):
        score([""], ["x"])
    with pytest.raises(AsrError, match="1 references and 2"):
        score(["a"], ["a", "b"])


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps({"audio_filepath": f"{row['id']}.wav", **row}) for row in rows))
    return path


def test_manifests_are_matched_by_id_and_grouped(tmp_path: Path) -> None:
    reference = write_rows(
        tmp_path / "ref.jsonl",
        [{"id": "1", "text": "a b", "speaker": "x"}, {"id": "2", "text": "c d", "speaker": "y"}],
    )
    hypothesis = write_rows(
        tmp_path / "hyp.jsonl", [{"id": "2", "hypothesis": "c"}, {"id": "1", "hypothesis": " a  b"}]
    )
    lines = list(score_groups(pair_files(reference, hypothesis, Normalizer()), "speaker"))
    assert lines[0].startswith("speaker x: %WER 0.00 [0 / 2")
    assert lines[1].startswith("speaker y: %WER 50.00 [1 / 2")
    assert lines[2] == "mean WER over 2 values of speaker: 25.00 %"
    assert lines[-1].startswith("%WER 25.00 [1 / 4, 0 ins, 1 del, 0 sub]")
    with pytest.raises(AsrError, match="--by age"):
        list(score_groups(pair_files(reference, hypothesis, Normalizer()), "age"))


def test_missing_partners_are_an_error_not_a_better_score(tmp_path: Path) -> None:
    reference = write_rows(tmp_path / "ref.jsonl", [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}])
    one = write_rows(tmp_path / "one.jsonl", [{"id": "1", "hypothesis": "a"}])
    with pytest.raises(ManifestError, match=r"one\.jsonl: 1 utterances are missing: 2"):
        pair_files(reference, one, Normalizer())
    none = write_rows(tmp_path / "none.jsonl", [{"id": "1"}, {"id": "2"}])
    with pytest.raises(ManifestError, match="1 has no hypothesis"):
        pair_files(reference, none, Normalizer())


def test_plain_text_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("A b\nc\n")
    (tmp_path / "hyp.txt").write_text("a b\n\n")
    lines = list(score_groups(pair_files(tmp_path / "ref.txt", tmp_path / "hyp.txt", Normalizer(lower=True))))
    assert lines[-1].startswith("%WER 33.33 [1 / 3, 0 ins, 1 del, 0 sub]")
    (tmp_path / "short.txt").write_text("a b\n")
    with pytest.raises(ManifestError, match="has 2 lines"):
        pair_files(tmp_path / "ref.txt", tmp_path / "short.txt", Normalizer())


def test_normalised_as_a_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("Don\u2019t: A\n")
    (tmp_path / "hyp.txt").write_text("don't a\n")
    (tmp_path / "c.yaml").write_text("data: {train: t, validation: v}\ntext: {lower: true, strip_punctuation: true}\n")
    files = (tmp_path / "ref.txt", tmp_path / "hyp.txt")
    plain = run_asr("score", *files)
    assert plain.stdout.splitlines()[-1].startswith("%WER 100.00 [2 / 2")
    assert plain.stderr == "texts: NFC, white space collapsed\n"
    alike = run_asr("score", *files, "--config", tmp_path / "c.yaml")
    assert alike.stdout.splitlines()[-1].startswith("%WER 0.00 [0 / 2")
    assert alike.stderr == "texts: NFC, white space collapsed, punctuation stripped except ' inside words, lower case\n"
    assert run_asr("score", *files, "--config", tmp_path / "c.yaml", "--lower").returncode == 2
