"""Ray on the loopback interface of this machine, for tests: nodes of a cluster, and the processes of their workers."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

# Ray reads these when it is imported: a cluster on the loopback interface, which only this process may use.
for _name, _value in {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else a busy machine hardly runs the workers
}.items():
    os.environ.setdefault(_name, _value)

OUTER = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}  # environment of a cluster on an outer address
_STARTS = 4  # Ray gives its own processes 15 s to start, which a busy machine may not keep
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Node:
    """A node of a cluster: the process of `ray start`, and the address of the cluster."""

    process: subprocess.Popen[str]
    address: str

    def workers(self) -> list[int]:
        """Return the process numbers of the workers that transcribe."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):  # it has ended meanwhile
                if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::MapWorker"):
                    found.append(child.pid)
        return found

    def kill(self) -> None:
        """Kill all processes of the node at once."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            for one in (*process.children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def node(*, cpus: int, address: str | None = None, loopback: bool = True) -> Iterator[Node]:
    """Start a cluster with one node, or another node of the cluster at `address`, and end it whatever happens.

    A cluster of several nodes cannot be on the `loopback` interface.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a short path: sockets are made below it
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for _ in range(_STARTS):
            log = folder / "log"
            started = _start(log, folder, cpus, address, loopback)
            stack.callback(started.kill)
            if _is_up(started.process, log):
                host = re.search(r"Local node IP: (\S+)", log.read_text())
                yield replace(started, address=address or f"{host[1] if host else ''}:{started.address}")
                return
            started.kill()
        pytest.skip(f"Ray did not start in its time limit, {_STARTS} times: {log.read_text()[-300:]}")


def _start(log: Path, folder: Path, cpus: int, address: str | None, loopback: bool) -> Node:
    """Start a node; its address is the port of the cluster so far."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    place = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
    place = place if address is None else [f"--address={address}"]
    place += ["--node-ip-address=127.0.0.1"] if loopback else []
    size = [f"--num-cpus={cpus}", "--num-gpus=0", "--object-store-memory=100000000"]
    path = os.pathsep.join([str(_HERE.parent), str(_HERE)])  # workers import this checkout, and actors of tests
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place, *size],
            stdout=file,
            stderr=file,
            text=True,
            env={**os.environ, **({} if loopback else OUTER), "PYTHONPATH": path},
        )
    return Node(process, str(port))


def _is_up(process: subprocess.Popen[str], log: Path) -> bool:
    """Wait until a node is up, or has ended."""
    while process.poll() is None:
        if "Ray runtime started" in log.read_text():
            return True
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    return False
