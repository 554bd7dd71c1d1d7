"""The web process's side of the models: a bounded queue, batches, model processes, and their replacement."""

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asr.errors import AsrError
from asr.serving.engine.messages import (
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
    Options,
    Reply,
    Request,
    Transcribe,
)
from asr.serving.engine.process import WorkerProcess
from asr.serving.engine.work import LANES, Heard, Job, Worker
from asr.serving.errors import Busy, TimedOut, UnknownModel, WorkerLost
from asr.serving.limits import Limits
from asr.serving.metrics import Metrics
from asr.transcript import Transcript, Word

if TYPE_CHECKING:
    from asr.recognition.align import Alignment  # imports numba

_log = logging.getLogger(__name__)
_TRIES = 2  # times that a recording is given to a model process, should the first one die
_LOADING = 600.0  # seconds that loading a model may take
_STUCK = 60.0  # seconds after which a batch that nobody waits for ends its process
_PAUSES = (0.0, 1.0, 5.0, 30.0)  # seconds before a process is replaced, the more often it dies without an answer


class EngineStream:
    """Live sound through a model process."""

    def __init__(self, engine: "Engine", worker: Worker, number: int, info: ModelInfo) -> None:
        """Belong to a stream that the process has opened."""
        self.info = info
        self._engine, self._worker, self._number = engine, worker, number
        self._open = True

    async def feed(self, samples: np.ndarray) -> tuple[list[Word], str]:
        """Take int16 samples `(N,)`; return the words that a pause has ended, and the text that may still change."""
        ended, partial = await self._engine.call(
            self._worker, lambda call: Feed(call, self._number, np.asarray(samples, np.int16))
        )
        return list(ended), partial

    async def finish(self) -> Transcript:
        """End the stream; return the transcript of all of it."""
        transcript: Transcript = await self._engine.call(self._worker, lambda call: Finish(call, self._number))
        await self.close()
        return transcript

    async def close(self) -> None:
        """Forget the stream, at any time and as often as wanted."""
        if self._open:
            self._open = False
            self._worker.streams -= 1
            self._worker.process.send(CloseStream(self._number))


