"""Training on several processes and hosts goes on after a process or a host is lost, and says what hosts lack."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import interrupted, train_config, with_augment
from filelock import FileLock
from test_distributed import hosts, torchrun  # noqa: F401 (a fixture)

from asr.training import folder
from asr.training.checkpoint import Checkpoints, _read
from asr.training.train import train

NETWORK = pytest.mark.skipif(shutil.which("ip") is None, reason="needs the program ip (iproute2)")
LIMIT = 900.0  # seconds


def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def finish(job: "subprocess.Popen[str]") -> str:
    """Wait for the end of a job, which must succeed; return its messages."""
    _, said = job.communicate(timeout=LIMIT)
    assert job.returncode == 0, said
    return said


def checkpoints(out: Path) -> set[str]:
    return {path.name for path in out.glob("checkpoint-*.pt")}


def workers(agent: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the training processes of an agent of torchrun."""
    return [one for one in psutil.Process(agent.pid).children(recursive=True) if "train" in one.cmdline()]


def in_tones(tones: Path, tmp_path: Path, **training: object) -> Path:
    """Write a configuration whose runs leave a checkpoint after every step."""
    config = with_augment(train_config(tones, checkpoint_minutes=1e-6, **training), join=0.5)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    return tmp_path / "config.yaml"


def test_a_killed_process_is_started_again(tones: Path, tmp_path: Path) -> None:
    config = in_tones(tones, tmp_path, epochs=2)
    finish(torchrun(config, tmp_path / "whole", "--standalone"))
    job = torchrun(config, tmp_path / "killed", "--standalone", "--max-restarts=1")
    until(lambda: checkpoints(tmp_path / "killed"))
    workers(job)[-1].kill()
    said = finish(job)
    assert "resuming from the checkpoint" in said
    assert said.count("epoch 2/2") == said.count("next: asr transcribe") == 1  # one process speaks
    assert "a step has up to 64 utterances and 8 s with padding: 2 processes x 1 part of up to 32 utterances" in said
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_another_number_of_processes_continues(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint of a process becomes that of two; the random numbers after it are always equal."""
    config = train_config(tones, epochs=3, checkpoint_minutes=1e-6)
    out = tmp_path / "first"
    with interrupted(monkeypatch, after=2):
        train(config, out)
    for path in sorted(out.glob("checkpoint-*.pt")):
        state = _read(path)
        assert state is not None
        path.unlink()
        of_two = state["fingerprint"].removesuffix(" 1") + " 2"
        random = state["random"] * 2
        Checkpoints(out, fingerprint=of_two, minutes=5).save(state["position"]["step"], state | {"random": random})
    shutil.copytree(out, tmp_path / "second")
    capsys.readouterr()
    train(config, out)
    assert "continues a run of 2 processes with 1: other random numbers follow" in capsys.readouterr().err
    assert not checkpoints(out)
    train(config, tmp_path / "second")
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "second" / "model.safetensors").read_bytes()


def test_an_elastic_job_waits_for_the_lock_of_a_lost_host(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is freed while the job waits for it."""
    lock = FileLock(tmp_path / ".training.lock")
    lock.acquire()
    waited: list[float] = []

    class Waiting(FileLock):
        def acquire(self, timeout: float) -> None:  # type: ignore[override]
            waited.append(timeout)
            lock.release()
            super().acquire(timeout=timeout)

    monkeypatch.setattr(folder, "FileLock", Waiting)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with folder.claimed(tmp_path):
        assert waited == [folder._LEASE]


def agents(
    config: Path, out: Path, on: list[list[str]], *options: str, nodes: str = "2"
) -> list["subprocess.Popen[str]"]:
    """Start an agent of torchrun on each host."""
    return [
        torchrun(
            config, out, f"--nnodes={nodes}", "--nproc-per-node=1", "--rdzv-backend=c10d",
            "--rdzv-endpoint=10.77.0.1:29500", f"--rdzv-conf=is_host={int(number == 1)}",
            f"--local-addr=10.77.0.{number}", *options, host=host,
        )
        for number, host in enumerate(on, start=1)
    ]  # fmt: skip


@pytest.mark.slow
@NETWORK
def test_two_hosts_survive_killed_processes(tones: Path, tmp_path: Path, hosts: list[list[str]]) -> None:  # noqa: F811
    """A process of the second host is killed, then one of the first; nobody names a network interface."""
    config = in_tones(tones, tmp_path, epochs=3)
    without_name = [[word for word in host if not word.startswith("GLOO")] for host in hosts]
    jobs = agents(config, tmp_path / "killed", without_name, "--max-restarts=3")
    for job in reversed(jobs):
        seen = checkpoints(tmp_path / "killed")
        until(lambda seen=seen: checkpoints(tmp_path / "killed") - seen)  # type: ignore[misc]
        (worker,) = workers(job)
        worker.send_signal(signal.SIGKILL)
    said = [finish(job) for job in jobs]
    assert said[0].count("resuming from the checkpoint") == 2
    finish(torchrun(config, tmp_path / "whole", "--standalone"))
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]


@pytest.mark.slow
@NETWORK
def test_one_host_continues_without_the_other(tones: Path, tmp_path: Path, hosts: list[list[str]]) -> None:  # noqa: F811
    config = in_tones(tones, tmp_path, epochs=8)
    first, second = agents(config, tmp_path / "out", hosts, "--max-restarts=3", nodes="1:2")
    until(lambda: len(checkpoints(tmp_path / "out")) == 2)
    (worker,) = workers(second)
    for lost in (second, worker):
        os.kill(lost.pid, signal.SIGKILL)
    second.communicate(timeout=LIMIT)
    said = finish(first)
    assert "continues a run of 2 processes with 1: other random numbers follow" in said
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
@NETWORK
@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ("data", ".jsonl: no such manifest"),
        ("runs", "name a folder for results that all hosts share"),
        ("home", "no such configuration file"),
    ],
)
def test_a_host_lacks_files(
    tones: Path, tmp_path: Path, hosts: list[list[str]], hidden: str, message: str  # noqa: F811
) -> None:  # fmt: skip
    """An empty file system covers a folder of the second host; both hosts end with one message."""
    for name in ("home", "runs"):
        (tmp_path / name).mkdir()
    shutil.copytree(tones, tmp_path / "data")
    config = in_tones(tmp_path / "data", tmp_path / "home", epochs=1)
    cover = ["sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(tmp_path / hidden)]
    jobs = agents(config, tmp_path / "runs" / "out", [hosts[0], [*hosts[1], *cover]])
    for job in jobs:
        _, said = job.communicate(timeout=LIMIT)
        assert job.returncode == 1
        (line,) = [line for line in said.splitlines() if line.startswith("asr: ")]
        assert message in line
    assert not list((tmp_path / "runs").rglob("*.safetensors"))
