"""Events of the Wyoming protocol on a connection, within limits: a header line, data and a payload."""

import asyncio
import json
from typing import Any

from wyoming.event import Event, async_write_event

from asr.serving.errors import ServiceError, TimedOut, TooLarge
from asr.serving.limits import Limits

HEADER = 64 * 1024  # bytes of the header line of an event
_DATA = 256 * 1024  # bytes of the data of an event
_SENDING = 30.0  # seconds that a client may take to read an answer


async def read_event(reader: asyncio.StreamReader, limits: Limits, *, first: bool) -> Event | None:
    """Read the next event; None at the end of the connection. `first` is the first of the connection.

    The reader of the `wyoming` package takes as many bytes as a header promises, and waits for ever. Raises
    ServiceError for an event that is malformed, TooLarge, or TimedOut.
    """
    seconds = limits.first if first else limits.silent
    try:
        async with asyncio.timeout(seconds):
            return await _read(reader, limits.block)
    except TimeoutError:
        raise TimedOut(f"no event came for {seconds:g} s; connect again", code="idle") from None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def write_event(writer: asyncio.StreamWriter, event: Event) -> None:
    """Send an event. Raises ConnectionError if the client is gone, or does not read within the stated time."""
    try:
        async with asyncio.timeout(_SENDING):
            await async_write_event(event, writer)
    except TimeoutError:
        raise ConnectionError("the client does not read") from None


async def _read(reader: asyncio.StreamReader, most: int) -> Event | None:
    try:
        line = await reader.readline()
    except ValueError:  # the line exceeds the limit of the reader
        raise TooLarge(f"the header of an event has more than {HEADER} bytes") from None
    if not line:
        return None
    header = _object(line)
    kind = header.get("type")
    if not isinstance(kind, str):
        raise ServiceError("an event has no type", param="type", code="invalid_event")
    data = header.get("data") or {}
    if size := _size(header, "data_length", _DATA):
        data = {**data, **_object(await reader.readexactly(size))} if isinstance(data, dict) else data
    payload = await reader.readexactly(size) if (size := _size(header, "payload_length", most)) else None
    if not isinstance(data, dict):
        raise ServiceError("the data of an event must be an object", param="data", code="invalid_event")
    return Event(kind, data, payload)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ServiceError("an event is a JSON object in a line; this line is none", code="invalid_json")
    return found


def _size(header: dict[str, Any], name: str, most: int) -> int:
    size = header.get(name) or 0
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ServiceError(f"{name} must be a number of bytes", param=name, code="invalid_event")
    if size > most:
        raise TooLarge(f"{name} is {size}; send {most} bytes at most in an event")
    return size
