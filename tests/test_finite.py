"""Losses that are not finite, or over nothing: batches are left out, and training stops with the reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_config

from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TextError, TrainingError
from asr.figures.curves import learning_curves
from asr.files import to_json
from asr.run_log import read_log, write_log
from asr.training.data import open_data
from asr.training.recognition import RecognitionTask
from asr.training.train import train


def strict(line: str) -> Any:
    """Parse JSON as RFC 8259 defines it: NaN and Infinity are errors."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_losses_that_are_not_finite_are_named_and_left_out(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asr.training.recognition as recognition

    real, calls = recognition.ctc_loss, []

    def sometimes(*arguments: object) -> torch.Tensor:
        calls.append(0)
        losses: torch.Tensor = real(*arguments)
        return losses * float("nan") if len(calls) in bad else losses

    monkeypatch.setattr(recognition, "ctc_loss", sometimes)
    bad = {2}  # on a GPU the heaviest batch has been tried before
    recognizer = train(train_config(tones, epochs=2), tmp_path / "once")
    assert all(torch.isfinite(p).all() for p in recognizer.acoustic_model.parameters())
    said = capsys.readouterr().err
    assert "epoch 1: the loss is not finite; this batch is left out: train-" in said
    (saved,) = (tmp_path / "once").glob("not-finite-*.jsonl")
    assert saved.read_text().count("audio_filepath") > 1
    calls.clear()
    bad = set(range(1000))
    with pytest.raises(TrainingError, match="11 batches had no finite loss"):
        train(train_config(tones, epochs=9, batch_utterances=6), tmp_path / "always")
    assert not (tmp_path / "always" / "model.safetensors").exists()


def spoil(task: RecognitionTask) -> None:
    with torch.no_grad():
        next(task.module.parameters()).fill_(float("nan"))


def test_an_epoch_without_a_finite_batch_stops(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RecognitionTask.loss
    monkeypatch.setattr(RecognitionTask, "loss", lambda *arguments: real(*arguments) * float("inf"))
    with pytest.raises(TrainingError, match=r"no batch of epoch 1 has a finite loss; lower training\.learning_rate"):
        train(train_config(tones, epochs=2, batch_seconds=30), tmp_path)
    assert "loss 0" not in capsys.readouterr().err
    assert not (tmp_path / "log.jsonl").exists() and not (tmp_path / "best.safetensors").exists()


def test_weights_that_are_not_finite_stop_and_the_log_stays_json(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = RecognitionTask.evaluate, []

    def evaluate(task: RecognitionTask) -> dict[str, Any]:
        calls.append(0)
        if len(calls) == 2:
            spoil(task)
        return real(task)

    monkeypatch.setattr(RecognitionTask, "evaluate", evaluate)
    with pytest.raises(TrainingError, match=r"weights of the model are not finite after epoch 2; lower training"):
        train(train_config(tones, epochs=3), tmp_path)
    first, second = map(strict, (tmp_path / "log.jsonl").read_text().splitlines())
    assert first["validation_loss"] > 0 and second["validation_loss"] is None
    assert second["stopped"].startswith("error: the weights of the model are not finite")
    assert len(learning_curves(read_log(tmp_path / "log.jsonl"))) == 2  # `asr report` draws it
    assert "validation loss nan" not in capsys.readouterr().err
    (best,) = (tmp_path).glob("best.safetensors")  # of epoch 1
    assert all(weights.isfinite().all() for weights in torch_weights(best))


def torch_weights(path: Path) -> list[torch.Tensor]:
    from safetensors.torch import load_file

    return list(load_file(path).values())


def test_a_log_of_numbers_that_are_not_finite_is_json(tmp_path: Path) -> None:
    write_log(tmp_path / "log.jsonl", [{"loss": float("nan"), "gradient_norms": {"output": float("inf")}}])
    assert strict((tmp_path / "log.jsonl").read_text()) == {"loss": None, "gradient_norms": {"output": None}}
    assert to_json(1.5) == "1.5"


def with_texts(tones: Path, folder: Path, spell: Callable[[int, str], str]) -> Config:
    """Write the corpus of tones with other validation texts, and return its configuration."""
    for name in ("train", "validation"):
        utterances = read_manifest(tones / f"{name}.jsonl")
        if name == "validation":
            utterances = [replace(u, text=spell(number, u.text or "")) for number, u in enumerate(utterances)]
        write_manifest(folder / f"{name}.jsonl", utterances)
    return train_config(folder, epochs=1)


def test_validation_texts_that_cannot_be_written_stop_before_training(tones: Path, tmp_path: Path) -> None:
    config = with_texts(tones, tmp_path, lambda number, text: text + "ж")
    with pytest.raises(TextError, match=r"none of its 16 texts can be written in the units .* lacks .*U\+0436"):
        open_data(config, print)
    said: list[str] = []
    open_data(with_texts(tones, tmp_path, lambda number, text: text + "ж" * (number < 5)), said.append)
    assert any("5 of 16 validation texts have characters that training text does not have" in line for line in said)


def test_validation_texts_longer_than_their_recordings_stop_after_an_epoch(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of the data finds such texts; here they appear after it."""
    data = open_data(train_config(tones), print)
    data.validation.utterances[:] = [replace(u, text="ab" * 500) for u in data.validation.utterances]
    monkeypatch.setattr("asr.training.train._TASKS", {"recognition": (lambda *_, **__: data, RecognitionTask)})
    with pytest.raises(TrainingError, match=r"no validation utterance has a finite loss after epoch 1: their texts"):
        train(train_config(tones, epochs=1), tmp_path)


def test_mel_bands_that_would_always_be_empty_are_refused(tones: Path) -> None:
    config = train_config(tones)
    config = config.model_copy(update={"features": config.features.model_copy(update={"bins": 256})})
    with pytest.raises(
        ConfigError, match=r"features\.bins=256: 58 of the mel bands are too narrow for windows of 25 ms"
    ):
        RecognitionTask(config, open_data(config, print), torch.device("cpu"))
