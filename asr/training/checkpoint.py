"""Checkpoints: everything that a run needs to resume after any interruption, with the same result.

Each checkpoint is one file: a SHA-256 digest, which reveals damage, and then the output of `torch.save`. Its name tells
the run, so that several runs may leave checkpoints in one folder. The last two checkpoints of a run are kept.
"""

import hashlib
import io
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from asr.errors import TrainingError
from asr.files import write_whole

_KEPT = 2  # checkpoints
_DIGEST = hashlib.sha256().digest_size


class Checkpoints:
    """The checkpoints of one run in one folder.

    `fingerprint` identifies configuration and data; after a space, it may state the number of processes.
    """

    def __init__(self, folder: Path, *, fingerprint: str, minutes: float) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.seconds = minutes * 60
        self._prefix = f"checkpoint-{hashlib.sha256(fingerprint.encode()).hexdigest()[:12]}-"
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of `step`. Raises TrainingError if the disk is full; older checkpoints stay valid."""
        buffer = io.BytesIO()
        torch.save({**state, "fingerprint": self.fingerprint}, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"{self._prefix}{step:09d}.pt"
        try:
            write_whole(path, hashlib.sha256(content).digest(), content)
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written: {error.strerror or error}; free disk space and repeat the command; it "
                "resumes from the previous checkpoint"
            ) from None
        for old in [*self.own()[:-_KEPT], *self.folder.glob("*.part")]:  # drafts that a killed run left
            old.unlink()
        self._last = time.monotonic()

    def restore(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the state of the newest undamaged checkpoint of this run, or None; report damaged checkpoints."""
        return self._newest(self.own(), self.fingerprint, say)

    def find(self, fingerprint: str, say: Callable[[str], None]) -> dict[str, Any] | None:
        """Return the newest state with `fingerprint` under another name, or with another number of processes, or None.

        None is returned too if this run has a newer checkpoint.
        """
        state = self._newest(self.others(), fingerprint, say)
        return None if state is None or any(_step(path) >= state["position"]["step"] for path in self.own()) else state

    def own(self) -> list[Path]:
        """Return the checkpoints of this run, oldest first."""
        return sorted(self.folder.glob(f"{self._prefix}*.pt"))

    def others(self) -> list[Path]:
        """Return the checkpoints of other runs in the folder, and of versions whose names did not tell the run."""
        return sorted(set(self.folder.glob("checkpoint-*.pt")) - set(self.own()), key=lambda path: path.name[-12:])

    def drop(self, fingerprint: str) -> None:
        """Delete what `find` may return, and damaged checkpoints under other names than those of this run."""
        for path in self.others():
            state = _read(path)
            if state is None or _is_same(state["fingerprint"], fingerprint):
                path.unlink()

    def _newest(self, paths: Sequence[Path], fingerprint: str, say: Callable[[str], None]) -> dict[str, Any] | None:
        for path in reversed(paths):
            state = _read(path)
            if state is None:
                say(f"{path}: is damaged; trying the previous checkpoint")
            elif _is_same(state["fingerprint"], fingerprint):
                return state
        return None

    def remove(self) -> None:
        """Delete the checkpoints of this run, after the run is done and its model file is written."""
        for path in self.own():
            path.unlink()


def _is_same(one: str, other: str) -> bool:
    """Return whether two fingerprints are those of one run, with any number of processes."""
    return one.split(" ")[0] == other.split(" ")[0]


def _step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _read(path: Path) -> dict[str, Any] | None:
    """Return the state in a checkpoint, or None if the checkpoint is damaged."""
    content = path.read_bytes()
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    return state


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
