"""The training loop on small corpora of tones: it learns, repeats itself, and stops for a stated reason."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train_config, without_chance
from processes import run_asr
from torch.nn.utils import parameters_to_vector

import asr
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.training.hardware import use_bf16
from asr.training.recognition import RecognitionTask
from asr.training.schedule import warmup_cosine
from asr.training.train import train


def test_learns_and_leaves_its_results(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = train_config(tones)
    recognizer = train(config, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(log) == 12 and log[-1]["train_loss"] < log[0]["train_loss"] / 3
    assert min(row["cer"] for row in log) < 5
    assert (tmp_path / "training.png").stat().st_size > 10_000
    page = (tmp_path / "training.html").read_text()
    assert "epoch 12 of 12, done" in page and "http-equiv" not in page and page.count("<img") == 3
    assert page.count("<tr>") == 13 and log[-1]["samples"][0][0] in page
    assert Config.load(tmp_path / "config.yaml") == config
    assert "kept epoch" in capsys.readouterr().err

    # The score in the log is what the model file gives when it transcribes the files anew, digit for digit.
    best = min(log, key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]))
    validation = read_manifest(tones / "validation.jsonl")
    loaded = asr.load(tmp_path / "model.safetensors")
    texts = [loaded.transcribe(utterance.audio).text for utterance in validation]
    result = asr.score([utterance.text or "" for utterance in validation], texts)
    assert (result.cer.percent, result.wer.percent) == (best["cer"], best["wer"])
    assert recognizer.summary["epoch"] == best["epoch"]


def test_same_seed_same_bytes(tones: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(train_config(tones, epochs=2, seed=seed), tmp_path / name)
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_bf16_learns_as_well_as_fp32(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The bound of the CER is that of `test_learns_and_leaves_its_results`; fp32 reaches a loss of 0.003."""
    recognizer = train(train_config(tones, precision="bf16"), tmp_path)
    assert "parameters, bf16 on 1 x" in capsys.readouterr().err
    assert recognizer.summary["validation_cer"] < 5
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert min(row["validation_loss"] for row in log) < 0.03


