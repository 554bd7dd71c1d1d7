"""Reading ahead: threads prepare what will be asked for next, within a bound of memory.

What was prepared never changes an answer. A result that is not there is None, and its reader reads it directly.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

_KEPT_GROUPS = 4  # groups before the group in use whose results stay, for readers that do not keep the order


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work: `load` returns one array for each of `keys`, or None for a key that could not be read.

    `size` is how many bytes of memory the work takes at most, with its results. Jobs of lower groups are used before.
    """

    keys: Sequence[Hashable]
    load: Callable[[], Sequence[np.ndarray | None]]
    size: int
    group: int = 0
    is_started: bool = False
    is_done: threading.Event = field(default_factory=threading.Event)
    results: dict[Hashable, np.ndarray | None] = field(default_factory=dict)


class ReadAhead:
    """Runs jobs in threads, in their order, while all results that wait for a reader fit into `memory` bytes."""

    def __init__(self, memory: int, threads: int) -> None:
        self.memory = memory
        self._threads = threads
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, Job] = {}  # jobs whose results nobody has taken
        self._waiting: deque[Job] = deque()
        self._running = 0
        self.held = 0  # bytes
        self._group = self._first_group = 0
        self._pool: ThreadPoolExecutor | None = None

    def expect(self, jobs: Sequence[Job]) -> None:
        """Add a group of jobs, which are used together, after all earlier ones. Keys that are expected already stay."""
        with self._lock:
            self._group += 1
            for job in jobs:
                if job.size <= self.memory:  # a larger one is never read ahead
                    job.group = self._group
                    self._waiting.append(job)
                    self._jobs |= {key: job for key in job.keys if key not in self._jobs}
            self._start()

    def take(self, key: Hashable) -> np.ndarray | None:
        """Return the result of a key, and forget it; None if it was not expected, has not begun, or failed."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return None
            self._drop_before(job.group - _KEPT_GROUPS)
            if not job.is_started:
                del self._jobs[key]
                self._start()  # what was dropped has left memory for later jobs
                return None
        job.is_done.wait()
        with self._lock:
            if self._jobs.get(key) is job:
                del self._jobs[key]
            result = job.results.pop(key, None)
            self.held -= 0 if result is None else result.nbytes
            self._start()
        return result

    def close(self) -> None:
        """Forget all jobs, and end the threads."""
        with self._lock:
            self._drop_before(self._group + 1)
            if self._pool is not None:
                self._pool.shutdown(wait=False)
                self._pool = None

    def _drop_before(self, group: int) -> None:
        """Forget results that nobody has read: the reader has gone on to later groups."""
        if group <= self._first_group:
            return
        self._first_group = group
        for key in [key for key, job in self._jobs.items() if job.group < group]:
            job = self._jobs.pop(key)
            if job.is_done.is_set() and (result := job.results.pop(key, None)) is not None:
                self.held -= result.nbytes

    def _start(self) -> None:
        """Start the next jobs that memory and threads allow."""
        while self._waiting and self._running < self._threads:
            job = self._waiting[0]
            if not any(self._jobs.get(key) is job for key in job.keys):  # its reader was faster
                self._waiting.popleft()
                continue
            if self.held + job.size > self.memory:
                return
            self._waiting.popleft()
            job.is_started = True
            self._running += 1
            self.held += job.size
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="read-ahead")
            self._pool.submit(self._run, job)

    def _run(self, job: Job) -> None:
        results: Sequence[np.ndarray | None] = ()
        try:
            results = job.load()
        finally:
            with self._lock:
                for key, result in zip(job.keys, results, strict=False):
                    if self._jobs.get(key) is job and result is not None:
                        job.results[key] = result
                        self.held += result.nbytes
                self.held -= job.size
                self._running -= 1
                job.is_done.set()
                self._start()
