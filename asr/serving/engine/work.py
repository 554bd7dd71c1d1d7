"""Recordings that wait or are computed, and the model processes that hold them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from asr.serving.engine.messages import Advanced, Lane, Options, Progress, Remarked
from asr.serving.engine.process import WorkerProcess

LANES: tuple[Lane, ...] = get_args(Lane)
Heard = Callable[[Progress], None]


@dataclass(eq=False, slots=True)
class Job:
    """A recording that waits for a model, or is computed."""

    call: int
    model: str
    recording: Path
    options: Options
    text: str | None  # to align with; None to transcribe
    lane: Lane
    heard: Heard | None
    remarks: list[str] | None
    answer: "asyncio.Future[Any]"
    arrived: float = field(default_factory=time.monotonic)
    tries: int = 0

    def take(self, reply: Advanced | Remarked) -> None:
        """Pass on what comes before the answer."""
        if isinstance(reply, Remarked):
            if self.remarks is not None:
                self.remarks += reply.remarks
        elif self.heard is not None:
            self.heard(reply.progress)

    def joins(self, other: "Job") -> bool:
        """Return True if both may be computed in one batch."""
        alone = self.text is not None or other.text is not None or "long" in (self.lane, other.lane)
        return not (alone or self.tries or other.tries) and (self.model, self.options) == (other.model, other.options)


@dataclass(eq=False, slots=True)
class Worker:
    """A model process and what it holds."""

    process: WorkerProcess
    calls: "dict[int, asyncio.Future[Any]]" = field(default_factory=dict)  # loads and streams
    jobs: dict[Lane, dict[int, Job]] = field(default_factory=lambda: {lane: {} for lane in LANES})
    streams: int = 0
    ready: bool = False
    answered: bool = False  # it has lived long enough to be of use
