"""The character LSTM that `asr tune --lm-text` trains by itself."""

import tempfile
from pathlib import Path

import pytest
import soundfile
from conftest import fresh_recognizer
from oracles import random_waveforms
from typer.testing import CliRunner

from asr.cli import app
from asr.config import TrainingConfig
from asr.corpus.manifest import write_manifest
from asr.lm.estimate import estimate
from asr.recognition.recognizer import load
from asr.text import Normalizer
from asr.tuning import lstm
from asr.tuning.lstm import LEAST, MOST, lstm_of_texts
from asr.tuning.tune import tune
from asr.utterance import Utterance

TEXTS = ["ab ab ba", "ba ab", "ab ba ab ba", "ba"] * 10
CHARACTERS = estimate(TEXTS, units="characters").model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small model on few texts."""
    monkeypatch.setattr(lstm, "LEAST", 100)
    monkeypatch.setattr(lstm, "_SETTINGS", {"cell": "lstm", "hidden": 16, "layers": 1, "dropout": 0.0})
    monkeypatch.setattr(lstm, "_OPTIONS", TrainingConfig(epochs=20, learning_rate=3e-2))


def test_few_and_many_characters_train_nothing() -> None:
    said: list[str] = []
    for size in (LEAST - 1, MOST + 1):
        sentences = ["a" * 100] * (size // 100) + ["a" * (size % 100)]
        assert lstm_of_texts(sentences, ["ab"], CHARACTERS, Normalizer(), said.append) is None
    (line,) = said  # few characters are the usual case, and need no word
    assert f"{MOST + 1} characters" in line and "asr lm train-rnn" in line


@pytest.mark.usefixtures("small")
def test_it_learns_the_texts_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    first, second = (lstm_of_texts(TEXTS, TEXTS[:4], CHARACTERS, Normalizer(), said.append) for _ in range(2))
    assert first is not None and second is not None
    assert said[0] == said[1] == f"training a character LSTM on {sum(map(len, TEXTS))} characters of text"
    assert first.perplexity(TEXTS[:4]).value < 1.8  # without memory, about 3: the share of each token
    assert first.perplexity(["aab bb"]).value > 3 * first.perplexity(["ab ba"]).value
    assert first.perplexity(TEXTS[:4]) == second.perplexity(TEXTS[:4])
    assert tuple(first.vocabulary) == tuple(CHARACTERS.vocabulary)
    assert not list(tmp_path.rglob("*.safetensors*"))


@pytest.mark.usefixtures("small")
def test_tune_trains_it_unless_a_model_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.tuning.tune.tune_ngrams", lambda *arguments: None)  # they would leave nothing to gain here
    recognizer = fresh_recognizer(" ab")
    recognizer.save(tmp_path / "model")
    utterances = []
    for number, waveform in enumerate(random_waveforms(3, 4)):
        soundfile.write(tmp_path / f"{number}.wav", waveform, 8000, subtype="PCM_16")
        utterances.append(Utterance(id=str(number), audio=tmp_path / f"{number}.wav", text=TEXTS[number]))
    write_manifest(tmp_path / "spoken.jsonl", utterances)
    (tmp_path / "text.txt").write_text("\n".join(TEXTS))

    def lines(*options: str) -> str:
        call = ["tune", str(tmp_path / "model"), str(tmp_path / "spoken.jsonl"), *options]
        done = CliRunner().invoke(app, call)
        assert done.exception is None, done.output
        return done.stdout

    of_texts = "--lm-text", str(tmp_path / "text.txt")
    assert lines(*of_texts).count("training a character LSTM") == 1
    tuned = load(tmp_path / "model.tuned").decoder
    assert tuned is not None and (tuned.recurrent is not None or tuned.rescorer is not None)
    lm = lstm_of_texts(TEXTS, TEXTS, CHARACTERS, Normalizer(), lambda line: None)
    assert lm is not None
    lm.save(tmp_path / "lm")
    given = lines(*of_texts, "--rnn-lm", str(tmp_path / "lm"))
    assert "training a character LSTM" not in given and "the language model on the references" in given
    said: list[str] = []
    tune(recognizer, tmp_path / "spoken.jsonl", lm_text=[tmp_path / "text.txt"], report=said.append)
    assert not any("LSTM" in line for line in said)
