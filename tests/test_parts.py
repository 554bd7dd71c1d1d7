"""Gradients that are added over parts of a batch are those of the whole batch; the step is stated before it begins."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from conftest import interrupted, train_config, with_augment, without_chance
from torch.nn.utils import parameters_to_vector

from asr.run_log import read_log
from asr.training.data import open_data
from asr.training.gradients import Gradients
from asr.training.recognition import RecognitionTask
from asr.training.train import dry_run, train


@pytest.mark.parametrize("parts", [2, 3, 100])
def test_gradients_of_parts_are_those_of_the_batch(tones: Path, parts: int) -> None:
    """Parts of unequal size, and more parts than utterances."""
    config = without_chance(train_config(tones, batch_utterances=7, precision="fp32"))
    task = RecognitionTask(config, open_data(config, lambda line: None), torch.device("cpu"))
    batch, accelerator = task.plans(1)[0][0], Accelerator(cpu=True)
    found = []
    for number in (1, parts):
        gradients = Gradients(task, task.module, accelerator, bf16=False, parts=number)
        nats = gradients.of(batch)
        found.append((nats, parameters_to_vector([p.grad for p in task.module.parameters() if p.grad is not None])))
    (whole, one), (divided, other) = found
    assert divided == pytest.approx(whole, rel=1e-5)
    assert (other - one).norm() < 1e-5 * one.norm()


def test_a_run_in_parts(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The losses are those of whole batches; an interrupted run ends with equal bytes; the global batch is stated."""
    settings = {
        "epochs": 2,
        "batch_utterances": 8,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "checkpoint_minutes": 1e-6,
    }
    train(without_chance(train_config(tones, **settings)), tmp_path / "whole")
    assert "a step has up to" not in capsys.readouterr().err
    train(without_chance(train_config(tones, parts=3, **settings)), tmp_path / "parts")
    assert (
        "a step has up to 8 utterances and 8 s with padding: 1 process x 3 parts of up to 3 utterances"
        in capsys.readouterr().err
    )
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("whole", "parts")]
    for whole, parts in zip(*logs, strict=True):
        assert parts["step"] == whole["step"]
        assert parts["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-4)

    config = with_augment(train_config(tones, parts=3, **settings), join=0.5)
    train(config, tmp_path / "undisturbed")
    with interrupted(monkeypatch, after=3):
        train(config, tmp_path / "resumed")
    train(config, tmp_path / "resumed")
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("undisturbed", "resumed")]
    assert models[0] == models[1]


def test_a_forecast_of_parts_needs_less_memory(tones: Path, tmp_path: Path) -> None:
    assert dry_run(train_config(tones, parts=4), tmp_path)[1].endswith(" with padding, in 4 parts")


def test_runs_of_older_versions_keep_their_fingerprint(tones: Path) -> None:
    assert "parts" not in train_config(tones).fingerprint()
    assert "parts: 2" in train_config(tones, parts=2).fingerprint()
    assert "parts" not in repr(train_config(tones).training)  # language models take this text
