"""A service in a process of its own on a free port, with two small models, for tests of live sound."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from conftest import fresh_recognizer
from oracles import random_waveforms
from test_stream import streaming

from asr.exporting.onnx import to_onnx

RATE = 8000  # Hz, of both models
_PROGRAM = """
import sys
from pathlib import Path
from asr.serving.engine import Engine
from asr.serving.limits import Limits
from asr.serving.server import Address, serve
from asr.serving.service import Service
if __name__ == "__main__":
    folder, options = Path(sys.argv[1]), eval(sys.argv[2])
    limits = Limits(**options.pop("limits", {}))
    engine = Engine({name: folder / f"{name}.onnx" for name in ("one", "two")}, limits=limits)
    service = Service(engine, limits, local=True, **options)
    serve(service, Address(port=0), listening=lambda url: print(url, flush=True))
"""


@dataclass(frozen=True)
class Running:
    """A service that runs: its address, and its processes."""

    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def memory(self) -> int:
        """Return the bytes of memory of the service and its model process."""
        found = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (found, *found.children(recursive=True)))

    def worker(self) -> int:
        """Return the process number of the model process."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return max(children, key=lambda child: child.memory_info().rss).pid


def write_models(folder: Path) -> None:
    """Write `one.onnx`, which streams, and `two.onnx`, which answers at pauses; both with random weights."""
    one = streaming()
    with torch.no_grad():
        one.acoustic_model.output.bias[0] += 1.5  # so that it writes nothing into silence
    (folder / "two.onnx").write_bytes(to_onnx(fresh_recognizer()))
    (folder / "one.onnx").write_bytes(to_onnx(one))


@contextmanager
def running(folder: Path, *command: str, **options: Any) -> Iterator[Running]:
    """Start a service of the models in `folder`, and end it whatever happens.

    `command` are arguments of `asr serve`, else `options` are fields of Service, and `limits`.
    """
    program = folder / "serve.py"  # a file, since processes that it starts import it
    program.write_text(_PROGRAM)
    arguments = [str(program), str(folder), repr(options)]
    if command:
        arguments = ["-m", "asr", "serve", str(folder / "one.onnx"), str(folder / "two.onnx"), "--port", "0", *command]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if (match := re.search(r"http://\S+", line)) is not None:
                yield Running(match[0], process)
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def speech(count: int = 3, pause: float = 2.0) -> np.ndarray:
    """Return int16 samples of bursts of sound, with a pause after each."""
    parts = [part for wave in random_waveforms(2, count) for part in (wave, np.zeros(round(RATE * pause), np.float32))]
    return (np.concatenate(parts) * 32767).astype(np.int16)
