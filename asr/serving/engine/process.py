"""A model process as the web process sees it: messages to it and from it never block the event loop."""

import asyncio
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from asr.serving.engine.messages import Reply, Request
from asr.serving.engine.worker import run


class WorkerProcess:
    """One model process, joined by a pipe; a thread reads from the pipe, a thread writes to it."""

    def __init__(self, threads: int, received: "Callable[[WorkerProcess, Reply | None], None]") -> None:
        """Start the process. `received` gets each reply in the event loop, and None once the process has died.

        `threads` are the threads that the process computes on.
        """
        self._loop, self._received = asyncio.get_running_loop(), received
        self._messages: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, threads), name="asr-worker", daemon=True)
        with _without_interrupts(), _environment(OMP_NUM_THREADS=str(threads)):
            self._process.start()
        theirs.close()
        self._pipe: Any = ours
        self._ended = threading.Event()
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True, name="asr-pipe").start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid or 0

    def send(self, message: Request) -> None:
        """Send a message, in the order of calls."""
        self._messages.put(message)

    def end(self) -> None:
        """Let the process end: it sees that its pipe is closed."""
        self._messages.put(None)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process; kill it if it does not end. Blocks."""
        if not self._ended.wait(seconds):
            self._process.kill()
            self._ended.wait()

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._post(self._pipe.recv())
        self._post(None)
        self._messages.put(None)
        self._process.join()
        self._ended.set()

    def _write(self) -> None:
        with suppress(OSError):  # the reader tells of the end of the process
            while (message := self._messages.get()) is not None:
                self._pipe.send(message)
            self._pipe.send(None)

    def _post(self, reply: Reply | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for the reply
            self._loop.call_soon_threadsafe(self._received, self, reply)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a process that starts in the block ignore Ctrl-C, which a terminal sends to all processes."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _environment(**settings: str) -> Iterator[None]:
    """Set variables of the environment that are not set, for a process that starts in the block."""
    new = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
