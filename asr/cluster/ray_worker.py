"""The part of bulk transcription that runs on the nodes of a Ray cluster: a model that transcribes batches of lines."""

import logging
import os
import pickle
import platform
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.api import load_transcriber
from asr.cluster.bulk import row_of, transcribe_rows
from asr.errors import AsrError, AudioError, explain
from asr.recognition.longform import Channels
from asr.utterance import Utterance
from asr.version import __version__

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

TRIES = 2  # times that a batch, and then each of its lines, may end its worker


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a worker needs beside the model and the lines.

    `suffix` is that of the model file. `folder` is the absolute folder of the rows; relative paths of recordings begin
    in `start`. `hotwords` and `phrases` are lines of files. `shared` tells whether there are other nodes, which may not
    see all recordings.
    """

    version: str
    suffix: str
    device: str
    folder: Path
    start: Path
    shared: bool
    channels: Channels
    nbest: int
    hotwords: tuple[str, ...] | None
    phrases: tuple[str, ...] | None
    salvage: bool


class Attempts:
    """Counts the starts of work that did not end, because a process that dies cannot tell. An actor of its own."""

    def __init__(self) -> None:
        self._begun: Counter[Hashable] = Counter()

    def begin(self, work: Hashable) -> int:
        """Note that a work begins; return how often it began before without an end."""
        self._begun[work] += 1
        return self._begun[work] - 1

    def end(self, work: Hashable) -> None:
        """Note that a work has ended."""
        del self._begun[work]


class Worker:
    """A model in a process of its own. Ray starts the process again if it dies, and repeats its batch."""

    def __init__(
        self, setup: Setup, model: "ObjectRef[bytes]", listed: "ObjectRef[bytes] | None", attempts: "ActorHandle[Any]"
    ) -> None:
        """Load the model. `listed` are all lines of the input, for a model that equalises: pickled utterances.

        Raises AsrError if this node has another version of the program than the command.
        """
        import ray

        if __version__ != setup.version:
            raise AsrError(f"node {platform.node()} has version {__version__}, the command {setup.version}")
        with suppress(OSError):  # such a folder is needed only for relative paths
            os.chdir(setup.start)
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            path = Path(folder, f"model{setup.suffix}")
            path.write_bytes(ray.get(model))
            self._model = load_transcriber(path, setup.device, threads=1)
        self._search = None
        if setup.nbest or setup.hotwords is not None or setup.phrases is not None:
            from asr.recognition.search import build_search  # imports numba, which best path does not need

            self._search = build_search(self._model, nbest=setup.nbest, hotwords=setup.hotwords, phrases=setup.phrases)
        self._setup, self._attempts = setup, attempts
        self._listed: list[Utterance] | None = None if listed is None else pickle.loads(ray.get(listed))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Transcribe batches of lines: `first` and `end` are their numbers, `lines` pickled utterances.

        Returns `first`, and `result`: pickled, the rows, and the messages of the log.
        """
        results = [
            pickle.dumps(self._batch(int(first), int(end), lines))
            for first, end, lines in zip(batch["first"], batch["end"], batch["lines"], strict=True)
        ]
        return {"first": batch["first"], "result": np.array(results, dtype=object)}

    def _batch(self, first: int, end: int, lines: bytes) -> tuple[list[dict[str, Any]], list[str]]:
        if self._listed is None:
            listed: Sequence[Utterance] = pickle.loads(lines)
            part = range(len(listed))
        else:
            listed, part = self._listed, range(first, end)
        with _messages() as messages:
            if self._begin((first, end)) < TRIES:
                try:
                    rows = list(self._rows(listed, part))
                except Exception:  # one line must not fail the other lines
                    rows = self._one_by_one(listed, part, first)
            else:
                rows = self._one_by_one(listed, part, first)
            self._end((first, end))
        return rows, messages

    def _one_by_one(self, listed: Sequence[Utterance], part: range, first: int) -> list[dict[str, Any]]:
        """Transcribe each line by itself; a line that ends its process each time, or fails, gets an error."""
        rows: list[dict[str, Any]] = []
        for place, line in enumerate(part, start=first):
            utterance = listed[line]
            if self._begin(place) < TRIES:
                try:
                    rows += self._rows(listed, range(line, line + 1))
                except Exception as error:
                    explained = explain(error, str(utterance.audio))
                    message = explained or f"{utterance.audio}: {type(error).__name__}: {error}"
                    rows.append(row_of(utterance, AudioError(str(message)), self._setup.folder))
            else:
                message = (
                    f"{utterance.audio}: ended the process that read it {TRIES} times; convert it, or leave it out"
                )
                rows.append(row_of(utterance, AudioError(message), self._setup.folder))
            self._end(place)
        return rows

    def _rows(self, listed: Sequence[Utterance], part: range) -> Iterator[dict[str, Any]]:
        setup = self._setup
        for row in transcribe_rows(
            self._model,
            listed,
            self._search,
            folder=setup.folder,
            channels=setup.channels,
            salvage=setup.salvage,
            part=part,
        ):
            if "error" in row and setup.shared and not (setup.folder / row["audio_filepath"]).exists():
                where = f"on node {platform.node()}; recordings must be on storage that all nodes see"
                row["error"] = f"{row['error']} ({where})"
            yield row

    def _begin(self, work: Hashable) -> int:
        import ray

        before: Any = ray.get(self._attempts.begin.remote(work))
        return int(before)

    def _end(self, work: Hashable) -> None:
        import ray

        ray.get(self._attempts.end.remote(work))


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Collect what the package logs, which nobody reads on a node."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asr")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
