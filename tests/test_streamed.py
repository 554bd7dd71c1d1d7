"""Streamed training: the weights of packed training, after a kill too; recordings that cannot be read; refusals."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import soundfile
import torch
from conftest import REPOSITORY, train_config, with_augment
from object_storage import s3_bucket
from processes import run_asr

from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.shards import write_shards
from asr.errors import ConfigError, TrainingError
from asr.run_log import LOG_FILE
from asr.training.build import plan_epochs
from asr.training.cross_validation import train_on_folds
from asr.training.data import open_data
from asr.training.recognition import RecognitionTask
from asr.training.train import dry_run, train


@pytest.fixture(scope="module")
def timed(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the manifests of the tones with exact durations, and training data in two manifests besides."""
    folder = tmp_path_factory.mktemp("timed")
    for name in ("train", "validation"):
        rows = [replace(u, duration=soundfile.info(u.audio).duration) for u in read_manifest(tones / f"{name}.jsonl")]
        write_manifest(folder / f"{name}.jsonl", rows)
        if name == "train":
            write_manifest(folder / "large.jsonl", rows[:80])
            write_manifest(folder / "small.jsonl", rows[80:])
    return folder


def config(folder: Path, *, train: Sequence[str] = ("train",), join: float = 0, **data: object) -> Config:
    """Return the configuration of three epochs, each of which takes two thirds of the data."""
    made = with_augment(train_config(folder, epochs=3, epoch_utterances=64, batch_utterances=8), join=join)
    tree = made.model_dump()
    tree["data"] |= {"train": [str(folder / f"{name}.jsonl") for name in train], **data}
    return Config.model_validate(tree)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "model.safetensors")


def assert_equal(one: Path, other: Path) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


@pytest.mark.parametrize("join", [0, 0.5])
def test_streamed_and_packed_data_give_equal_weights(join: float, timed: Path, tmp_path: Path) -> None:
    """Two manifests with shares, joined recordings with made pauses, and epochs that end inside a pass.

    The streamed data is read from plain files, and from shards.
    """
    manifests = ("large", "small") if join else ("train",)
    shares = {"weights": [1, 1]} if join else {}
    for name, is_streamed in (("packed", False), ("streamed", True)):
        train(config(timed, train=manifests, join=join, stream=is_streamed, **shares), tmp_path / name)
    assert_equal(tmp_path / "packed", tmp_path / "streamed")
    tree = config(timed, join=join, **shares, train=manifests).model_dump()
    tree["data"]["train"] = [str(tmp_path / f"{name}-shards") for name in manifests]
    for name in manifests:
        write_shards([str(timed / f"{name}.jsonl")], f"{tmp_path / name}-shards", sample_rate=8000, shard_bytes=300_000)
    train(Config.model_validate(tree), tmp_path / "shards")  # a folder of shards is streamed unless it is set
    assert_equal(tmp_path / "packed", tmp_path / "shards")
    logs = [
        [{**json.loads(line), "seconds": 0, "load_share": 0, "memory_mb": 0} for line in text.splitlines()]
        for text in ((tmp_path / name / LOG_FILE).read_text() for name in ("packed", "streamed"))
    ]
    assert logs[0] == logs[1]


