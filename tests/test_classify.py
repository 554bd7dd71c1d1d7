"""Classifiers of whole utterances: pooling, equal answers in any batch, training, and errors of users."""

import json
import os
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from conftest import fresh_recognizer, train_config, with_augment
from oracles import random_waveforms, randomise
from processes import run_asr

from asr.batching import pad
from asr.classifier import Classifier
from asr.cli import main
from asr.config import Config
from asr.corpus.check import check, settings_of
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, ModelFileError, TrainingError
from asr.model_file import read_metadata
from asr.nn.classifier import mean_pool
from asr.recognition.recognizer import load
from asr.scoring.accuracy import accuracy, confusions
from asr.training.classification import ClassificationTask
from asr.training.train import train


def classifier_config(folder: Path, **training: object) -> Config:
    """Return a configuration in which the first tone of each recording is its class."""
    config = train_config(folder, **{"learning_rate": 2e-2, **training})
    data = config.data.model_copy(update={"text_field": "tone"})
    return config.model_copy(update={"task": "classification", "data": data})


@pytest.fixture(scope="module")
def first_tones(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the corpus of tones with the first tone of each recording instead of a text."""
    folder = tmp_path_factory.mktemp("first")
    for name in ("train", "validation"):
        rows = read_manifest(tones / f"{name}.jsonl")
        rows = [replace(row, text=None, extra={"tone": (row.text or "")[0]}) for row in rows]
        write_manifest(folder / f"{name}.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def trained(first_tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for 6 epochs."""
    out = tmp_path_factory.mktemp("run")
    train(classifier_config(first_tones, epochs=6), out)
    return out


def copy_with(folder: Path, out: Path, name: str, **tones: str | None) -> Path:
    """Copy the corpus to `out` with other classes in the first lines of a split."""
    out.mkdir(exist_ok=True)
    for split in ("train", "validation"):
        rows = read_manifest(folder / f"{split}.jsonl")
        for index, tone in enumerate(tones.values() if split == name else ()):
            rows[index] = replace(rows[index], extra={} if tone is None else {"tone": tone})
        write_manifest(out / f"{split}.jsonl", rows)
    return out


def test_the_mean_is_that_of_real_frames_whatever_stands_beyond() -> None:
    x, lengths = torch.randn(4, 7, 3), torch.tensor([7, 1, 4, 6])
    expected = torch.stack([sum(x[b, s] for s in range(n)) / n for b, n in enumerate(lengths.tolist())])
    for b, n in enumerate(lengths.tolist()):
        x[b, n:] = torch.nan
    torch.testing.assert_close(mean_pool(x, lengths), expected)


@pytest.mark.parametrize("model", [{"subsampling": 4}, {"subsampling": 3, "cell": "gru", "bidirectional": False}])
def test_batch_order_and_padding_never_change_an_answer(model: dict, device: torch.device) -> None:
    features, model = {"sample_rate": 8000, "bins": 20}, {"hidden": 16, "layers": 2, "channels": 4, **model}
    data = {"train": "x", "validation": "x"}
    config = Config.model_validate({"task": "classification", "data": data, "features": features, "model": model})
    classifier = Classifier(config, list("abcdefg")).to(device)
    randomise(classifier.acoustic_model, 0)
    waveforms = random_waveforms(5, 32)
    alone = torch.stack([classifier.compute(*pad([waveform]))[0] for waveform in waveforms]).cpu()
    assert alone.std(0).min() > 0.02  # they do differ
    torch.testing.assert_close(alone.exp().sum(1), torch.ones(32))
    order = np.random.default_rng(0).permutation(32).tolist()
    audio, lengths = pad(waveforms[row] for row in order)
    log_probs = classifier.compute(torch.nn.functional.pad(audio, (0, 1234)), lengths).cpu()
    torch.testing.assert_close(log_probs, alone[order], atol=1e-4, rtol=0)
    labels = [found.label for found in classifier.classify(waveforms)]
    assert labels == [classifier.classes[index] for index in alone.argmax(1)]
    assert classifier.classify([]) == []


def test_learns_and_says_in_training_what_it_says_on_the_command_line(first_tones: Path, trained: Path) -> None:
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["error_rate"], row["validation_loss"], -row["epoch"]))
    assert best["error_rate"] < 20 and best["validation_loss"] < best["no_listening_loss"] / 2
    shares = np.array(list(Counter(r.extra["tone"] for r in read_manifest(first_tones / "train.jsonl")).values())) / 96
    assert best["no_listening_loss"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)
    assert (trained / "training.png").stat().st_size > 10_000

    model, picture = trained / "model.safetensors", trained / "pictures" / "c.png"
    arguments = ("-o", trained / "h.jsonl", "--confusion", picture)
    done = run_asr("classify", model, first_tones / "validation.jsonl", *arguments)
    percent = 100 - best["error_rate"]
    right = round(16 * percent / 100)
    assert done.stdout.startswith(f"%accuracy {percent:.2f} [{right} / 16] exact 95 % interval "), done.stderr
    assert done.stdout.endswith(" over 16 utterances\n") and len(done.stdout.splitlines()) == 1
    written = read_manifest(trained / "h.jsonl")
    assert sum(row.extra["hypothesis"] == row.extra["tone"] for row in written) == right
    assert picture.stat().st_size > 5_000
    metadata = yaml.safe_load(run_asr("info", model).stdout)
    assert metadata["classes"] == ["a", "b", "c"]
    assert metadata["training"]["validation_error_rate"] == best["error_rate"]


