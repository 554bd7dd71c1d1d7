"""A model process: it loads models, transcribes batches, aligns, and holds streams. It imports no web framework."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from asr.api import load_transcriber
from asr.errors import AsrError, AudioError, explain
from asr.recognition.longform import SegmentFrames, Track
from asr.recognition.stream import Stream
from asr.recognition.transcribe import transcribe
from asr.recognition.transcriber import Transcriber
from asr.recognition.turn_stream import TurnStream, describe_live, open_stream, streams
from asr.serving.engine.guard import require_moderate
from asr.serving.engine.messages import (
    Advanced,
    Align,
    Answer,
    Cancel,
    CloseStream,
    Feed,
    Finish,
    Lane,
    Load,
    ModelInfo,
    OpenStream,
    Progress,
    Remarked,
    Reply,
    Transcribe,
)
from asr.serving.engine.remarks import Remarks
from asr.serving.engine.searches import Searches
from asr.transcript import Transcript
from asr.utterance import Utterance

_log = logging.getLogger(__name__)


class _Abandoned(Exception):
    """Nobody waits for a batch any more."""


class WorkerError(Exception):
    """A bug in the model process; the log has its traceback."""


def run(connection: Connection, threads: int) -> None:
    """Serve the web process until the pipe is closed, also by its death."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of a terminal or a service: the pipe decides
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="asr serve: %(message)s")
    logging.getLogger().handlers[0].setLevel(logging.ERROR)  # remarks on recordings are for those who sent them
    worker = _Worker(connection, threads)
    try:
        while (request := connection.recv()) is not None:
            worker.take(request)
    except (EOFError, OSError):
        pass
    os._exit(0)  # threads that still compute have nobody to answer


class _Worker:
    """The state of a model process. Short recordings, long ones, streams and loading have a thread each."""

    def __init__(self, connection: Connection, threads: int) -> None:
        self._connection, self._sending, self._threads = connection, threading.Lock(), threads
        self._models: dict[str, Transcriber] = {}
        self._searches, self._remarks = Searches(), Remarks()
        self._streams: dict[int, Stream | TurnStream] = {}
        self._cancelled: set[int] = set()  # calls of a running batch
        self._lanes: dict[Lane | str, ThreadPoolExecutor] = {
            name: ThreadPoolExecutor(1, f"asr-{name}") for name in ("short", "long", "streams", "load")
        }

    def take(self, request: Any) -> None:
        """Give a request to its thread."""
        if isinstance(request, Cancel):
            self._cancelled.add(request.call)
        elif isinstance(request, Transcribe):
            self._lanes[request.lane].submit(self._transcribe, request)
        elif isinstance(request, Align):
            self._lanes[request.lane].submit(self._answer, request.call, partial(self._align, request))
        elif isinstance(request, Load):
            self._lanes["load"].submit(self._answer, request.call, partial(self._load, request))
        elif isinstance(request, OpenStream):
            self._lanes["streams"].submit(self._answer, request.call, partial(self._open, request))
        elif isinstance(request, Feed):
            self._lanes["streams"].submit(self._answer, request.call, partial(self._feed, request))
        elif isinstance(request, Finish):
            self._lanes["streams"].submit(self._answer, request.call, partial(self._finish, request))
        elif isinstance(request, CloseStream):
            self._lanes["streams"].submit(self._streams.pop, request.stream, None)

    def _send(self, reply: Reply) -> None:
        try:
            with self._sending:
                self._connection.send(reply)
        except OSError:
            os._exit(0)

    def _answer(self, call: int, work: Callable[[], Any]) -> None:
        """Answer a call with what `work` returns, or with its error."""
        try:
            reply = Answer(call, work())
        except Exception as error:
            reply = Answer(call, error=_sendable(error))
        self._cancelled.discard(call)
        self._send(reply)

    def _load(self, request: Load) -> ModelInfo:
        model = load_transcriber(request.path, threads=self._threads)
        self._searches.of(request.name, model, request.defaults)  # an error of phrases is told before the first request
        self._models[request.name] = model
        return ModelInfo(
            request.name,
            request.path,
            streams(model.settings),
            model.sample_rate,
            int(request.path.stat().st_mtime),
            describe_live(model.settings),
        )

    def _transcribe(self, request: Transcribe) -> None:
        """Transcribe a batch; answer each call as soon as its last channel is done."""
        open_calls = dict(zip(request.calls, request.recordings, strict=True))
        try:
            with self._remarks.of(request.recordings) as remarks:
                self._transcribe_batch(request, open_calls, remarks)
        except Exception as error:
            for call in open_calls:
                self._send(Answer(call, error=_sendable(error)))
        self._cancelled.difference_update(request.calls)

    def _transcribe_batch(
        self, request: Transcribe, open_calls: dict[int, Path], remarks: dict[Path, list[str]]
    ) -> None:
        model, options = self._models[request.model], request.options
        seconds_per_frame = model.stride / model.sample_rate

        def heard(track: Track, segment: SegmentFrames, text: str) -> None:
            if self._cancelled.issuperset(request.calls):
                raise _Abandoned
            end = (segment.start + len(segment.frames)) * seconds_per_frame
            self._send(Advanced(int(track.utterance.id), Progress(text, end)))

        def answer(call: int, value: Any = None, error: Exception | None = None) -> None:
            if call in open_calls:
                if found := remarks[open_calls.pop(call)]:
                    self._send(Remarked(call, tuple(dict.fromkeys(found))))
                self._send(Answer(call, value, error))

        search = self._searches.of(request.model, model, options)
        utterances = []
        for call, path in zip(request.calls, request.recordings, strict=True):
            try:
                require_moderate(path)
                # A speaker of its own: models that equalise use one filter for a speaker, or else for a folder.
                utterances.append(Utterance(str(call), path, speaker=str(call)))
            except AudioError as error:
                answer(call, error=error)
        found: dict[int, list[Transcript]] = {call: [] for call in request.calls}
        last: int | None = None  # the call whose channels come
        results = transcribe(model, utterances, options.channels, search, salvage=options.salvage, on_segment=heard)
        for utterance, result in results:
            call = int(utterance.id)
            if last is not None and last != call:
                answer(last, found.pop(last))
            last = call
            if isinstance(result, AudioError):
                answer(call, error=result)
            else:
                found[call].append(result)
        if last is not None:
            answer(last, found.pop(last))

    def _align(self, request: Align) -> Any:
        from asr.recognition.align import align  # imports numba, which transcription by best path does not

        require_moderate(request.recording)
        return align(self._models[request.model], request.recording, request.text)

    def _open(self, request: OpenStream) -> None:
        self._streams[request.call] = open_stream(self._models[request.model], request.sample_rate)

    def _feed(self, request: Feed) -> Any:
        return tuple(self._streams[request.stream].feed(request.samples))

    def _finish(self, request: Finish) -> Transcript:
        return self._streams.pop(request.stream).finish()


def _sendable(error: Exception) -> Exception:
    """Return an error for the web process: as it is if a user caused it, else logged, and without details."""
    if isinstance(error, _Abandoned):
        return WorkerError("nobody waited for this recording")
    if isinstance(error, AsrError):
        return error
    explained = explain(error, "the recording")
    if explained is not None:
        return explained
    _log.error("a request failed by a bug in this program", exc_info=error)
    return WorkerError(f"{type(error).__name__} in a model process; the log has the traceback")