def test_shards_in_object_storage_give_the_weights_of_a_folder(
    timed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From packing to the model: `asr pack … -o s3://…`, then `data.train=s3://…`."""
    monkeypatch.setenv("ASR_CACHE", str(tmp_path / "cache"))
    with s3_bucket() as bucket:
        found = run_asr(
            "pack", timed / "train.jsonl", "-o", f"{bucket}/mine", "--shards", "300k", "--sample-rate", 8000
        )
        assert found.returncode == 0, found.stderr
        tree = config(timed, join=0.5).model_dump()
        tree["data"]["train"] = [f"{bucket}/mine"]
        train(Config.model_validate(tree), tmp_path / "s3")
    train(config(timed, join=0.5, stream=True), tmp_path / "files")
    assert_equal(tmp_path / "files", tmp_path / "s3")


def start(settings: Path, out: Path, *runner: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", *runner, "asr", "train", str(settings), "--out", str(out)]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_a_killed_run_ends_with_the_same_bytes(timed: Path, tmp_path: Path) -> None:
    """SIGKILL in the second epoch; a checkpoint is written after every batch."""
    tree = config(timed, join=0.5, stream=True).model_dump(mode="json")
    tree["training"]["checkpoint_minutes"] = 1e-6
    settings = tmp_path / "config.yaml"
    settings.write_text(Config.model_validate(tree).to_yaml())
    said = finish(start(settings, tmp_path / "whole"))
    assert "an epoch has 64 utterances" in said
    process = start(settings, tmp_path / "killed")
    log = tmp_path / "killed" / LOG_FILE
    while process.poll() is None and not log.exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert "resuming from the checkpoint" in finish(start(settings, tmp_path / "killed"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_two_processes_stream_as_one(timed: Path, tmp_path: Path) -> None:
    """Without random augmentation, which differs between processes, the losses of both are equal."""
    from conftest import without_chance

    settings = tmp_path / "config.yaml"
    settings.write_text(without_chance(config(timed, stream=True)).to_yaml())
    finish(start(settings, tmp_path / "two", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"))
    finish(start(settings, tmp_path / "one"))
    logs = [(tmp_path / name / LOG_FILE).read_text().splitlines() for name in ("one", "two")]
    for one, two in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert one["step"] == two["step"]
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)


def test_recordings_that_cannot_be_read_are_left_out_by_name(
    timed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One is missing, one is shorter than its text needs; a batch of its own too. Twice gives equal weights."""
    rows = read_manifest(timed / "train.jsonl")
    rows[0] = replace(rows[0], audio=tmp_path / "missing.wav")
    soundfile.write(tmp_path / "short.wav", [0.1] * 480, 8000)
    rows[1] = replace(rows[1], audio=tmp_path / "short.wav", text="aaaa", duration=0.15)
    write_manifest(tmp_path / "train.jsonl", rows)
    made = config(timed, stream=True)
    tree = made.model_dump()
    tree["data"]["train"] = [str(tmp_path / "train.jsonl")]
    tree["training"] |= {"batch_utterances": 1, "epochs": 1, "epoch_utterances": 96}
    for name in ("one", "two"):
        train(Config.model_validate(tree), tmp_path / name)
    said = caplog.text
    assert "missing.wav" in said and "left out of its batch" in said
    assert "is shorter than its manifest states" in said
    assert_equal(tmp_path / "one", tmp_path / "two")
    assert json.loads((tmp_path / "one" / LOG_FILE).read_text())["train_loss"] > 0


def test_training_stops_if_too_many_cannot_be_read(timed: Path, tmp_path: Path) -> None:
    rows = read_manifest(timed / "train.jsonl")
    gone = [replace(row, audio=tmp_path / f"{row.id}.wav") if number > 70 else row for number, row in enumerate(rows)]
    write_manifest(tmp_path / "train.jsonl", gone)
    made = config(timed, stream=True)
    changed = made.model_copy(update={"data": made.data.model_copy(update={"train": (str(tmp_path / "train.jsonl"),)})})
    with pytest.raises(TrainingError, match=r"20 of \d+ recordings could not be used, the last one: .*train-\d+"):
        train(changed, tmp_path / "run")


def test_what_needs_all_data_at_once_is_refused(timed: Path, tmp_path: Path) -> None:
    made = config(timed, stream=True)
    equalized = made.model_copy(update={"features": made.features.model_copy(update={"equalize": True})})
    (tmp_path / "ids").touch()
    for changed, message in (
        (equalized, "features.equalize: needs all recordings"),
        (config(timed, stream=True, exclude=str(tmp_path / "ids")), "data.exclude: streamed data"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(changed, tmp_path / "run")
    tree = config(timed, train=["large", "small"], weights=[1, 1]).model_dump()
    tree["training"]["epoch_utterances"] = 1
    with pytest.raises(ConfigError, match=r"training\.epoch_utterances: must be at least 2"):
        train(Config.model_validate(tree), tmp_path / "run")
    for changed in (made, config(timed), config(timed, temperature=0.5)):
        with pytest.raises(ConfigError, match="--folds: is for data that is packed"):
            train_on_folds(changed, tmp_path / "run", folds=2, say=print)
    settings = tmp_path / "config.yaml"
    settings.write_text(made.to_yaml())
    said = run_asr("suspects", settings).stderr
    assert "cross-validation needs packed data" in said and "Traceback" not in said


def test_bad_lines_are_named_and_strict_refuses_them(timed: Path, tmp_path: Path) -> None:
    lines = (timed / "train.jsonl").read_text().splitlines()
    (timed / "faulty.jsonl").write_text("\n".join(["{", *lines]))
    made, said = config(timed, stream=True, train=["faulty"]), list[str]()
    assert len(open_data(made, said.append).training) == 96
    assert any("left out 1 utterance" in line for line in said) and any(
        "faulty.jsonl:1: is not JSON" in s for s in said
    )
    with pytest.raises(TrainingError, match="--strict: 1 line of"):
        open_data(made, said.append, strict=True)
    (timed / "none.jsonl").write_text("{\n[]\n")
    with pytest.raises(TrainingError, match=r"none of its 2 lines can be used; .*none.jsonl:1: is not JSON"):
        open_data(config(timed, stream=True, train=["none"]), said.append)


def test_shares_are_said_and_reached(timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """16 utterances get half of the audio of each epoch; an epoch is planned when it is asked for."""
    made = config(timed, train=["large", "small"], weights=[1, 1], stream=True)
    lines = "\n".join(dry_run(made, tmp_path / "run")) + capsys.readouterr().err
    assert "3 epochs of" in lines and "large.jsonl: 0.0" in lines and "50.0% of an epoch" in lines
    data = open_data(made, lambda line: None)
    samples = data.training.num_samples
    for plan in plan_epochs(made, data):
        indices = [index for batch in plan for joined in batch for index in joined.parts]
        assert sum(samples[index] for index in indices if index >= 80) / sum(samples[indices]) == pytest.approx(
            0.5, abs=0.05
        )


def test_the_units_and_choices_are_those_of_packed_data(timed: Path, tmp_path: Path) -> None:
    units = tmp_path / "units.txt"
    units.write_text("a\nb\nc\nz\n")
    opened = []
    for is_streamed in (False, True):
        tree = config(timed, stream=is_streamed).model_dump()
        tree["text"]["units_file"] = str(units)
        del tree["model"]["subsampling"]
        said: list[str] = []
        made = Config.model_validate(tree)
        data = open_data(made, said.append)
        assert any("do not occur in training text: z" in line for line in said)
        torch.manual_seed(0)
        task = RecognitionTask(made, data, torch.device("cpu"))
        opened.append((data.units.symbols, task.baseline_loss, task.model.trained_lengths, task.recordings.pause))
    assert opened[0] == opened[1]
    units.write_text("a\nb\n")
    tree["text"]["units_file"] = str(units)
    with pytest.raises(Exception, match=r"does not list 'c'.* first in .*train.jsonl:\d+"):
        open_data(Config.model_validate(tree), said.append)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"weights": [1]}, "needs one number in weights for each of 2 manifests"),
        ({"weights": [1, 0]}, "needs weights of more than 0"),
        ({"weights": [1, 1], "temperature": 0.5}, "has weights and temperature; keep one of them"),
        ({"weights": [1, 1], "train": ["t", "t"]}, "names a manifest of train twice"),
        ({"temperature": -1}, "data.temperature must be at least 0"),
    ],
)
def test_shares_that_make_no_sense(data: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"data": {"train": ["a", "b"], "validation": "v", **data}}))
    with pytest.raises(ConfigError, match=message):
        Config.load(path)
