"""Checkpoints: everything that a run needs to resume after any interruption, with the same result.

Each checkpoint is one file: a SHA-256 digest, which reveals damage, and then the output of `torch.save`. The last two
checkpoints are kept.
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

_KEPT = 2  # checkpoints
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints of one run in one folder; `fingerprint` identifies its configuration and data."""

    def __init__(self, folder: Path, *, fingerprint: str, minutes: float) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.seconds = minutes * 60
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of `step`. Raises TrainingError if the disk is full; older checkpoints stay valid."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, **state}, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"checkpoint-{step:09d}.pt"
        try:
            write_whole(path, hashlib.sha256(content).digest(), content)
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written: {error.strerror or error}; free disk space and repeat the command; it "
                "resumes from the previous checkpoint"
            ) from None
        for old in [*self._paths()[:-_KEPT], *self.folder.glob("*.part")]:  # drafts that a killed run left
            old.unlink()
        self._last = time.monotonic()

    def restore(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the state of the newest undamaged checkpoint of this run, or None if there is none.

        Reports damaged checkpoints, and checkpoints of another configuration or other data; they are not used.
        """
        for path in reversed(self._paths()):
            content = path.read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                say(f"{path}: is damaged; trying the previous checkpoint")
                continue
            state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
            if state["fingerprint"] != self.fingerprint:
                say(f"{path}: belongs to another configuration or other data; training starts from the beginning")
                return None
            return state
        return None

    def remove(self) -> None:
        """Delete all checkpoints, after the run is done and its model file is written."""
        for path in self._paths():
            path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.pt"))


class StopSignals:
    """A context that notes SIGTERM and SIGINT, so that the loop can save before it stops.

    A second signal stops the program at once. Windows sends no SIGTERM to a process; there SIGINT (Ctrl-C) is noted.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
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
    """Return the state of torch's random generators; training uses no other generators that keep a state."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the generators from the result of `random_state`."""
    torch.set_rng_state(state["cpu"].cpu())
    for index, generator in enumerate(state["cuda"]):
        torch.cuda.set_rng_state(generator.cpu(), index)
