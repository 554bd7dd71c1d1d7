"""Several processes under torchrun train as one process does at the same global batch, and end together."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import safetensors.torch
import torch
from conftest import REPOSITORY, train_config, with_augment, without_chance

PROCESSES = 2


def torchrun(config: Path, out: Path, *options: str, host: Sequence[str] = ()) -> "subprocess.Popen[str]":
    command = [*host, sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={PROCESSES}", *options]
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


def test_processes_plan_a_budget_together(tones: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(train_config(tones, budget_minutes=0.5, patience=1000).to_yaml())
    finish(torchrun(config, tmp_path / "out", "--standalone"))  # a process with another plan would wait for ever
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["epoch"] == log[-1]["epochs"] == len(log)


def test_a_killed_process_ends_the_job_and_it_resumes(tones: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(with_augment(train_config(tones, epochs=3, checkpoint_minutes=1e-6), join=0.5).to_yaml())
    finish(torchrun(config, tmp_path / "whole", "--standalone"))
    job = torchrun(config, tmp_path / "killed", "--standalone")
    while job.poll() is None and not list((tmp_path / "killed").glob("checkpoint-*.pt")):
        time.sleep(0.05)
    psutil.Process(job.pid).children()[-1].kill()
    job.communicate(timeout=120)
    assert job.returncode != 0
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert "resuming from the checkpoint" in finish(torchrun(config, tmp_path / "killed", "--standalone"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


@pytest.fixture
def hosts() -> Iterator[list[list[str]]]:
    """Two network namespaces joined by a cable, as commands that run a program inside: two hosts on one machine."""
    names = [f"asr-{os.getpid()}-{number}" for number in range(2)]
    ends = [f"asr{os.getpid()}{number}"[:15] for number in range(2)]
    setup = [f"netns add {name}" for name in names]
    setup.append(f"link add {ends[0]} type veth peer name {ends[1]}")
    for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
        setup += [f"link set {end} netns {name}", f"-n {name} addr add 10.77.0.{number}/24 dev {end}"]
        setup += [f"-n {name} link set {end} up", f"-n {name} link set lo up"]
    try:
        for line in setup:
            if subprocess.run(["ip", *line.split()], capture_output=True, check=False).returncode:
                pytest.skip("needs the right to make network namespaces, which root has")
        yield [
            ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={end}"]
            for name, end in zip(names, ends, strict=True)
        ]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs the program ip (iproute2)")
def test_two_hosts(tones: Path, tmp_path: Path, hosts: list[list[str]]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(train_config(tones, epochs=2).to_yaml())
    where = ["--nnodes=2", "--master_addr=10.77.0.1", "--master_port=29511"]
    jobs = [
        torchrun(config, tmp_path / "two", *where, f"--node_rank={rank}", "--nproc_per_node=1", host=host)
        for rank, host in enumerate(hosts)
    ]
    said = [finish(job) for job in jobs]
    assert "epoch 2/2" in said[0] and "epoch 2/2" not in said[1]
    finish(torchrun(config, tmp_path / "one", "--standalone"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert models[0] == models[1]  # where the processes run makes no difference
