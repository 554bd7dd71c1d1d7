"""A service in a process of its own on a free port, with two small models, for tests of live sound."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from conftest import PATIENCE, fresh_recognizer
from oracles import random_waveforms
from test_stream import streaming

from asr.exporting.onnx import to_onnx

RATE = 8000  # Hz, of both models
_PROGRAM = """
import sys
from pathlib import Path
from asr.serving.engine.engine import Engine
from asr.serving.limits import Limits
from asr.serving.engine.messages import Options
from asr.serving.server import Address, serve
from asr.serving.service import Service
from asr.serving.live.wyoming import WyomingAddress, WyomingServer
if __name__ == "__main__":
    folder, options = Path(sys.argv[1]), eval(sys.argv[2])
    limits, phrases = Limits(**options.pop("limits", {})), options.pop("phrases", ())
    engine = Engine({name: folder / f"{name}.onnx" for name in ("one", "two")}, limits=limits,
                    defaults=Options(phrases=phrases))
    service = Service(engine, limits, local=True, **options)
    wyoming = WyomingServer(service, WyomingAddress("127.0.0.1", 0), ("sw", "en"))
    serve(service, Address(port=0), listening=lambda url: print(url, flush=True), wyoming=wyoming)
"""


@dataclass(frozen=True)
class Running:
    """A service that runs: its addresses, its processes, and the folder of its temporary files."""

    url: str
    wyoming: str
    process: subprocess.Popen[str]
    temporary: Path

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    async def metric(self, *names: str) -> float:
        """Return the sum of numbers that the service counts."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            text = (await client.get(f"{self.url}/metrics")).text
        values = dict(line.rsplit(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))
        return sum(float(values[name]) for name in names)

    async def streams(self, count: int) -> None:
        """Wait until `count` streams are open."""
        while await self.metric("asr_streams") != count:
            await asyncio.sleep(0.05)

    def memory(self) -> int:
        """Return the bytes of memory of the service and its model process."""
        found = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (found, *found.children(recursive=True)))

    def worker(self) -> int:
        """Return the process number of the model process."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return max(children, key=lambda child: child.memory_info().rss).pid


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run what a test does with a service; end it if it hangs."""
    return asyncio.run(asyncio.wait_for(work(), 2 * PATIENCE))


def write_models(folder: Path) -> None:
    """Write `one.onnx`, which streams, and `two.onnx`, which answers at pauses; both with random weights."""
    one = streaming()
    with torch.no_grad():
        one.acoustic_model.output.bias[0] += 1.5  # so that it writes nothing into silence
    (folder / "two.onnx").write_bytes(to_onnx(fresh_recognizer()))
    (folder / "one.onnx").write_bytes(to_onnx(one))


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Running]:
    """Start a service of the models in `folder`, with Wyoming, and end it whatever happens.

    `options` are fields of Service, `limits` with fields of Limits, and `phrases`. Unlike `conftest.served`, it can
    have limits that the command line does not set.
    """
    program = folder / "serve.py"  # a file, since processes that it starts import it
    program.write_text(_PROGRAM)
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder), repr(options)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        assert process.stdout is not None
        wyoming, url = (process.stdout.readline().strip() for _ in range(2))
        assert url, "the service has ended"
        yield Running(url, wyoming, process, temporary)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def speech(count: int = 3, pause: float = 2.0) -> np.ndarray:
    """Return int16 samples of bursts of sound, with a pause after each."""
    parts = [part for wave in random_waveforms(2, count) for part in (wave, np.zeros(round(RATE * pause), np.float32))]
    return (np.concatenate(parts) * 32767).astype(np.int16)
