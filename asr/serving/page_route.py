"""Routes of the page: a limit on requests that are read whole, and errors that name ids, not paths."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from asr.errors import AsrError, OutputError
from asr.serving.errors import TooLarge
from asr.serving.workspace.paths import Workspace

MOST = 2**26  # bytes; the JSON of a document of ten hours has a tenth


def page_route(workspace: Workspace, most: int | None = MOST) -> type[APIRoute]:
    """Return the class of routes of a folder whose requests have at most `most` bytes."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    return await handler(request if most is None else _bounded(request, most))
                except OutputError as error:
                    raise OutputError(error.errno, error.strerror, workspace.shown(str(error.filename))) from None
                except AsrError as error:
                    error.args = tuple(workspace.shown(one) if isinstance(one, str) else one for one in error.args)
                    raise

            return handle

    return PageRoute


def _bounded(request: Request, most: int) -> Request:
    """Return a request whose body ends with TooLarge after `most` bytes."""
    stated, total = request.headers.get("content-length", ""), 0
    if stated.isdecimal() and int(stated) > most:
        raise _too_large(most)
    receive = request.receive

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise _too_large(most)
        return message

    return Request(request.scope, counted)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the request has more than {most} bytes; divide the recording")