class Engine:
    """Models in processes of their own. All methods belong to one event loop."""

    def __init__(
        self,
        models: Mapping[str, Path],
        *,
        workers: int = 1,
        limits: Limits | None = None,
        defaults: Options | None = None,
    ) -> None:
        """Serve model files by name; the first is the default. `defaults` are options of requests that name none."""
        self.limits, self.defaults, self.metrics = limits or Limits(), defaults or Options(), Metrics()
        self.models: dict[str, ModelInfo] = {}
        self._paths, self._count = dict(models), workers
        self._threads = max(1, (os.cpu_count() or 1) // workers)
        self._workers: list[Worker] = []
        self._waiting: dict[Lane, deque[Job]] = {lane: deque() for lane in LANES}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake: asyncio.TimerHandle | None = None
        self._deaths = 0  # in a row, without an answer between them
        self.started = self._stopping = False
        self.metrics.watch("asr_queue_length", "Recordings that wait for a model.", lambda: self.waiting)
        self.metrics.watch("asr_workers", "Model processes that are ready.", lambda: self.ready)
        self.metrics.watch("asr_streams", "Open streams.", lambda: self.streams)

    @property
    def waiting(self) -> int:
        """Return the number of recordings that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def busy(self) -> int:
        """Return the number of recordings that are computed."""
        return sum(len(jobs) for worker in self._workers for jobs in worker.jobs.values())

    @property
    def streams(self) -> int:
        """Return the number of open streams."""
        return sum(worker.streams for worker in self._workers)

    @property
    def ready(self) -> int:
        """Return the number of model processes that are ready."""
        return sum(worker.ready for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Return the process numbers of the model processes."""
        return [worker.process.pid for worker in self._workers]

    async def start(self) -> None:
        """Start the model processes, and load the models in each. Raises the error of a model that is damaged."""
        if self.started:
            return
        self.started = True
        try:
            await asyncio.gather(*(self._start_worker() for _ in range(self._count)))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Finish what was taken, take nothing new, and end the model processes."""
        self._stopping = True
        pending = [job.answer for lane in LANES for job in self._waiting[lane]]
        pending += [job.answer for worker in self._workers for lane in LANES for job in worker.jobs[lane].values()]
        if pending:
            await asyncio.wait(pending, timeout=self.limits.timeout)
        for task in self._tasks:
            task.cancel()
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.end()
        await asyncio.gather(*(asyncio.to_thread(worker.process.wait, 5.0) for worker in workers))
        self.started = self._stopping = False

    def info(self, model: str | None) -> ModelInfo:
        """Return what is known of a model; None or an empty name is the default. Raises UnknownModel."""
        if not self.models:
            raise UnknownModel("the service has no model yet; train one, or start it with one: asr serve MODEL")
        if not model:
            return next(iter(self.models.values()))
        if model not in self.models:
            raise UnknownModel(f"there is no model {model!r}; there are {', '.join(self.models)}", param="model")
        return self.models[model]

    def require_room(self) -> None:
        """Raise Busy if no further request can wait, before its upload is read."""
        if self._stopping:
            raise Busy("the service is stopping; try again", seconds=10)
        if self.waiting >= self.limits.queue:
            raise Busy(f"{self.waiting} requests wait already, as many as may; try again")

    async def transcribe(
        self,
        model: str,
        audio: Path,
        options: Options | None = None,
        *,
        heard: Heard | None = None,
        remarks: list[str] | None = None,
        patient: bool = False,
    ) -> list[Transcript]:
        """Transcribe a recording: a transcript, or one for each channel if they are split.

        `heard` is called after each segment; `remarks` gets what was noticed while the recording was read. A `patient`
        call has no limit of time. Raises AsrError for input that is wrong, UnknownModel, Busy, TimedOut, or WorkerLost.
        """
        seconds = None if patient else self.limits.timeout
        return await self._run(model, audio, self._with_defaults(options or Options()), None, heard, remarks, seconds)

    async def align(self, model: str, audio: Path, text: str) -> "Alignment":
        """Find when each word of a text is spoken. Raises the errors of `transcribe`."""
        return await self._run(model, audio, Options(), text, None, None, self.limits.timeout)

    async def open_stream(self, model: str, sample_rate: int) -> EngineStream:
        """Begin a stream at a rate in Hz. Raises UnknownModel, Busy, or WorkerLost."""
        info = self.info(model)
        if self._stopping or self.streams >= self.limits.streams:
            raise Busy(f"{self.limits.streams} streams are open already, as many as may; try again")
        ready = [worker for worker in self._workers if worker.ready]
        if not ready:
            raise Busy("no model process is ready; try again")
        worker = min(ready, key=lambda one: one.streams)
        number = next(self._numbers)
        worker.streams += 1
        stream = EngineStream(self, worker, number, info)
        try:
            await self.call(worker, lambda _: OpenStream(number, info.name, sample_rate), number)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def add_model(self, name: str, path: Path) -> ModelInfo:
        """Load one more model, or another file for a known name, in all model processes."""
        before = self._paths.get(name)
        self._paths[name] = path  # a process that replaces another loads it too
        try:
            workers = [worker for worker in self._workers if worker.ready]
            found = await asyncio.gather(*(self._load(worker, name, path) for worker in workers))
        except AsrError:
            if before is None:
                del self._paths[name]
            else:
                self._paths[name] = before
            raise
        if not found:
            raise Busy("no model process is ready; try again")
        self.models[name] = found[0]
        return found[0]

    async def call(
        self,
        worker: Worker,
        message: Callable[[int], Request],
        number: int | None = None,
        *,
        seconds: float | None = None,
    ) -> Any:
        """Send a message with a number of its own to a model process, and wait for the answer.

        It may take `seconds` (default: the time limit of a transcription).
        """
        if worker not in self._workers:
            raise _lost()
        number = next(self._numbers) if number is None else number
        worker.calls[number] = answer = asyncio.get_running_loop().create_future()
        worker.process.send(message(number))
        try:
            async with asyncio.timeout(seconds or self.limits.timeout):
                return await answer
        except TimeoutError:
            raise self._timed_out() from None
        finally:
            worker.calls.pop(number, None)

    def _with_defaults(self, options: Options) -> Options:
        if options.hotwords or options.phrases:
            return options
        return Options(options.nbest, self.defaults.hotwords, self.defaults.phrases, options.channels, options.salvage)

    async def _run(
        self,
        model: str,
        audio: Path,
        options: Options,
        text: str | None,
        heard: Heard | None,
        remarks: list[str] | None,
        seconds: float | None,
    ) -> Any:
        info = self.info(model)
        size = (await asyncio.to_thread(audio.stat)).st_size
        self.require_room()  # nothing else runs between this and the place in the queue
        lane: Lane = "short" if size <= self.limits.short else "long"
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = Job(next(self._numbers), info.name, audio, options, text, lane, heard, remarks, answer)
        self._waiting[lane].append(job)
        self._dispatch()
        try:
            async with asyncio.timeout(seconds):
                value = await answer
        except TimeoutError:
            raise self._timed_out() from None
        finally:
            if answer.cancelled():
                self._abandon(job)
        self.metrics.latency.observe(time.monotonic() - job.arrived)
        if isinstance(value, list):
            self.metrics.audio.labels(info.name).inc(sum(one.duration for one in value))
        return value

    def _timed_out(self) -> TimedOut:
        return TimedOut(
            f"the answer took longer than {self.limits.timeout:g} s; send a shorter recording, or start the service "
            "with a longer --timeout"
        )

    def _dispatch(self) -> None:
        """Give waiting recordings to model processes that are free, and come back when a batch has waited enough."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        for lane in LANES:
            free = [worker for worker in self._workers if worker.ready and not worker.jobs[lane]]
            free.sort(key=lambda one: sum(map(len, one.jobs.values())))
            for worker in free:
                if not (queue := self._waiting[lane]):
                    break
                batch = [queue[0], *(job for job in itertools.islice(queue, 1, None) if job.joins(queue[0]))]
                batch = batch[: self.limits.batch]
                wait = queue[0].arrived + self.limits.latency - time.monotonic()
                may_grow = lane == "short" and queue[0].text is None and not queue[0].tries
                if may_grow and len(batch) < self.limits.batch and wait > 0 and not self._stopping:
                    self._wake = asyncio.get_running_loop().call_later(wait, self._dispatch)
                    break
                for job in batch:
                    queue.remove(job)
                self._give(worker, lane, batch)

    def _give(self, worker: Worker, lane: Lane, batch: list[Job]) -> None:
        for job in batch:
            job.tries += 1
            worker.jobs[lane][job.call] = job
        first = batch[0]
        if first.text is not None:
            worker.process.send(Align(first.call, lane, first.model, first.recording, first.text))
            return
        self.metrics.batches.observe(len(batch))
        calls, recordings = tuple(job.call for job in batch), tuple(job.recording for job in batch)
        worker.process.send(Transcribe(calls, lane, first.model, recordings, first.options))

    def _abandon(self, job: Job) -> None:
        """Take a job that nobody waits for out of the queue, or tell its process."""
        with suppress(ValueError):
            self._waiting[job.lane].remove(job)
        for worker in self._workers:
            if job.call in worker.jobs[job.lane]:
                worker.process.send(Cancel(job.call))
                asyncio.get_running_loop().call_later(_STUCK, self._end_stuck, worker, job)

    def _end_stuck(self, worker: Worker, job: Job) -> None:
        """Kill a process that still computes a batch which nobody waits for."""
        jobs = worker.jobs[job.lane]
        if job.call in jobs and all(one.answer.done() for one in jobs.values()):
            _log.error("a recording kept a model process for %.0f s too long; the process is replaced", _STUCK)
            worker.process.kill()

    async def _start_worker(self) -> None:
        worker = Worker(WorkerProcess(self._threads, lambda process, reply: self._receive(worker, reply)))
        self._workers.append(worker)
        try:
            for name, path in list(self._paths.items()):
                self.models[name] = await self._load(worker, name, path)
        except BaseException:
            with suppress(ValueError):
                self._workers.remove(worker)
            worker.process.end()
            raise
        worker.ready = True
        self._dispatch()

    async def _load(self, worker: Worker, name: str, path: Path) -> ModelInfo:
        found: ModelInfo = await self.call(worker, lambda call: Load(call, name, path, self.defaults), seconds=_LOADING)
        return found

    def _receive(self, worker: Worker, reply: Reply | None) -> None:
        """Take a reply of a model process; None is its death."""
        if reply is None:
            self._replace(worker)
            return
        job = next((jobs[reply.call] for jobs in worker.jobs.values() if reply.call in jobs), None)
        if not isinstance(reply, Answer):
            if job is not None and not job.answer.done():
                job.take(reply)
            return
        if job is not None:
            del worker.jobs[job.lane][job.call]
            self._deaths = 0
        answer = worker.calls.get(reply.call) if job is None else job.answer
        if answer is not None and not answer.done():
            if reply.error is None:
                answer.set_result(reply.value)
            else:
                answer.set_exception(reply.error)
        self._dispatch()

    def _replace(self, worker: Worker) -> None:
        """Start a process in place of one that has died. Its recordings are tried once more, each alone."""
        if worker not in self._workers:
            return  # the service stops
        self._workers.remove(worker)
        for answer in worker.calls.values():
            if not answer.done():
                answer.set_exception(_lost())
        for lane in LANES:
            for job in reversed(worker.jobs[lane].values()):
                if job.answer.done():
                    continue
                if job.tries < _TRIES:
                    self._waiting[lane].appendleft(job)
                else:
                    job.answer.set_exception(_lost())
        if worker.ready:
            self.metrics.replaced.inc()
            _log.error("a model process has died, and is replaced")
            self._in_background(self._replacement())
        self._dispatch()

    async def _replacement(self) -> None:
        pause = _PAUSES[min(self._deaths, len(_PAUSES) - 1)]
        self._deaths += 1
        await asyncio.sleep(pause)
        try:
            await self._start_worker()
        except AsrError as error:
            _log.error("a model process cannot be replaced: %s", error)
            self._in_background(self._replacement())

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _lost() -> WorkerLost:
    return WorkerLost("the model process that held this request has died, and is replaced; try again")
