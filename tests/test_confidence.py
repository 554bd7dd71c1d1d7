"""Calibration of confidences against a known truth; tuning of confidence and rejection on simulated utterances."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from test_decoder import Spoken, recognizer  # noqa: F401 - a fixture
from test_fusion import TEXTS

from asr.decoding.confidence import calibrate, calibrated, expected_error
from asr.decoding.phrases import Phrases
from asr.errors import TextError
from asr.model_file import read_metadata
from asr.recognition.recognizer import Recognizer, load
from asr.tuning.confidence import recognised_words, tune_confidence, tune_rejection


def overconfident(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw confidences, and words right with the probability that halves their logit and takes 0.5 from it."""
    generator = np.random.default_rng(seed)
    raw = generator.beta(4, 1, count)
    return raw, generator.random(count) < calibrated(raw, 0.5, -0.5)


def test_a_known_map_is_found() -> None:
    raw, right = overconfident(0, 20_000)
    found, unseen = calibrate(raw, right)
    assert found.slope == pytest.approx(0.5, abs=0.05) and found.intercept == pytest.approx(-0.5, abs=0.08)
    assert found.error_before > 0.1 and found.error < 0.02
    assert np.abs(unseen - calibrated(raw, 0.5, -0.5)).max() < 0.03
    assert (found.words, found.right) == (20_000, right.sum())
    assert found(0.3) < found(0.6) < found(0.9)


def test_expected_error_of_hand_made_words() -> None:
    """Two of four words at 0.85 are right, and none of the one at 0.35."""
    confidence = np.array([0.85, 0.85, 0.85, 0.85, 0.35])
    assert expected_error(confidence, np.array([True, False, True, False, False])) == pytest.approx(0.35)
    assert expected_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_few_words_all_right_or_all_wrong(share: float, count: int) -> None:
    raw = np.linspace(0.2, 1.0, count)
    found, unseen = calibrate(raw, np.full(count, bool(share)))
    assert found.slope >= 0 and np.all((unseen >= 0) & (unseen <= 1))
    assert count == 1 or (found(0.7) > 0.6) == bool(share)


def test_confidence_never_falls_where_the_raw_one_rises() -> None:
    raw = np.linspace(0.05, 0.95, 50)
    found, _ = calibrate(raw, raw < 0.5)
    assert found.slope == 0.0 and found(0.1) == found(0.9)


def test_tuning_is_stored_and_used(recognizer: Recognizer, tmp_path: Path) -> None:  # noqa: F811
    validation = Spoken(recognizer, TEXTS * 6, 1.5)
    raw, right = recognised_words(validation)
    assert len(raw) == len(right) and 0 < right.sum() < len(right)
    said: list[str] = []
    tune_confidence(validation, said.append, tmp_path / "plot.png")
    tune_rejection(validation, TEXTS[:3], said.append)
    assert recognizer.confidence is not None and recognizer.confidence.words == len(raw)
    assert f"{right.sum()} of {len(raw)} words right" in said[0]
    assert matplotlib.image.imread(tmp_path / "plot.png").std() > 0.05

    recognizer.save(tmp_path / "m")
    loaded = load(tmp_path / "m", "cpu")
    assert loaded.confidence == recognizer.confidence and loaded.rejection == recognizer.rejection
    assert read_metadata(tmp_path / "m")["confidence"]["error"] == recognizer.confidence.error
    again, _ = recognised_words(Spoken(loaded, TEXTS * 6, 1.5))
    assert np.array_equal(again, raw)  # tuned twice, it starts from raw confidences

    decided = Phrases(TEXTS[:3], recognizer.units, recognizer.rejection).decode_n_best(validation.log_probs, 1)
    texts = [recognizer.text(best.units) for (best,) in decided]
    expected = [text if text in TEXTS[:3] else "" for text in validation.references]
    assert sum(found == text for found, text in zip(texts, expected, strict=True)) > 0.75 * len(expected)
    with pytest.raises(TextError, match="no text of the validation data is one of the phrases"):
        tune_rejection(validation, ["bbb"], said.append)
