"""WebSockets of live sound: how many, how long they may say nothing, how large a message is, errors in one shape."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from asr.errors import AsrError
from asr.files import to_json
from asr.serving.access import KEY_PROTOCOL
from asr.serving.errors import Busy, ServiceError, TimedOut, TooLarge, described, response
from asr.serving.limits import Limits

FRAMES = 4  # the largest frame over the largest block of sound: base64 needs a third more, JSON a little
_SENDING = 30.0  # seconds that a client may take to read an answer
_NORMAL, _POLICY, _TOO_BIG, _BROKEN, _LATER = 1000, 1008, 1009, 1011, 1013  # codes that close a socket (RFC 6455)


class Room:
    """Counts open connections of one protocol."""

    def __init__(self, limit: int) -> None:
        """Let at most `limit` connections be open."""
        self.limit, self.taken = limit, 0

    def enter(self) -> None:
        """Take a place. Raises Busy if all are taken."""
        if self.taken >= self.limit:
            raise Busy(f"{self.limit} connections are open already, as many as may; try again")
        self.taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1


class Socket:
    """An accepted WebSocket. Each method raises WebSocketDisconnect once the client is gone."""

    def __init__(self, websocket: WebSocket, limits: Limits) -> None:
        self._websocket, self._limits = websocket, limits
        self._any = False  # a message has come

    async def receive(self, seconds: float | None = None) -> str | bytes:
        """Wait for the next message. Raises TimedOut if none comes in time (default: the time of the limits)."""
        if seconds is None:
            seconds = self._limits.silent if self._any else self._limits.first
        try:
            async with asyncio.timeout(seconds):
                message = await self._websocket.receive()
        except TimeoutError:
            raise TimedOut(
                f"no message came for {seconds:g} s; send silence as sound, or connect again when there is something",
                code="idle",
            ) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        self._any = True
        text = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message as JSON. A client that does not read it within the stated time is taken for gone."""
        try:
            async with asyncio.timeout(_SENDING):
                await self._websocket.send_text(to_json(message))
        except TimeoutError:
            raise WebSocketDisconnect(1006) from None

    async def close(self, error: Exception | None = None) -> None:
        """Close the socket, as it should be or after an error."""
        code = _NORMAL if error is None else _closing(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SENDING):
                await self._websocket.close(code)


@asynccontextmanager
async def opened(websocket: WebSocket, room: Room, limits: Limits) -> AsyncIterator[Socket | None]:
    """Accept a WebSocket if there is room for it; None if there is none, which the client is told.

    An error of the block is not sent: what it looks like is a matter of the protocol. A client that goes away ends the
    block.
    """
    try:
        room.enter()
    except Busy as error:
        await websocket.receive()
        await websocket.send_denial_response(response(error))
        yield None
        return
    try:
        offered = websocket.scope.get("subprotocols", [])
        chosen = next((name for name in offered if not name.startswith(KEY_PROTOCOL)), next(iter(offered), None))
        await websocket.accept(chosen)  # a browser that offered protocols fails if none is chosen
        yield Socket(websocket, limits)
    except WebSocketDisconnect:
        pass
    finally:
        room.leave()
        if websocket.client_state == websocket.application_state == WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect, TimeoutError):
                await websocket.close(_BROKEN)


def read_json(message: str | bytes) -> dict[str, Any]:
    """Return the object that a text message holds. Raises ServiceError for anything else."""
    if isinstance(message, bytes):
        raise ServiceError("a text message with JSON is expected here, a binary one came", code="invalid_message")
    try:
        found = json.loads(message)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ServiceError(f"the message is no JSON: {reason}", code="invalid_json") from None
    if not isinstance(found, dict):
        raise ServiceError(
            f'the message is {type(found).__name__}, it must be an object: {{"type": …}}', code="invalid_json"
        )
    return found


def error_of(error: Exception) -> dict[str, Any]:
    """Return the message that tells of an error, in the shape of all errors."""
    _, _, body = described(error)
    return {"type": "error", **body}


def _closing(error: Exception) -> int:
    """Return the code that closes a socket after an error."""
    if isinstance(error, TooLarge):
        return _TOO_BIG
    if isinstance(error, Busy):
        return _LATER
    if isinstance(error, TimedOut) or (getattr(error, "status", 400) < 500 and isinstance(error, AsrError)):
        return _POLICY
    return _BROKEN
