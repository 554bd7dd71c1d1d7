"""The folder of a run: one training at a time, results kept unless told otherwise, runs extended to equal bytes."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import interrupted, train_config
from processes import run_asr

from asr.config import Config, TrainingConfig
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, ConfigError, TrainingError
from asr.lm.estimate import estimate
from asr.text import Normalizer
from asr.training import language
from asr.training.checkpoint import Checkpoints
from asr.training.folder import claimed
from asr.training.schedule import warmup_cosine
from asr.training.train import train


def epochs(out: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_finished_run_is_replaced_only_if_told_so(tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "run"
    train(train_config(tones, epochs=2), out)
    model = (out / "model.safetensors").read_bytes()
    for settings in (train_config(tones, epochs=2), train_config(tones, epochs=1)):
        with pytest.raises(
            TrainingError, match=r"model\.safetensors: is the model of a finished run; --extend .*--over"
        ):
            train(settings, out)
    assert (out / "model.safetensors").read_bytes() == model
    train(train_config(tones, epochs=1), out, overwrite=True)
    assert f"{out}: removed the results of an earlier run" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() != model and epochs(out) == [1]
    train(train_config(tones, epochs=2), out, overwrite=True)
    assert (out / "model.safetensors").read_bytes() == model


def test_checkpoints_belong_to_one_run(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run is refused, and the first run resumes to the bytes of a run that nothing disturbed."""
    config, out = train_config(tones, epochs=3), tmp_path / "run"
    train(config, tmp_path / "whole")
    with interrupted(monkeypatch, after=2):
        train(config, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(
        TrainingError, match=r"unfinished run with other settings \(training\.epochs was 3, now 4\); --ext"
    ):
        train(train_config(tones, epochs=4), out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    train(config, out, overwrite=True)  # its own checkpoints are used: the bytes are those of starting over
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_other_data_is_another_run(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "validation"):
        write_manifest(tmp_path / f"{name}.jsonl", read_manifest(tones / f"{name}.jsonl"))
    with interrupted(monkeypatch, after=1):
        train(train_config(tmp_path, epochs=2), tmp_path / "run")
    utterances = read_manifest(tmp_path / "train.jsonl")
    write_manifest(tmp_path / "train.jsonl", [replace(utterances[0], id="new"), *utterances[1:]])
    with pytest.raises(TrainingError, match="unfinished run with other data;"):
        train(train_config(tmp_path, epochs=2), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"--extend: .* has no checkpoint with these data"):
        train(train_config(tmp_path, epochs=4), tmp_path / "run", extend=True)
    train(train_config(tmp_path, epochs=2), tmp_path / "run", overwrite=True)
    assert epochs(tmp_path / "run") == [1, 2]
    write_manifest(tmp_path / "train.jsonl", utterances[:90])
    with pytest.raises(TrainingError, match=r"was trained on other data; to train on other data, use --from"):
        train(train_config(tmp_path, epochs=4), tmp_path / "run", extend=True)


def test_checkpoints_of_older_versions_are_found(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Their names hold the step only."""
    config, out = train_config(tones, epochs=2), tmp_path / "run"
    train(config, tmp_path / "whole")
    with interrupted(monkeypatch, after=1):
        train(config, out)
    for path in out.glob("checkpoint-*.pt"):
        path.rename(out / re.sub("-[0-9a-f]{12}-", "-", path.name))
    train(config, out)
    assert "resuming from the checkpoint" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not list(out.glob("checkpoint-*"))


def test_two_runs_leave_checkpoints_in_one_folder(tmp_path: Path) -> None:
    """Neither counts those of the other among its two, whatever their steps."""
    one, two = (Checkpoints(tmp_path, fingerprint=name, minutes=5) for name in ("one", "two"))
    for step in (100, 200):
        one.save(step, {"step": step})
    for step in (1, 2, 3):
        two.save(step, {"step": step})
    assert [len(checkpoints.own()) for checkpoints in (one, two)] == [2, 2]
    states = [checkpoints.restore(print) for checkpoints in (one, two)]
    assert [state and state["step"] for state in states] == [200, 3]
    two.drop("neither")
    assert len(one.own()) == 2
    two.remove()
    assert len(one.own()) == 2 and not one.others()
    two.drop("one")
    assert not one.own()


def test_one_training_at_a_time(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text(train_config(tones, epochs=1).to_yaml())
    with claimed(tmp_path / "runs" / "words"):
        refused = run_asr("train", "words.yaml", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "asr: runs/words: another training is running in this folder; wait until it ends, or name another folder"
    ]
    assert run_asr("train", "words.yaml", cwd=tmp_path).returncode == 0


def test_a_folder_that_cannot_be_written(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/run: cannot be written: Not a directory; name another folder"):
        train(train_config(tones), tmp_path / "file" / "run")


def test_an_extended_run_keeps_its_epochs_and_repeats_its_bytes(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A finished run: also if the extension is interrupted, and repeated with and without `extend`."""
    longer = train_config(tones, epochs=5, learning_rate=5e-3)
    train(train_config(tones, epochs=2), tmp_path / "first")
    first = (tmp_path / "first" / "log.jsonl").read_text().splitlines()
    for name in ("whole", "killed"):
        shutil.copytree(tmp_path / "first", tmp_path / name)
    train(longer, tmp_path / "whole", extend=True)
    said = capsys.readouterr().err
    assert "after epoch 2: training.epochs was 2, now 5; training.learning_rate was 0.01, now 0.005" in said
    log = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in log]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert log[0] == first[0] and rows[1] == {k: v for k, v in json.loads(first[1]).items() if k != "stopped"}
    assert rows[-1]["train_loss"] < rows[1]["train_loss"]
    assert Config.load(tmp_path / "whole" / "config.yaml") == longer
    with interrupted(monkeypatch, after=1):  # the state of the finished run, as a checkpoint
        train(longer, tmp_path / "killed", extend=True)
    with interrupted(monkeypatch, after=2):
        train(longer, tmp_path / "killed", extend=True)
    train(longer, tmp_path / "killed")
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_an_unfinished_run_is_extended_from_its_checkpoint(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More patience changes no step, so the bytes are those of the longer run."""
    train(train_config(tones, epochs=3, patience=9), tmp_path / "whole")
    with interrupted(monkeypatch, after=2):
        train(train_config(tones, epochs=3, patience=5), tmp_path / "run")
    open_settings = train_config(tones, patience=9)
    training = TrainingConfig.model_validate({"patience": 9})
    train(open_settings.model_copy(update={"training": training}), tmp_path / "run", extend=True)
    models = [torch_bytes(tmp_path / name / "model.safetensors") for name in ("whole", "run")]
    assert models[0] == models[1]


def torch_bytes(path: Path) -> bytes:
    from safetensors.torch import load_file

    return torch.cat([tensor.flatten().float() for tensor in load_file(path).values()]).numpy().tobytes()


def test_a_run_that_lost_patience_gets_it_anew(tones: Path, tmp_path: Path) -> None:
    settings = {"epochs": 20, "patience": 1, "learning_rate": 1e-9}
    train(train_config(tones, **settings), tmp_path)
    done = len(epochs(tmp_path))
    assert done < 20
    train(train_config(tones, **{**settings, "patience": 2}), tmp_path, extend=True)
    assert len(epochs(tmp_path)) >= done + 2


def test_what_cannot_be_extended_is_named(tones: Path, tmp_path: Path) -> None:
    config = train_config(tones, epochs=1)
    with pytest.raises(TrainingError, match=r"has no config\.yaml of a run; leave --extend out"):
        train(config, tmp_path / "none", extend=True)
    train(config, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"--extend: 1 epoch is done in .*; set training\.epochs to more than 1"):
        train(config, tmp_path / "run", extend=True)
    larger = config.model_copy(update={"model": config.model.model_copy(update={"hidden": 64})})
    with pytest.raises(ConfigError, match=r"model\.hidden was 32, now 64; only training\.checkpoint_minutes, .*--from"):
        train(larger, tmp_path / "run", extend=True)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    refused = run_asr("train", "c.yaml", "--extend", "--budget", "2m", cwd=tmp_path)
    assert refused.stderr.startswith("asr: --extend: leave --overwrite and --budget out")


def test_the_rate_of_an_extended_run_rises_to_the_cosine() -> None:
    limits = {"total": 1000, "warmup": 0.1}
    plain, anew = ([warmup_cosine(step, begun=begun, **limits) for step in range(1000)] for begun in (0, 500))
    assert plain[99] == 1.0 and plain[0] == 0.01
    assert anew[500] == pytest.approx(plain[500] / 100) and anew[549] == pytest.approx(plain[549] / 2)
    assert anew[599:] == plain[599:]


def test_language_models_refuse_the_checkpoints_of_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a boa", "bob a", "ab"]

    def run(hidden: int, **options: Any) -> None:
        ngrams = estimate(texts, units="characters").model
        training = TrainingConfig(epochs=2, learning_rate=1e-2)
        settings = {"hidden": hidden, "layers": 1, "cell": "gru", "dropout": 0.0, **options}
        language.train(
            texts, texts, tmp_path / "lm", ngrams=ngrams, normalizer=Normalizer(), options=training, **settings
        )

    with interrupted(monkeypatch, after=1):
        run(8)
    with pytest.raises(
        AsrError, match=r"lm\.training: holds an unfinished run with other settings or other data; --over"
    ):
        run(9)
    run(9, overwrite=True)
    assert not list((tmp_path / "lm.training").glob("checkpoint-*"))
