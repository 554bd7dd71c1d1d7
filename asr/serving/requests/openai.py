"""OpenAI's API of transcription and of models, so that existing clients work with another address."""

import asyncio
import math
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from asr.errors import ConfigError, TextError
from asr.files import to_json
from asr.serving.engine.engine import Engine, Heard
from asr.serving.engine.messages import ModelInfo, Options, Progress
from asr.serving.errors import described
from asr.serving.requests.clients import while_connected
from asr.serving.requests.fields import choice, flag, glossary, keywords, one_of
from asr.serving.requests.forms import Form, Upload
from asr.serving.requests.results import file_response, json_response
from asr.serving.requests.transcription import form_of
from asr.serving.requests.uploads import received
from asr.serving.service import Service
from asr.transcript import Segment, Transcript

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
THEIRS = ("whisper-1",)  # the name that many clients send whatever the service: the default model
_FORM = form_of(
    {
        "file": {"type": "string", "format": "binary", "description": "A recording of any format and length."},
        "model": {"type": "string", "description": "The name of a model; whisper-1 is the first of the service."},
        "response_format": {"type": "string", "enum": list(_FORMATS), "default": "json"},
        "timestamp_granularities[]": {"type": "array", "items": {"type": "string", "enum": ["word", "segment"]}},
        "keywords": {"type": "string", "description": "Words to favour; commas or lines divide them."},
        "prompt": {"type": "string", "description": "Words to favour if it is a list of them, else without effect."},
        "language": {"type": "string", "description": "Comes back in verbose_json; a model has its own language."},
        "stream": {"type": "boolean", "description": "Send the text in parts, as server-sent events."},
    },
    ["file"],
)
_CONTENT: dict[str, Any] = {kind: {} for kind in ("application/json", "text/plain", "application/x-subrip", "text/vtt")}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The transcript.", "content": {**_CONTENT, "text/event-stream": {}}}
}


def router(service: Service) -> APIRouter:
    """Return the routes /v1/audio/transcriptions and /v1/models."""
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])
    engine, limits = service.engine, service.limits

    @routes.post("/audio/transcriptions", responses=_RESPONSES, openapi_extra=_FORM, response_class=Response)
    async def transcriptions(request: Request) -> Response:
        """Transcribe a recording as OpenAI's API does. Fields that are not known are ignored."""
        engine.require_room()
        async with AsyncExitStack() as stack:
            form = await stack.enter_async_context(received(request, limits))
            upload, kind = form.file(), choice(form, "response_format", _FORMATS)
            granularities = _granularities(form)
            info = engine.info(None if form.text("model") in THEIRS else form.text("model"))
            if flag(form, "stream"):
                events = _events(engine, info, upload, form)
                first = await while_connected(request, anext(events))  # an error before it has a status of its own
                return _EventResponse(first, events, stack.pop_all())
            transcript = await while_connected(request, _transcribe(engine, info, upload, form))
            if kind == "json":
                return json_response({"text": transcript.text, "usage": _usage(transcript)})
            if kind == "verbose_json":
                return json_response(_verbose(transcript, form.text("language") or "", granularities))
            return file_response(transcript, upload, {"text": "txt"}.get(kind, kind))

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """List the models; the first is the default."""
        return {"object": "list", "data": [_model(info) for info in engine.models.values()]}

    @routes.get("/models/{model}")
    async def model(model: str) -> dict[str, Any]:
        """Tell of one model."""
        return _model(engine.info(model))

    return routes


class _EventResponse(StreamingResponse):
    """Server-sent events; what the request holds is let go when they end, or when the client has gone."""

    def __init__(self, first: str, events: AsyncIterator[str], stack: AsyncExitStack) -> None:
        async def all_events() -> AsyncIterator[str]:
            yield first
            async for event in events:
                yield event

        super().__init__(all_events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self._events, self._stack = events, stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()  # type: ignore[attr-defined]
            await self._stack.aclose()


async def _events(engine: Engine, info: ModelInfo, upload: Upload, form: Form) -> AsyncIterator[str]:
    """Yield an event for each segment, and one for the whole text or for an error after the first event."""
    parts: asyncio.Queue[Progress | None] = asyncio.Queue()
    work = asyncio.ensure_future(_transcribe(engine, info, upload, form, parts.put_nowait))
    work.add_done_callback(lambda _: parts.put_nowait(None))
    text = ""
    try:
        while (part := await parts.get()) is not None:
            if part.text:
                delta = f" {part.text}" if text else part.text
                text += delta
                yield _event({"type": "transcript.text.delta", "delta": delta})
        try:
            transcript = work.result()
        except Exception as error:
            if not text:
                raise
            yield _event(described(error)[2])
            return
        if rest := transcript.text.removeprefix(text):
            yield _event({"type": "transcript.text.delta", "delta": rest})
        yield _event({"type": "transcript.text.done", "text": transcript.text})
    finally:
        work.cancel()


def _event(content: dict[str, Any]) -> str:
    return f"data: {to_json(content)}\n\n"


async def _transcribe(
    engine: Engine, info: ModelInfo, upload: Upload, form: Form, heard: Heard | None = None
) -> Transcript:
    """Transcribe with the keywords of a form, or else with those of its prompt that the model can spell."""
    if words := keywords(form):
        (found,) = await engine.transcribe(info.name, upload.path, Options(hotwords=words), heard=heard)
        return found
    terms = glossary(form.text("prompt") or "") if engine.defaults == Options() else ()
    try:
        (found,) = await engine.transcribe(info.name, upload.path, Options(hotwords=terms), heard=heard)
    except (TextError, ConfigError):  # a prompt is a wish: it never makes a request fail
        if not terms:
            raise
        (found,) = await engine.transcribe(info.name, upload.path, heard=heard)
    return found


def _granularities(form: Form) -> set[str]:
    """Read the granularities of times, with and without brackets (default: segments)."""
    names = ("timestamp_granularities", "timestamp_granularities[]")
    values = [value for name in names for value in form.fields.get(name, [])]
    return {one_of(names[0], value, ("segment", "word")) for value in values} or {"segment"}


def _verbose(transcript: Transcript, language: str, granularities: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "usage": _usage(transcript),
    }
    if "segment" in granularities:
        row["segments"] = [_segment(number, segment) for number, segment in enumerate(transcript.segments)]
    if "word" in granularities:
        row["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in transcript.words
        ]
    return row


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """Return the ten fields of a segment. Its log-probability is the mean of its words; it has no tokens."""
    content = segment.text.encode()
    logs = [math.log(max(word.confidence, 1e-10)) for word in segment.words]
    return {
        "id": number,
        "seek": round(100 * segment.start),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(logs) / len(logs), 4),
        "compression_ratio": round(len(content) / len(zlib.compress(content)), 4),
        "no_speech_prob": 0.0,
    }


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration)}


def _model(info: ModelInfo) -> dict[str, Any]:
    return {"id": info.name, "object": "model", "created": info.created, "owned_by": "local"}