def test_recordings_by_name_and_what_goes_wrong(
    first_tones: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        """Run the command line in this process: return exit status, stdout, stderr."""
        monkeypatch.setattr(sys, "argv", ["asr", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    model, recordings = trained / "model.safetensors", [row.audio for row in read_manifest(first_tones / "train.jsonl")]
    (tmp_path / "bad.wav").write_text("no recording")
    status, results, said = run("classify", model, recordings[0], tmp_path / "bad.wav", recordings[1])
    assert status == 1 and "bad.wav: is not a recording" in said and "1 of 3 recordings" in said
    rows = [line.split("\t") for line in results.splitlines()]
    assert [row[0] for row in rows] == list(map(str, recordings[:2]))
    assert all(1 / 3 < float(probability) <= 1 and label in "abc" for _, label, probability in rows)
    status, results, _ = run("classify", model, recordings[0])
    assert (status, results.split()) == (0, rows[0][1:])
    for arguments, message in (
        (["transcribe", model, recordings[0]], "was trained for classification; use it with `asr classify`"),
        (
            ["classify", model, recordings[0], "--confusion", "c.png"],
            "needs a manifest with the class of each recording in tone",
        ),
        (["classify", model, recordings[0], "-o", "folder"], "-o folder: must be the name of a manifest, NAME.jsonl"),
    ):
        status, _, said = run(*arguments)
        assert status == 1 and message in said
    some = copy_with(first_tones, tmp_path / "some", "validation", first=None, second="z")
    status, results, said = run("classify", model, some / "validation.jsonl", "--confusion", tmp_path / "c.png")
    assert status == 0 and len(results.splitlines()) == 17 and " / 15] " in results.splitlines()[-1]
    assert "1 of 16 recordings have no tone and are not scored" in said


def test_a_recogniser_is_no_classifier(tmp_path: Path) -> None:
    fresh_recognizer().save(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="trained for recognition; use it with `asr transcribe`"):
        Classifier.from_file(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors", "cpu").units.symbols


def test_same_seed_same_bytes_also_after_an_interruption(
    first_tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        train(classifier_config(first_tones, epochs=2, seed=seed), tmp_path / name)
    evaluate = ClassificationTask.evaluate
    monkeypatch.setattr(
        ClassificationTask, "evaluate", lambda self: os.kill(os.getpid(), signal.SIGTERM) or evaluate(self)
    )
    with pytest.raises(KeyboardInterrupt):
        train(classifier_config(first_tones, epochs=2), tmp_path / "c")
    monkeypatch.undo()
    assert not (tmp_path / "c" / "model.safetensors").exists()
    train(classifier_config(first_tones, epochs=2), tmp_path / "c")
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["c"] != files["b"]


def test_two_joined_utterances_have_no_one_class(first_tones: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not have one class"):
        train(with_augment(classifier_config(first_tones), join=0.5), tmp_path)


def test_classes_that_cannot_be_learned(first_tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    unseen = copy_with(first_tones, tmp_path / "unseen", "validation", first="x", second="x", third="y")
    classifier = train(classifier_config(unseen, epochs=1), tmp_path / "run")
    assert "that training data does not have; they count as errors: 'x' 2 times, 'y' 1 time" in capsys.readouterr().err
    assert classifier.summary["validation_error_rate"] >= 100 * 3 / 16

    def refused(folder: Path) -> str:
        with pytest.raises(TrainingError) as caught:
            train(classifier_config(folder, epochs=1), tmp_path / "refused")
        return str(caught.value)

    others = copy_with(first_tones, tmp_path / "others", "validation", **{str(n): "x" for n in range(16)})
    assert "no class of the validation data occurs in the training data; found 'x' 16 times" in refused(others)
    alike = copy_with(first_tones, tmp_path / "alike", "train", **{str(n): "a" for n in range(96)})
    assert "all utterances have the same class, 'a'" in refused(alike)
    without = copy_with(first_tones, tmp_path / "without", "train", **{str(n): None for n in range(96)})
    message = refused(without)
    assert (
        "none of its 96 utterances" in message and "train.jsonl:1: " in message and "train/0.wav has no tone" in message
    )
    capsys.readouterr()
    some = copy_with(first_tones, tmp_path / "some", "train", first="a", second=None)
    train(classifier_config(some, epochs=1), tmp_path / "some-run")
    said = capsys.readouterr().err
    assert "left out 1 utterance, bad line" in said and "train.jsonl:2: " in said and "train/1.wav has no tone" in said


def test_checking_looks_at_classes_not_at_texts(first_tones: Path) -> None:
    config = classifier_config(first_tones)
    splits = {"train": config.data.train, "validation": config.data.validation}
    assert not check(splits, training="train", **settings_of(config)).unusable
    data = config.data.model_copy(update={"text_field": "text"})
    as_texts = config.model_copy(update={"task": "recognition", "data": data})
    assert len(check(splits, training="train", **settings_of(as_texts)).unusable) == 112


def test_starting_from_other_models(
    tones: Path, first_tones: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """From a classifier: rows by class. From a recogniser, whatever its units are called: the encoder alone."""
    renamed = copy_with(first_tones, tmp_path / "renamed", "train", first="d")
    path = trained / "model.safetensors"
    second = train(classifier_config(renamed, epochs=1, learning_rate=1e-9, start_from=str(path)), tmp_path / "second")
    assert f"starting from {path}: classes 3 kept, 1 new, 0 dropped" in capsys.readouterr().err
    first = Classifier.from_file(path, second.device)
    for name, tensor in first.acoustic_model.state_dict().items():
        new = second.acoustic_model.state_dict()[name]
        torch.testing.assert_close(new[:3] if name.startswith("output") else new, tensor, atol=1e-6, rtol=0)

    recognizer = train(train_config(tones, epochs=1), tmp_path / "recognizer")
    path = tmp_path / "recognizer" / "model.safetensors"
    third = train(
        classifier_config(first_tones, epochs=1, learning_rate=1e-9, start_from=str(path)), tmp_path / "third"
    )
    assert f"starting from {path}: classes 0 kept, 3 new, 3 dropped" in capsys.readouterr().err
    for name, tensor in recognizer.acoustic_model.state_dict().items():
        if not name.startswith("output"):
            torch.testing.assert_close(third.acoustic_model.state_dict()[name], tensor, atol=1e-6, rtol=0)


def test_damaged_classes_are_named(trained: Path, tmp_path: Path) -> None:
    metadata = read_metadata(trained / "model.safetensors")
    tensors = safetensors.torch.load_file(trained / "model.safetensors")
    for number, classes in enumerate((["a"], 3, None)):
        path = tmp_path / f"{number}.safetensors"
        safetensors.torch.save_file(tensors, path, {"asr": json.dumps({**metadata, "classes": classes})})
        with pytest.raises(ModelFileError, match="do not fit together"):
            Classifier.from_file(path)


def test_confusions_and_accuracy_against_counting() -> None:
    generator = np.random.default_rng(0)
    references = generator.choice(list("abcxy"), 200).tolist()  # x and y are never hypotheses
    hypotheses = generator.choice(list("cab"), 200).tolist()
    counts, names = confusions(references, hypotheses, list("abc"))
    assert names == list("abcxy") and counts.shape == (5, 3)
    expected = Counter(zip(references, hypotheses, strict=True))
    assert {(r, h): counts[i, j] for i, r in enumerate(names) for j, h in enumerate("abc") if counts[i, j]} == expected
    found = accuracy(references, hypotheses)
    assert (found.correct, found.total) == (sum(expected[c, c] for c in "abc"), 200)
    # The bootstrap of independent utterances is about binomial.
    share = found.correct / 200
    deviation = 100 * (share * (1 - share) / 200) ** 0.5
    assert found.interval == pytest.approx((100 * share - 1.96 * deviation, 100 * share + 1.96 * deviation), abs=0.6)
    assert accuracy(["a"] * 6, ["a"] * 6, list("abcdef")).resampled == "6 speakers"


def test_views_of_a_whole_recording_are_not_compared(first_tones: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.consistency: is for recognisers"):
        train(classifier_config(first_tones, consistency=0.2), tmp_path)
