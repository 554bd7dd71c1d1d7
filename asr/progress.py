"""Progress of long tasks on stderr: a bar on a terminal, a plain line every 30 seconds in a log."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from asr.errors import printable

LOG_INTERVAL = 30.0  # seconds between two lines in a log
_TRUSTED_SECONDS = 5.0  # after the first step
_TRUSTED_STEPS = 20
_TRUSTED_SHARE = 0.05  # share of the steps still to do at the start
_SAMPLE_INTERVAL = 0.5  # seconds between two samples of the rate


def format_duration(seconds: float) -> str:
    """Return a duration for people: `45 s`, `3 min 20 s` or `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


class RemainingTime:
    """An estimate of the seconds that a task still needs, from the rate in the second half of the time so far.

    The time before the first step is never counted, because the first step often compiles code. There is no estimate
    until 5 s after the first step, nor before 20 steps or 5 % of the steps are done.
    """

    def __init__(self, total: float | None, *, done: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start a task of `total` steps (None: unknown) of which `done` were done before the start."""
        self._total, self._done_before, self._done = total, done, done
        self._clock = clock
        self._started = clock()
        self._first: float | None = None  # time of the first step
        self._samples: deque[tuple[float, float]] = deque()  # time, steps done until then

    def expect(self, total: float) -> None:
        """Change the number of steps of the task."""
        self._total = total

    def advance(self, steps: float) -> None:
        """Count `steps` more steps as done now."""
        self._done += steps
        now = self._clock()
        self._first = now if self._first is None else self._first
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_INTERVAL:
            self._samples.append((now, self._done))
        half = (self._started + now) / 2
        while len(self._samples) > 2 and self._samples[0][0] < half:
            self._samples.popleft()

    def seconds(self) -> float | None:
        """Return the estimate in seconds, or None while it cannot be trusted."""
        if self._total is None or self._first is None or len(self._samples) < 2:
            return None
        new = self._done - self._done_before
        enough = new >= _TRUSTED_STEPS or new >= _TRUSTED_SHARE * (self._total - self._done_before)
        (start, start_done), (end, end_done) = self._samples[0], self._samples[-1]
        if end - self._first < _TRUSTED_SECONDS or not enough or end_done <= start_done:
            return None
        return max(0.0, (self._total - self._done) * (end - start) / (end_done - start_done))


class _ElapsedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(format_duration(task.elapsed or 0.0))


class ProgressBar:
    """A progress display: `with ProgressBar("packing", total=300) as bar: … bar.advance()`.

    `total` is None for a task of unknown length. `done` counts the steps that an earlier run has done. A display that
    is not `shown` prints nothing, as one of several processes that do the task together.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        *,
        done: float = 0.0,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shown = shown
        self._console = Console(stderr=True)
        self._title, self._total, self._done, self._note = title, total, done, ""
        self._remaining = RemainingTime(total, done=done, clock=clock)
        self._clock = clock
        self._last_line = clock()
        self._bar: Progress | None = None

    def __enter__(self) -> "ProgressBar":
        if self._shown and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                _ElapsedColumn(),
                TextColumn("{task.fields[eta]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=self._total, completed=int(self._done), note="", eta="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Change the number of steps of the task."""
        self._total = total
        self._remaining.expect(total)
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def advance(self, steps: float = 1, *, note: str = "") -> None:
        """Count `steps` more steps as done, and show `note` (such as a loss) beside the count."""
        self._done += steps
        self._note = note or self._note
        self._remaining.advance(steps)
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, note=self._note, eta=self._eta())
        elif self._shown and self._clock() - self._last_line > LOG_INTERVAL:
            self._last_line = self._clock()
            count = f"{self._done:.0f}" if self._total is None else f"{self._done:.0f}/{self._total}"
            self.print(" ".join(filter(None, (self._title, count, self._note, self._eta()))))

    def print(self, line: str) -> None:
        """Print a line that stays on the screen, above the bar, without control characters."""
        line = printable(line)
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _eta(self) -> str:
        seconds = self._remaining.seconds()
        return "" if seconds is None else f"ETA {format_duration(seconds)}"
