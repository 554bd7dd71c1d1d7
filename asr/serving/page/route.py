"""Routes of the page: a limit on requests that are read whole, and errors that name ids, not paths."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
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
                body = _Body(request, most)
                try:
                    return await handler(body.request)
                except OutputError as error:
                    raise OutputError(error.errno, error.strerror, workspace.shown(str(error.filename))) from None
                except AsrError as error:
                    error.args = tuple(workspace.shown(one) if isinstance(one, str) else one for one in error.args)
                    raise
                except HTTPException:  # the framework explains any error in reading a body as one in parsing it
                    body.require_small()
                    raise

            return handle

    return PageRoute


class _Body:
    """The body of a request, of which at most `most` bytes are read."""

    def __init__(self, request: Request, most: int | None) -> None:
        self._receive, self._most, self._total = request.receive, most, 0
        self.request = request if most is None else Request(request.scope, self._counted)
        stated = request.headers.get("content-length", "")
        if stated.isdecimal():
            self._total = int(stated)
            self.require_small()
            self._total = 0

    def require_small(self) -> None:
        """Raise TooLarge if more was sent."""
        if self._most is not None and self._total > self._most:
            raise TooLarge(f"the request has more than {self._most} bytes; divide the recording")

    async def _counted(self) -> Message:
        message = await self._receive()
        self._total += len(message.get("body", b""))
        self.require_small()
        return message
