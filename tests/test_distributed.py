"""Several processes under torchrun train as one does at the same global batch, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import REPOSITORY, train_config, without_chance

PROCESSES = 2


def torchrun(config: Path, out: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={PROCESSES}", *options]
    command += ["-m", "asr", "train", str(config), "--out", str(out)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def finish(process: "subprocess.Popen[str]") -> str:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def test_two_processes_train_as_one(tones: Path, tmp_path: Path) -> None:
    """7 utterances a batch at most: shares differ in size, and the last batch leaves one process without any."""
    config = without_chance(train_config(tones, epochs=2, batch_utterances=7, learning_rate=1e-3, precision="fp32"))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    said = finish(torchrun(tmp_path / "config.yaml", tmp_path / "two", "--standalone"))
    assert said.count("epoch 2/2") == 1  # one process speaks
    command = [sys.executable, "-m", "asr", "train", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "one")]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    for one, two in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert one["step"] == two["step"]
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-3)
    models = [safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, weights in models[0].items():
        torch.testing.assert_close(models[1][name], weights, atol=2e-3, rtol=0, msg=name)


def test_a_killed_process_ends_the_job_and_it_resumes(tones: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(train_config(tones, epochs=3, checkpoint_minutes=1e-6).to_yaml())
    finish(torchrun(config, tmp_path / "whole", "--standalone"))
    job = torchrun(config, tmp_path / "killed", "--standalone")
    while job.poll() is None and not list((tmp_path / "killed").glob("checkpoint-*.pt")):
        time.sleep(0.05)
    ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    job.communicate(timeout=120)
    assert job.returncode != 0
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert "going on from the checkpoint" in finish(torchrun(config, tmp_path / "killed", "--standalone"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]
