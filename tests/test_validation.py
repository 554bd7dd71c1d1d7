"""Validation on several manifests: the log, the epoch lines and the page tell the errors of each."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, spell, train_config
from typer.testing import CliRunner

from asr.cli import app
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.figures.curves import learning_curves
from asr.run_log import Row, read_log
from asr.training.train import train
from asr.training.validation import Part, part_names, parts_of
from asr.utterance import Utterance


def test_names() -> None:
    assert part_names(["data/en.jsonl", "fr.jsonl"]) == ["en", "fr"]
    assert part_names(["en/dev.jsonl", "fr/dev.jsonl", "x/test.jsonl"]) == ["en/dev", "fr/dev", "test"]
    assert part_names(["a/en/dev.jsonl", "b/en/dev.csv"]) == ["a/en/dev.jsonl", "b/en/dev.csv"]


def test_parts_without_unusable_utterances(tmp_path: Path) -> None:
    """Two manifests have equal ids; utterances are left out at the end, at the beginning, and all of one."""
    lines = [[Utterance(f"u{n}", tmp_path / name / f"{n}.wav", "ab") for n in range(4)] for name in ("en", "fr", "it")]
    paths = [str(tmp_path / f"{name}.jsonl") for name in ("en", "fr", "it")]
    for path, utterances in zip(paths, lines, strict=True):
        write_manifest(path, utterances)
    usable = [replace(u, text="normalised") for u in (*lines[0][:3], lines[2][1], lines[2][3])]
    assert parts_of(paths, usable) == [Part("en", [0, 1, 2]), Part("it", [3, 4])]
    assert parts_of(paths[:1], usable[:3]) == []


@pytest.fixture(scope="module")
def folder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Divide the validation of the tones into two manifests of one name, of which one has a line without audio."""
    folder = tmp_path_factory.mktemp("several")
    held_out = read_manifest(tones / "validation.jsonl")
    for name, part in (("en", held_out[:10]), ("fr", held_out[10:])):
        write_manifest(folder / name / "dev.jsonl", part)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    with (folder / "en" / "dev.jsonl").open("a") as file:
        file.write(json.dumps({"id": "none", "audio_filepath": str(folder / "empty.wav"), "text": "abc"}) + "\n")
    return folder


def validating_on(config: Config, *manifests: Path) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"validation": tuple(map(str, manifests))})})


def score_of(runner: CliRunner, model: Path, manifest: Path, hypotheses: Path) -> dict[str, float]:
    """Return CER and WER as `asr transcribe` and `asr score` find them."""
    assert runner.invoke(app, ["transcribe", str(model), str(manifest), "-o", str(hypotheses)]).exit_code == 0
    said = runner.invoke(app, ["score", str(manifest), str(hypotheses)]).stdout
    return {name.lower(): float(value) for name, value in re.findall(r"(CER|WER) ([\d.]+)", said)}


def test_each_corpus_in_the_log(tones: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifests = [folder / name / "dev.jsonl" for name in ("en", "fr")]
    config = train_config(tones, epochs=6, batch_utterances=8, learning_rate=1e-2)
    train(validating_on(config, *manifests), tmp_path / "run")
    said = capfd.readouterr().err
    log = read_log(tmp_path / "run" / "log.jsonl")
    for row in log:
        assert [part["name"] for part in row["validation"]] == ["en/dev", "fr/dev"]
        rates = ", ".join(f"{part['name']} {part['cer']:.2f}" for part in row["validation"])
        assert f"    by corpus: {rates}\n" in said
    assert '"validation"' not in json.dumps(Config.load(tmp_path / "run" / "config.yaml").model_dump()["training"])
    kept = min(log, key=lambda row: (row["cer"], row["validation_loss"]))
    clean = [tmp_path / "en.jsonl", manifests[1]]
    write_manifest(clean[0], read_manifest(manifests[0])[:10])
    for part, manifest in zip(kept["validation"], clean, strict=True):
        found = score_of(CliRunner(), tmp_path / "run" / "model.safetensors", manifest, tmp_path / "hyp.jsonl")
        assert found == {"cer": round(part["cer"], 2), "wer": round(part["wer"], 2)}
    assert "en/dev" in (tmp_path / "run" / "training.html").read_text()


def test_one_corpus_leaves_the_log_as_it_was(tones: Path, tmp_path: Path) -> None:
    train(train_config(tones, epochs=1), tmp_path / "run")
    (row,) = read_log(tmp_path / "run" / "log.jsonl")
    assert "validation" not in row


def test_each_corpus_of_a_classifier(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("dev", 6), ("more/dev", 4)):
        rows = []
        for number in range(count):
            path = tmp_path / split / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, spell("ac"[number % 2] * 2, generator), RATE)
            rows.append(Utterance(f"{split}-{number}", path, "ac"[number % 2]))
        write_manifest(tmp_path / f"{split}.jsonl", rows)
    config = validating_on(train_config(tmp_path, epochs=2), tmp_path / "dev.jsonl", tmp_path / "more" / "dev.jsonl")
    train(Config.model_validate(config.model_dump() | {"task": "classification"}), tmp_path / "run")
    for row in read_log(tmp_path / "run" / "log.jsonl"):
        first, second = row["validation"]
        assert second["name"] == "more/dev" and first["name"] == f"{tmp_path.name}/dev"
        assert (6 * first["error_rate"] + 4 * second["error_rate"]) / 10 == pytest.approx(row["error_rate"])
        assert (6 * first["loss"] + 4 * second["loss"]) / 10 == pytest.approx(row["validation_loss"], rel=1e-5)


def test_curves_of_a_corpus_without_words() -> None:
    """A rate that is null in the log is a gap in the curve."""
    parts = [{"name": "en", "cer": 5.0}, {"name": "noise", "cer": None}]
    row: Row = {"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0, "cer": 5.0, "wer": 9.0, "validation": parts}
    _, errors = learning_curves([row, row | {"epoch": 2}])
    assert "en 5.00 %, noise nan %" in errors.alt
