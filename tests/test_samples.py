"""Files of earlier releases keep their answers: models, language models, exported models, runs (tests/samples)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, REPOSITORY, spell
from processes import run_asr

from asr.api import load_classifier
from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.lm.recurrent import load_recurrent
from asr.recognition.recognizer import load
from asr.run_log import read_log
from asr.runtime.session import Session
from asr.training.train import train
from asr.utterance import Utterance

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


def write_tones(folder: Path) -> None:
    """Write the data of the interrupted run: recordings of tones and two manifests."""
    generator = np.random.default_rng(3)
    for name, texts in (("train", ("abc", "cab", "ba", "acb", "bca", "cc", "ab", "bac") * 2), ("validation", ("acb",))):
        utterances = []
        for number, text in enumerate(texts):
            utterances.append(Utterance(f"{name}-{number}", folder / f"{name}-{number}.wav", text))
            soundfile.write(utterances[-1].audio, spell(text, generator), RATE, subtype="PCM_16")
        write_manifest(folder / f"{name}.jsonl", utterances)


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The checkpoint after epoch 1 is continued; where its numbers are those of this machine, to equal bytes."""
    monkeypatch.chdir(tmp_path)
    write_tones(tmp_path)
    config = Config.load(SAMPLES / "interrupted" / "config.yaml")
    shutil.copytree(SAMPLES / "interrupted", tmp_path / "old")
    train(config, tmp_path / "old")
    assert "resuming from the checkpoint in" in (said := capsys.readouterr().err) and "epoch 2, batch 1" in said
    train(config, tmp_path / "new")
    before = read_log(SAMPLES / "interrupted" / "log.jsonl")
    old, new = (read_log(tmp_path / name / "log.jsonl") for name in ("old", "new"))
    assert [row["epoch"] for row in old] == [1, 2, 3] and old[:1] == before
    losses = [[row[name] for name in ("train_loss", "validation_loss")] for row in (before[0], new[0])]
    # A processor may round gradients alone otherwise: then the losses of the first epoch are equal, and weights differ.
    if losses[0] == losses[1] and before[0]["gradient_norms"] == new[0]["gradient_norms"]:
        files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("old", "new")]
        assert files[0] == files[1]
    else:  # another processor or another version of torch rounds otherwise
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert not list((tmp_path / "old").glob("checkpoint-*"))