def test_training_with_the_lstm_of_torch(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`training.kernels=torch` never calls our steps, and gives the losses that they give."""
    logs = {}
    for kernels in ("auto", "torch"):
        if kernels == "torch":
            monkeypatch.setattr("asr.nn.rnn.train_lstm", None)
        settings = {"epochs": 2, "precision": "fp32", "learning_rate": 1e-3, "kernels": kernels}
        train(train_config(tones, **settings), tmp_path / kernels)
        logs[kernels] = [json.loads(line) for line in (tmp_path / kernels / "log.jsonl").read_text().splitlines()]
    for ours, theirs in zip(logs["auto"], logs["torch"], strict=True):
        for name in ("train_loss", "validation_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)  # rounding grows with each step
    assert logs["torch"][1]["train_loss"] < logs["torch"][0]["train_loss"]


@pytest.mark.filterwarnings("ignore:Data has no positive values")  # norms of the gradient
def test_weight_decay_shrinks_what_the_loss_does_not_hold(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RecognitionTask.loss
    monkeypatch.setattr(RecognitionTask, "loss", lambda *arguments: 0 * real(*arguments))
    settings: dict[str, Any] = {"epochs": 2, "batch_utterances": 8, "warmup": 0.0}
    first = train(train_config(tones, **settings, weight_decay=0), tmp_path / "first").acoustic_model.state_dict()
    last = train(train_config(tones, **settings, weight_decay=0.5), tmp_path / "last").acoustic_model.state_dict()
    steps = json.loads((tmp_path / "last" / "log.jsonl").read_text().splitlines()[-1])["step"]
    left = math.prod(1 - 0.5 * 1e-2 * warmup_cosine(step, total=steps, warmup=0.0) for step in range(steps))
    assert left < 0.95
    for name, weights in first.items():
        torch.testing.assert_close(last[name], left * weights, msg=name)


def test_early_stopping(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(train_config(tones, epochs=30, patience=2, learning_rate=1e-9), tmp_path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 30
    assert ": no better validation CER for 2 epochs" in capsys.readouterr().err
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["stopped"].startswith("no better")


def test_precision_auto_is_bf16_only_where_the_hardware_has_it() -> None:
    cpu = torch.device("cpu")
    assert use_bf16("auto", cpu) == bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    assert use_bf16("bf16", cpu) and not use_bf16("fp32", cpu)


def test_command_line_from_training_to_score(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones, epochs=3).to_yaml())
    trained = run_asr("train", "words.yaml", "--set", "training.epochs=2", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout == "" and "epoch 2/2" in trained.stderr
    model, hypotheses = "runs/words/model.safetensors", "out/test.hyp.jsonl"
    wrote = run_asr("transcribe", model, tones / "validation.jsonl", "-o", hypotheses, cwd=tmp_path)
    assert (wrote.returncode, wrote.stdout) == (0, "")
    scored = run_asr("score", tones / "validation.jsonl", hypotheses, cwd=tmp_path)
    log = [json.loads(line) for line in (tmp_path / "runs/words/log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], row["validation_loss"], -row["epoch"]))
    assert scored.stdout.splitlines()[-1].startswith(f"%WER {best['wer']:.2f} [")
    assert scored.stdout.splitlines()[0].startswith(f"%CER {best['cer']:.2f} [")

    recordings = sorted((tones / "validation").glob("*.wav"))
    (tmp_path / "bad.wav").write_text("no recording")
    several = run_asr("transcribe", model, recordings[0], "bad.wav", recordings[1], cwd=tmp_path)
    assert several.returncode == 1
    assert [line.split("\t")[0] for line in several.stdout.splitlines()] == [str(recordings[0]), str(recordings[1])]
    assert "bad.wav: is not a recording" in several.stderr and "1 of 3 recordings" in several.stderr
    one = run_asr("transcribe", model, recordings[0], cwd=tmp_path)
    assert one.stdout.strip() == several.stdout.splitlines()[0].split("\t")[1]
    shown = run_asr("info", model, cwd=tmp_path)
    assert shown.returncode == 0 and "training_utterances: 96" in shown.stdout


def test_starting_from_another_model_keeps_what_it_knows(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = train(train_config(tones), tmp_path / "first")
    letters = str.maketrans({"a": "d"})  # another alphabet: a is gone, d is new
    for name in ("train", "validation"):
        utterances = read_manifest(tones / f"{name}.jsonl")
        write_manifest(
            tmp_path / f"{name}.jsonl", [replace(u, text=(u.text or "").translate(letters)) for u in utterances]
        )
    path = tmp_path / "first" / "model.safetensors"
    settings = train_config(tmp_path, epochs=1, learning_rate=1e-9, start_from=str(path))
    dropout = {"dropout": 0.4, "dropout_mask": "utterance"}  # these may be others
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=dropout)})
    second = train(settings, tmp_path / "second")
    assert f"starting from {path}: units 2 kept, 1 new, 1 dropped" in capsys.readouterr().err
    weights = [r.acoustic_model.state_dict() for r in (first, second)]
    rows = [[0, *(r.units.symbols.index(s) + 1 for s in "bc")] for r in (first, second)]
    for name in weights[0]:
        old, new = (
            w[name][row] if name.startswith("output") else w[name] for w, row in zip(weights, rows, strict=True)
        )
        torch.testing.assert_close(old, new, atol=1e-6, rtol=0)
    smaller = settings.model_copy(update={"model": settings.model.model_copy(update={"hidden": 8})})
    with pytest.raises(ConfigError, match=r"--set model.hidden=32"):
        train(smaller, tmp_path / "third")


def test_what_does_not_fit_in_memory_is_computed_in_parts(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = without_chance(train_config(tones, epochs=2, precision="fp32"))
    whole = train(config, tmp_path / "whole")
    real = RecognitionTask.loss

    def loss(task: RecognitionTask, model: torch.nn.Module, data: Any) -> torch.Tensor:
        if len(data[0]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(task, model, data)

    monkeypatch.setattr(RecognitionTask, "loss", loss)
    room = 3
    parts = train(config, tmp_path / "parts")
    assert "out of memory: from now on, each batch is computed in 2 parts" in capsys.readouterr().err
    # Together, as AdamW makes what rounding does to a small gradient as large as any other step.
    ours, theirs = (parameters_to_vector(model.acoustic_model.parameters()) for model in (parts, whole))
    assert (ours - theirs).norm() < 0.01 * theirs.norm()
    room = 0
    with pytest.raises(TrainingError, match=r"too little memory .* lower training\.batch_seconds"):
        train(config, tmp_path / "none")


def test_trackers_get_what_the_log_gets(tones: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(train_config(tones, epochs=2, trackers=["tensorboard"]), tmp_path)
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for name in ("train_loss", "validation_loss", "cer", "wer"):
        assert [event.value for event in events.Scalars(name)] == pytest.approx([row[name] for row in log], rel=1e-6)
    with pytest.raises(ConfigError, match=r"training\.trackers: nosuch: is not installed"):
        train(train_config(tones, epochs=2, trackers=["nosuch"]), tmp_path / "other")


def test_memory_stays_flat(tones: Path, tmp_path: Path) -> None:
    """A leak of one batch an epoch, 1.5 MB of features and activations, would be seen."""
    train(train_config(tones, epochs=20, patience=20), tmp_path)
    used = [json.loads(line)["memory_mb"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert used[-1] - used[4] < 15


def test_the_page_is_renewed_while_training_goes_on(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is read after each epoch, before the next page is written."""
    seen: list[str] = []
    real = RecognitionTask.evaluate

    def evaluate(task: RecognitionTask) -> dict[str, Any]:
        page = tmp_path / "training.html"
        seen.append(page.read_text() if page.exists() else "")
        return real(task)

    monkeypatch.setattr(RecognitionTask, "evaluate", evaluate)
    monkeypatch.setattr("asr.training.loop._DRAWN_EVERY", 0.0)
    train(train_config(tones, epochs=3), tmp_path)
    assert seen[0] == "" and "epoch 1 of 3" in seen[1] and 'http-equiv="refresh"' in seen[2]
