"""The loop on small corpora made here: it learns, repeats itself, and names what it leaves out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RATE, run_asr, train_config

import asr
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.pack import pack
from asr.errors import ConfigError, TrainingError
from asr.training.build import use_bf16
from asr.training.loop import train


def test_learns_and_leaves_its_results(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recognizer = train(train_config(tones), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(log) == 12 and log[-1]["train_loss"] < log[0]["train_loss"] / 3
    assert min(row["cer"] for row in log) < 5
    assert (tmp_path / "training.png").stat().st_size > 10_000
    assert Config.load(tmp_path / "config.yaml") == train_config(tones)
    assert "kept epoch" in capsys.readouterr().err

    # The score in the log is what the model file gives when it transcribes the files anew, digit for digit.
    best = min(log, key=lambda row: (row["cer"], -row["epoch"]))
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


def test_bf16_learns_too(tones: Path, tmp_path: Path) -> None:
    recognizer = train(train_config(tones, epochs=14, precision="bf16"), tmp_path)
    assert recognizer.summary["validation_cer"] < 40


def test_early_stopping(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(train_config(tones, epochs=30, patience=2, learning_rate=1e-9), tmp_path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 30
    assert "stopped early, after epoch" in capsys.readouterr().err


def test_what_cannot_be_trained_on_is_named_and_left_out(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    (tmp_path / "broken.wav").write_text("no recording")
    utterances[0] = replace(utterances[0], audio=tmp_path / "broken.wav")
    utterances[1] = replace(utterances[1], audio=tmp_path / "missing.wav")
    utterances[2] = replace(utterances[2], text="abca" * 40)
    write_manifest(tmp_path / "train.jsonl", utterances)
    validation = read_manifest(tones / "validation.jsonl")
    validation[0] = replace(validation[0], text="abx")
    write_manifest(tmp_path / "validation.jsonl", validation)
    with pytest.raises(TrainingError, match="strict"):
        train(train_config(tmp_path, epochs=1), tmp_path / "run", strict=True)
    assert "infeasible for CTC" in capsys.readouterr().err  # refused, with the reasons
    train(train_config(tmp_path, epochs=1), tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        "left out 1 utterances, unreadable" in said and "broken.wav (" in said and "train.jsonl:1): is not WAV" in said
    )
    assert "left out 1 utterances, missing audio" in said and "train.jsonl:2): no such file" in said
    assert "left out 1 utterances, infeasible for CTC" in said
    assert "train.jsonl:3): 160 units + 39 repeats need 199 frames, the audio gives" in said
    assert "training on 93 utterances" in said
    assert "'x' (U+0078, LATIN SMALL LETTER X) 1 times" in said


def test_nothing_left_is_an_error(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(tmp_path / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    write_manifest(tmp_path / "train.jsonl", [replace(u, audio=tmp_path / "no.wav") for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")
    write_manifest(tmp_path / "train.jsonl", [replace(u, text="abc" * 99) for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 utterances"):
        train(train_config(tmp_path), tmp_path / "run")


def test_cepstra_cannot_be_frequency_warped(tones: Path, tmp_path: Path) -> None:
    settings = train_config(tones)
    settings = settings.model_copy(update={"features": settings.features.model_copy(update={"kind": "mfcc"})})
    with pytest.raises(ConfigError, match="mfcc has no frequency axis"):
        train(settings, tmp_path)


def test_precision_auto_is_bf16_only_where_the_hardware_has_it() -> None:
    cpu = torch.device("cpu")
    assert use_bf16("auto", cpu) == bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    assert use_bf16("bf16", cpu) and not use_bf16("fp32", cpu)


def test_packed_audio_is_exact_reused_and_renewed(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "validation.jsonl")
    path = tmp_path / "packed.arrow"
    corpus = pack(utterances, RATE, path)
    for index, utterance in enumerate(utterances):
        np.testing.assert_array_equal(corpus.audio(index), asr.load_audio(utterance.audio, RATE))
    written = path.stat().st_mtime_ns
    pack(utterances, RATE, path)
    assert path.stat().st_mtime_ns == written
    assert len(pack(utterances[1:], RATE, path)) == len(utterances) - 1
    path.write_bytes(path.read_bytes()[:1000])
    assert len(pack(utterances, RATE, path)) == len(utterances)


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
    best = min(log, key=lambda row: (row["cer"], -row["epoch"]))
    assert scored.stdout.splitlines()[-1].startswith(f"%WER {best['wer']:.2f} [")
    assert scored.stdout.splitlines()[0].startswith(f"%CER {best['cer']:.2f} [")

    recordings = sorted((tones / "validation").glob("*.wav"))
    (tmp_path / "bad.wav").write_text("no recording")
    several = run_asr("transcribe", model, recordings[0], "bad.wav", recordings[1], cwd=tmp_path)
    assert several.returncode == 1
    assert [line.split("\t")[0] for line in several.stdout.splitlines()] == [str(recordings[0]), str(recordings[1])]
    assert "bad.wav: is not WAV" in several.stderr and "1 of 3 recordings" in several.stderr
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
    with pytest.raises(ConfigError, match=r"--set model.hidden=24"):
        train(smaller, tmp_path / "third")
