"""`WS /v1/stream`: raw sound in, text out while somebody speaks. docs/live.md describes the messages."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from asr.serving.engine.engine import EngineStream
from asr.serving.errors import ServiceError, TooLarge
from asr.serving.limits import Limits
from asr.serving.live.pcm import Format, Samples, require_rate
from asr.serving.live.sockets import Room, Socket, error_of, opened, read_json
from asr.serving.service import Service
from asr.transcript import Word, text_of, word_row

_PART = 1.0  # seconds that a model computes at once, so that many streams take turns


class Start(BaseModel):
    """The first message, or the query of the address."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["start"] = "start"
    model: str | None = Field(None, max_length=200)
    sample_rate: int
    format: Format = "pcm16"


def router(service: Service) -> APIRouter:
    """Return the route of streams."""
    routes, room = APIRouter(), Room(service.limits.sockets)

    @routes.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        async with opened(websocket, room, service.limits) as socket:
            if socket is None:
                return
            try:
                await _serve(service, socket, dict(websocket.query_params))
            except WebSocketDisconnect:
                raise
            except Exception as error:
                await socket.send(error_of(error))
                await socket.close(error)
            else:
                await socket.close()

    return routes


async def _serve(service: Service, socket: Socket, query: dict[str, str]) -> None:
    start = _start(query or read_json(await socket.receive()))
    require_rate(start.sample_rate, "sample_rate")
    limits = service.limits
    stream = await service.engine.open_stream(start.model or "", start.sample_rate)
    try:
        info = stream.info
        await socket.send(
            {
                "type": "ready",
                "model": info.name,
                "streaming": info.streaming,
                "latency": info.described,
                "sample_rate": start.sample_rate,
                "format": start.format,
                "limits": {"block_bytes": limits.block, "silent_seconds": limits.silent, "words": limits.words},
            }
        )
        await _transcribe(stream, socket, start, limits)
    finally:
        await stream.close()


async def _transcribe(stream: EngineStream, socket: Socket, start: Start, limits: Limits) -> None:
    samples, told, step = Samples(start.format), _Told(socket), round(_PART * start.sample_rate)
    while told.words < limits.words:
        message = await socket.receive()
        if isinstance(message, str):
            if await _is_finish(socket, message):
                break
            continue
        if len(message) > limits.block:
            raise TooLarge(f"a block has {len(message)} bytes; send {limits.block} at most, best a tenth of a second")
        block = samples(message)
        for begin in range(0, len(block), step):
            await told.tell(*await stream.feed(block[begin : begin + step]))
    transcript = await stream.finish()
    await told.tell(transcript.words[told.words :], "")
    reason = "finished" if told.words < limits.words else f"{limits.words} words; begin another stream"
    await socket.send({"type": "done", "reason": reason, "transcript": transcript.to_dict()})


def _start(fields: dict[str, Any]) -> Start:
    """Check the first message. Raises ServiceError that names the field that is wrong."""
    try:
        return Start.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ServiceError(
            f'{field}: {first["msg"]}; begin with {{"model": NAME, "sample_rate": HZ, "format": "pcm16"}}',
            param=field or None,
            code="invalid_value",
        ) from None


async def _is_finish(socket: Socket, message: str) -> bool:
    """Obey a text message after the first; return True if it ends the stream."""
    kind = read_json(message).get("type")
    if kind == "ping":
        await socket.send({"type": "pong"})
    elif kind != "finish":
        raise ServiceError(
            f"the type of a message is {str(kind)[:100]!r}; after the first come binary blocks, "
            '{"type": "finish"} and {"type": "ping"}',
            param="type",
            code="invalid_message",
        )
    return kind == "finish"


class _Told:
    """What the client has been told: words once, and a text that may change only when it has changed."""

    def __init__(self, socket: Socket) -> None:
        self.words = 0
        self._socket, self._partial = socket, ""

    async def tell(self, ended: Sequence[Word], partial: str) -> None:
        """Tell of the words that a pause has ended, and of the text so far."""
        if ended:
            self.words += len(ended)
            rows = [word_row(word) for word in ended]
            await self._socket.send(
                {
                    "type": "final",
                    "text": text_of(ended),
                    "start": rows[0]["start"],
                    "end": rows[-1]["end"],
                    "words": rows,
                }
            )
            self._partial = ""
        if partial != self._partial:
            self._partial = partial
            await self._socket.send({"type": "partial", "text": partial})
