"""Files of earlier releases keep their answers: models, language models, exported models (tests/samples)."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, run_asr, spell

from asr.api import load_classifier
from asr.batching import pad
from asr.lm.recurrent import load_recurrent
from asr.recognition.recognizer import load
from asr.runtime.session import Session

SAMPLES = REPOSITORY / "tests" / "samples"
ANSWERS = json.loads(
    (SAMPLES / "answers.json").read_text(encoding="utf-8")
)  # given by the release that wrote the files


def waveforms() -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return [spell(text, generator).astype(np.float32) for text in ("abc", "cab", "bbac")]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*-*")), ids=lambda path: path.name)
def test_info_reads_all(path: Path) -> None:
    result = run_asr("info", path)
    assert result.returncode == 0, result.stderr
    assert ("signature: sha256:" in result.stdout) == (path.suffix == ".safetensors")


def test_recogniser() -> None:
    recognizer = load(SAMPLES / "recogniser-0.1.safetensors", "cpu")
    assert recognizer.recognize(waveforms()) == ANSWERS["texts"]
    best = recognizer.log_probs(*pad(waveforms()[:1]))[0][0].max(-1).values.sum().item()
    assert best == pytest.approx(ANSWERS["best_path"], abs=1e-3)
    assert recognizer.confidence is not None


def test_exported_recogniser() -> None:
    session = Session((SAMPLES / "recogniser-0.1.onnx").read_bytes())
    best = session.log_probs(waveforms())[0].max(-1).sum()
    assert best == pytest.approx(ANSWERS["best_path"], abs=1e-3)


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_classifier(suffix: str) -> None:
    found = load_classifier(SAMPLES / f"classifier-0.1.{suffix}").classify(waveforms())
    assert [one.label for one in found] == [label for label, _ in ANSWERS["classes"]]
    assert [one.probability for one in found] == pytest.approx([one for _, one in ANSWERS["classes"]], abs=1e-4)


def test_language_model() -> None:
    perplexity = load_recurrent(SAMPLES / "language-model-0.1.safetensors").perplexity(["ab c", "c ab"])
    assert str(perplexity).startswith(f"perplexity {ANSWERS['perplexity']}")
