"""Work for a client that may go away before it has its answer."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

from asr.serving.errors import ServiceError

T = TypeVar("T")


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Await `work`; cancel it if the client of the request closes the connection. The body must have been read."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ServiceError("the client closed the connection", status=499, code="client_closed")
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
