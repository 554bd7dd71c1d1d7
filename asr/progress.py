"""Progress of long tasks on stderr: a bar with ETA on a terminal, a plain line now and then in a log."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_INTERVAL = 30.0  # seconds between lines where stderr is not a terminal


class ProgressBar:
    """`with ProgressBar("packing", total=300) as bar: … bar.advance()`; `total` is None where nobody knows it."""

    def __init__(self, title: str, total: int | None, *, done: float = 0.0) -> None:
        self._console = Console(stderr=True)
        self._title, self._total, self._done, self._note = title, total, done, ""
        self._done_before = done
        self._started = self._spoke = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "ProgressBar":
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=self._total, completed=int(self._done), note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: float = 1, *, note: str = "") -> None:
        """Counts `steps` more as done; `note` (a loss, say) stands beside the count."""
        self._done += steps
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, note=self._note)
        elif self._done > self._done_before and time.monotonic() - self._spoke > LOG_INTERVAL:
            self._spoke = time.monotonic()
            if self._total is None:
                self.print(f"{self._title} {self._done:.0f} {self._note}")
            else:
                left = (self._spoke - self._started) / (self._done - self._done_before) * (self._total - self._done)
                self.print(f"{self._title} {self._done:.0f}/{self._total} {self._note} ETA {left:.0f} s")

    def print(self, line: str) -> None:
        """A line that stays, above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)
