"""Transcriptions of documents in the background: at most one of a document at a time, with its progress."""

import asyncio
import itertools
import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import anyio

from asr.errors import AsrError, AudioError, explain
from asr.files import write_whole
from asr.serving.engine.engine import Engine
from asr.serving.engine.messages import Options, Progress
from asr.serving.engine.work import Heard
from asr.serving.errors import Busy
from asr.serving.workspace.document import Document, Segment, in_order
from asr.serving.workspace.drafting import drafted, widened, with_draft
from asr.serving.workspace.paths import NotThereError, Workspace
from asr.serving.workspace.playable import seekable, write_wav
from asr.serving.workspace.saved import Opened, json_file, open_document, update
from asr.transcript import Alternative, Transcript

State = Literal["waiting", "running", "done", "failed"]
_KEPT = 1000  # jobs that are done and can still be asked for
_CHOICES = 3  # texts that are offered for a segment
_TEXT_SHARE = 0.6  # share of the progress that is the text; the rest are the choices of each segment
_PAUSE = 2.0  # seconds before a busy engine is asked again
_TOGETHER = 4  # segments whose choices are found at the same time
_SALVAGED = ("truncated", "damaged")  # faults of recordings whose beginning can be transcribed
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Job:
    """The transcription of a document; `progress` is in 0..1."""

    id: str
    name: str
    state: State = "waiting"
    progress: float = 0.0
    message: str | None = None


class Jobs:
    """The transcriptions of a service. All methods belong to its event loop."""

    def __init__(self, engine: Engine, workspace: Workspace) -> None:
        """Transcribe documents of a folder with the models of an engine."""
        self._engine, self._workspace = engine, workspace
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by the ids of recordings
        self._numbers = itertools.count(1)

    def find(self, number: str) -> Job:
        """Return a job by its id. Raises NotThereError."""
        if number not in self._jobs:
            raise NotThereError(f"there is no job {number[:40]!r}; the service may have been started again since")
        return self._jobs[number]

    def begin(self, name: str, model: str, start: float | None, end: float | None) -> Job:
        """Begin to transcribe a recording, or its part between two times in seconds.

        Returns the running job if there is one for this recording.
        """
        if name in self._tasks:
            return next(job for job in reversed(self._jobs.values()) if job.name == name)
        job = Job(str(next(self._numbers)), name)
        self._jobs[job.id] = job
        for old in [one.id for one in self._jobs.values() if one.state in ("done", "failed")][:-_KEPT]:
            del self._jobs[old]
        self._tasks[name] = task = asyncio.get_running_loop().create_task(self._run(job, model, start, end))
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return job

    async def _run(self, job: Job, model: str, start: float | None, end: float | None) -> None:
        try:
            await self._transcribe(job, model, start, end)
            job.state, job.progress = "done", 1.0
        except asyncio.CancelledError:
            job.state, job.message = "failed", "the service stops; transcribe it again"
            raise
        except Exception as error:
            explained = explain(error, job.name)
            if explained is None:
                _log.error("the transcription of %s failed by a bug", job.name, exc_info=error)
            job.state = "failed"
            job.message = str(explained or "this program has a bug; the log of the service has the traceback")

    async def _transcribe(self, job: Job, model: str, start: float | None, end: float | None) -> None:
        opened = await anyio.to_thread.run_sync(open_document, self._workspace, job.name)
        job.state = "running"
        with tempfile.TemporaryDirectory(prefix="asr-part-") as parts:
            part, begin, stop = opened.recording, 0.0, float("inf")
            if start is not None or end is not None:
                begin, stop = widened(opened.document, start or 0.0, opened.duration or 0.0 if end is None else end)
                part = await self._cut(opened, begin, stop, Path(parts))
            length = max((opened.duration or 0.0) if stop == float("inf") else stop - begin, 0.1)

            def heard(progress: Progress) -> None:
                job.progress = min(_TEXT_SHARE * progress.seconds / length, _TEXT_SHARE)

            try:
                (transcript, *_) = await self._heard(model, part, heard)
            except AudioError as error:
                if error.fault not in _SALVAGED:
                    raise
                job.message = f"only what can be read is transcribed; {error}"
                (transcript, *_) = await self._heard(model, part, heard, salvage=True)
            draft = drafted(transcript, begin)
            job.progress = _TEXT_SHARE
            draft = await self._with_choices(job, model, opened, draft, Path(parts))
        await anyio.to_thread.run_sync(_place, self._workspace, job.name, draft, begin, stop, model)

    async def _heard(
        self, model: str, audio: Path, heard: Heard | None = None, *, salvage: bool = False
    ) -> list[Transcript]:
        """Transcribe a file. If the engine is busy, wait and ask again."""
        options = Options(nbest=_CHOICES, salvage=salvage)
        while True:
            try:
                return await self._engine.transcribe(model, audio, options, heard=heard, patient=True)
            except Busy:
                await asyncio.sleep(_PAUSE)

    async def _with_choices(
        self, job: Job, model: str, opened: Opened, draft: list[Segment], parts: Path
    ) -> list[Segment]:
        """Find the most probable texts of each segment, a few segments at a time."""
        if len(draft) < 2:
            return draft
        result: list[Segment] = []
        for first in range(0, len(draft), _TOGETHER):
            group = draft[first : first + _TOGETHER]
            result += await asyncio.gather(*(self._chosen(model, opened, one, parts) for one in group))
            job.progress = _TEXT_SHARE + (1 - _TEXT_SHARE) * len(result) / len(draft)
        return result

    async def _chosen(self, model: str, opened: Opened, segment: Segment, parts: Path) -> Segment:
        try:
            path = await self._cut(opened, segment.start, segment.end, parts)
            (transcript, *_) = await self._heard(model, path)
            await anyio.to_thread.run_sync(path.unlink)
        except AsrError as error:  # a segment without choices is still a segment
            _log.info("%s: %s", opened.name, error)
            return segment
        own = [Alternative(segment.text, transcript.nbest[0].score if transcript.nbest else 0.0)]
        return replace(segment, nbest=tuple(own + [one for one in transcript.nbest if one.text != segment.text]))

    async def _cut(self, opened: Opened, start: float, end: float, parts: Path) -> Path:
        path = parts / f"{start:.3f}-{end:.3f}.wav"

        def write() -> None:
            write_wav(seekable(self._workspace, opened.recording), path, start=start, end=end)

        await anyio.to_thread.run_sync(write)
        return path


def _place(workspace: Workspace, name: str, draft: list[Segment], start: float, end: float, model: str) -> Opened:
    """Put a draft into a document. The JSON before it is kept in the hidden folder, if it loses a draft."""

    def change(opened: Opened) -> Document:
        changed = with_draft(opened.document, draft, start, end, model)
        changed = replace(changed, segments=in_order(changed.segments, None))
        path = json_file(opened.recording)
        if path.is_file() and {one.id for one in opened.document.segments} - {one.id for one in changed.segments}:
            write_whole(workspace.hidden("before", f"{name}.json"), path.read_bytes())
        return changed

    return update(workspace, name, change)
