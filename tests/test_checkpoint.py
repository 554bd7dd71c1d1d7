"""Runs that are killed or damaged, or that fill the disk, resume to equal bytes or keep an older checkpoint."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, train_config, with_augment

from asr.errors import TrainingError
from asr.training.checkpoint import Checkpoints, random_state, set_random_state

KILLED = 3  # times that a run is killed, on the way to its end


def start(config: Path, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "asr", "train", str(config), "--out", str(out)]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_killed_runs_end_with_the_same_bytes(tones: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments; a checkpoint is written after every batch."""
    config = tmp_path / "config.yaml"
    config.write_text(with_augment(train_config(tones, epochs=6, checkpoint_minutes=1e-6), join=0.5).to_yaml())
    finish(start(config, tmp_path / "whole"))
    out = tmp_path / "killed"
    for _ in range(KILLED):
        before = set(out.glob("checkpoint-*.pt"))
        process = start(config, out)
        while process.poll() is None and not set(out.glob("checkpoint-*.pt")) - before:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
        assert not (out / "model.safetensors").exists()
    assert "resuming from the checkpoint" in finish(start(config, out))
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not list(out.glob("checkpoint-*"))


def test_sigterm_saves_and_the_same_command_goes_on(tones: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(train_config(tones, epochs=4).to_yaml())
    finish(start(config, tmp_path / "whole"))
    process = start(config, tmp_path / "stopped")
    assert process.stderr is not None
    said = ""
    while "epoch 2/4" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 130 and "SIGTERM: saved a checkpoint in" in rest
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    assert "resuming from the checkpoint" in finish(start(config, tmp_path / "stopped"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert models[0] == models[1]


def make(folder: Path, fingerprint: str = "same") -> Checkpoints:
    folder.mkdir(exist_ok=True)
    return Checkpoints(folder, fingerprint=fingerprint, minutes=5)


def test_damaged_newest_falls_back_and_other_runs_are_not_taken(tmp_path: Path) -> None:
    checkpoints, said = make(tmp_path), list[str]()
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": step, "random": random_state()})
    first, second = sorted(tmp_path.glob("checkpoint-*.pt"))  # two are kept
    draws = torch.rand(3)
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    state = checkpoints.restore(said.append)
    assert state is not None and state["step"] == 2
    set_random_state(state["random"])
    assert torch.equal(torch.rand(3), draws)  # the generator stands where it stood
    assert "damaged" in said[0] and str(second) in said[0]
    first.write_bytes(b"")
    assert checkpoints.restore(said.append) is None
    checkpoints.save(4, {"step": 4})
    assert make(tmp_path, "other").restore(said.append) is None
    checkpoints.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_full_disk_leaves_the_old_one_valid(tmp_path: Path) -> None:
    import resource

    checkpoints = make(tmp_path)
    checkpoints.save(1, {"step": 1})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        with pytest.raises(TrainingError, match="cannot be written"):
            checkpoints.save(2, {"step": 2, "weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    state = checkpoints.restore(print)
    assert state is not None and state["step"] == 1
    assert not list(tmp_path.glob("*.part"))
