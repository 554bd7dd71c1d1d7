"""Checkpoints: all that a run needs to go on, after any interruption, as if there had been none.

Each is one file, a SHA-256 digest before what `torch.save` writes, so that a damaged one is known. The last two
are kept.
"""

import hashlib
import io
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from asr.errors import TrainingError
from asr.files import write_whole

_KEPT = 2
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints in one folder that belong to one configuration and one set of data, its `fingerprint`."""

    def __init__(self, folder: Path, *, fingerprint: str, minutes: float) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.seconds = minutes * 60
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the time between two checkpoints has passed."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes the checkpoint of `step`. Raises TrainingError if the disk is full; older ones stay valid."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, **state}, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"checkpoint-{step:09d}.pt"
        try:
            write_whole(path, hashlib.sha256(content).digest(), content)
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written: {error.strerror or error}; make room, and the same command goes on from "
                "the checkpoint before"
            ) from None
        for old in self._paths()[:-_KEPT]:
            old.unlink()
        self._last = time.monotonic()

    def restore(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint; None without one.

        Damaged checkpoints, and those of another configuration or other data, are said and passed over.
        """
        for path in reversed(self._paths()):
            content = path.read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                say(f"{path}: is damaged; trying the one before")
                continue
            state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
            if state["fingerprint"] != self.fingerprint:
                say(f"{path}: belongs to another configuration or other data; starting anew")
                return None
            return state
        return None

    def remove(self) -> None:
        """Deletes them all: the run is done, and the model file is its result."""
        for path in self._paths():
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.pt"))


class StopSignals:
    """Notes SIGTERM and SIGINT, so that the loop can save before it stops; a second one stops at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


def random_state() -> dict[str, Any]:
    """The generators that training draws from; NumPy's and Python's it leaves alone."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def set_random_state(state: dict[str, Any]) -> None:
    """Sets the generators as `random_state` found them."""
    torch.set_rng_state(state["cpu"].cpu())
    for index, generator in enumerate(state["cuda"]):
        torch.cuda.set_rng_state(generator.cpu(), index)
