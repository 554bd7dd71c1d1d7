"""The loop on small corpora made here: it learns, repeats itself, and names what it leaves out."""

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import run_asr

import asr
from asr.config import Config, TextConfig
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.errors import ConfigError, TextError, TrainingError
from asr.training.data import keep_feasible, open_data
from asr.training.loop import train, use_bf16

RATE = 8000
TONES = {"a": 500.0, "b": 1500.0, "c": 3000.0}


def spell(text: str, generator: np.random.Generator) -> np.ndarray:
    """Each letter as 120 ms of its tone, then 60 ms of near silence."""
    parts = []
    for letter in text:
        time = np.arange(RATE * 12 // 100) / RATE
        parts += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(RATE * 6 // 100)]
    samples = np.concatenate(parts)
    return samples + 0.003 * generator.standard_normal(len(samples))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train.jsonl` and `validation.jsonl` of tones that spell their text."""
    folder = tmp_path_factory.mktemp("tones with a space")
    generator = np.random.default_rng(0)
    for name, count in (("train", 96), ("validation", 16)):
        utterances = []
        for number in range(count):
            text = "".join(generator.choice(list(TONES), generator.integers(2, 6)))
            path = folder / name / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, spell(text, generator), RATE)
            utterances.append(Utterance(f"{name}-{number}", path, text))
        write_manifest(folder / f"{name}.jsonl", utterances)
    return folder


def config(folder: Path, **training: object) -> Config:
    return Config.model_validate(
        {
            "data": {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")},
            "features": {"sample_rate": RATE, "bins": 24},
            "model": {"hidden": 24, "layers": 2, "channels": 4, "subsampling": 2, "dropout": 0.1},
            "augment": {"noise_snr_db": [20, 40], "tempo": 0.1, "frequency_warp": 0.05, "frequency_masks": 1,
                        "frequency_mask_bins": 2, "time_masks_per_second": 1, "time_mask_ms": 20},
            "training": {"epochs": 12, "batch_seconds": 8, "learning_rate": 1e-2, **training},
        }
    )  # fmt: skip


def test_learns_and_leaves_its_results(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recognizer = train(config(tones), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(log) == 12 and log[-1]["train_loss"] < log[0]["train_loss"] / 3
    assert min(row["cer"] for row in log) < 5
    assert (tmp_path / "training.png").stat().st_size > 10_000
    assert Config.load(tmp_path / "config.yaml") == config(tones)
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
        train(config(tones, epochs=2, seed=seed), tmp_path / name)
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_bf16_learns_too(tones: Path, tmp_path: Path) -> None:
    recognizer = train(config(tones, epochs=14, precision="bf16"), tmp_path)
    assert recognizer.summary["validation_cer"] < 40


def test_early_stopping(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(config(tones, epochs=30, patience=2, learning_rate=1e-9), tmp_path)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 30
    assert "stopping early" in capsys.readouterr().err


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
    train(config(tmp_path, epochs=1), tmp_path / "run")
    said = capsys.readouterr().err
    assert "left out 2 utterances, unreadable" in said
    assert "broken.wav: is not WAV" in said and "missing.wav: no such file" in said
    assert "left out 1 utterances, too short" in said
    assert "train-2: 160 units + 39 repeats need 199 frames, the audio gives" in said
    assert "training on 93 utterances" in said
    assert "'x' (U+0078, LATIN SMALL LETTER X) 1 times" in said


def test_nfc_and_nfd_copies_give_the_same_model(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever form text and units file come in: every byte is the same, but not with other units."""
    spelt = str.maketrans({"a": "é", "b": "ɛ\u0301 ", "c": "o\u0323\u0301"})
    settings = {form: config(Path(), epochs=1, precision="fp32") for form in ("NFC", "NFD", "graphemes")}
    for form, setting in settings.items():
        (tmp_path / form).mkdir()
        monkeypatch.chdir(tmp_path / form)
        normal = "NFD" if form == "NFD" else "NFC"
        for name in ("train", "validation"):
            utterances = read_manifest(tones / f"{name}.jsonl")[:16]
            texts = (unicodedata.normalize(normal, (u.text or "").translate(spelt)) for u in utterances)
            write_manifest(f"{name}.jsonl", [replace(u, text=text) for u, text in zip(utterances, texts, strict=True)])
        units = ["é", "ɛ\u0301", "\u1ecd\u0301"]
        Path("units.txt").write_text(unicodedata.normalize(normal, "\n".join(units)), encoding="utf-8")
        text = {"units": "graphemes"} if form == "graphemes" else {"units_file": "units.txt"}
        setting = Config.model_validate({**setting.model_dump(), "text": text})
        assert train(setting, "run").units.symbols == (" ", *(units if form != "graphemes" else sorted(units)))
    models = {form: (tmp_path / form / "run" / "model.safetensors").read_bytes() for form in settings}
    assert models["NFC"] == models["NFD"] != models["graphemes"]


def with_text(settings: Config, **text: object) -> Config:
    return settings.model_copy(update={"text": TextConfig.model_validate(text)})


def test_what_is_doubtful_about_units_is_said(tones: Path, tmp_path: Path) -> None:
    """Digits, ambiguous digraphs, units that never occur; and what a units file does not list is an error."""
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")
        texts = ["ab ba", "abc", "A3!", "…", *["c"] * (len(rows) - 4)]
        write_manifest(tmp_path / f"{name}.jsonl", [replace(r, text=t) for r, t in zip(rows, texts, strict=True)])
    settings, said = config(tmp_path), []

    data = open_data(settings, said.append)
    assert "'3' (U+0033, DIGIT THREE) 1 times; spell numbers out" in said[0]
    assert said[1] == "texts: NFC, white space collapsed; units: 8 characters"
    said.clear()
    data = open_data(with_text(settings, strip_punctuation=True, lower=True), said.append)
    assert set(data.units.symbols) == set(" abc3")
    assert said[1].endswith("collapsed, punctuation stripped except ' inside words, lower case; units: 5 characters")
    said.clear()
    keep_feasible(data.training, data.units, lambda samples: samples, said.append)
    assert said == ["left out 1 utterances, without text once it is normalised:", "  train-3"]

    (tmp_path / "units.txt").write_text("ab\na\nb\nc\n3\nbc\nq\nsh\n")
    listed = with_text(settings, strip_punctuation=True, lower=True, units_file=str(tmp_path / "units.txt"))
    said.clear()
    data = open_data(listed, said.append)
    assert data.units.symbols == (" ", "ab", "a", "b", "c", "3", "bc", "q", "sh")
    assert said[0].endswith("units.txt that training text never holds: bc q sh")
    assert said[1].endswith("parts of the training text that other units would spell too are read as")
    assert said[2:4] == ["  ab, 1 times", "  ab + c, 1 times"]
    (tmp_path / "units.txt").write_text("ab\nc\n3\n")
    with pytest.raises(TextError, match=r"units\.txt: .*'a' \(U\+0061.* 2 times, 'b' .* 1 times, first in train-0"):
        open_data(listed, said.append)
    said.clear()
    open_data(with_text(settings, units="phones"), said.append)
    assert said == ["texts: NFC, white space collapsed; units: 6 phones"]


def test_nothing_left_is_an_error(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(tmp_path / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    write_manifest(tmp_path / "train.jsonl", [replace(u, audio=tmp_path / "no.wav") for u in utterances])
    with pytest.raises(TrainingError, match="none of its 96 recordings"):
        train(config(tmp_path), tmp_path / "run")
    write_manifest(tmp_path / "train.jsonl", [replace(u, text="abc" * 99) for u in utterances])
    with pytest.raises(TrainingError, match="no utterance is left"):
        train(config(tmp_path), tmp_path / "run")


def test_cepstra_cannot_be_frequency_warped(tones: Path, tmp_path: Path) -> None:
    settings = config(tones)
    settings = settings.model_copy(update={"features": settings.features.model_copy(update={"kind": "mfcc"})})
    with pytest.raises(ConfigError, match="mfcc has no frequency axis"):
        train(settings, tmp_path)


def test_precision_auto_is_bf16_only_where_the_hardware_has_it() -> None:
    cpu = torch.device("cpu")
    assert use_bf16("auto", cpu) == bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    assert use_bf16("bf16", cpu) and not use_bf16("fp32", cpu)


def test_command_line_from_training_to_score(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(config(tones, epochs=3).to_yaml())
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
