"""Connections of HTTP: one that sends no request within a stated time is closed."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """HTTP/1.1 as of uvicorn, with a limit on the time that a client takes to send the head of a request.

    A client that says nothing, or a byte now and then, holds a connection otherwise for ever. The time of a body is
    limited where it is read.
    """

    seconds = 30.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.seconds, self._close_if_waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_waiting = self._waits()
        super().data_received(data)
        if not self._waits() or self._is_upgraded():
            self._stop_timer()
        elif not was_waiting or self._timer is None:
            self._stop_timer()
            self._timer = self.loop.call_later(self.seconds, self._close_if_waiting)

    def _waits(self) -> bool:
        """Return True if no request is in work."""
        return self.cycle is None or self.cycle.response_complete

    def _is_upgraded(self) -> bool:
        """Return True if the connection is a WebSocket now, which has its own limits."""
        return self.transport is not None and self.transport.get_protocol() is not self

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_if_waiting(self) -> None:
        self._timer = None
        if self._waits() and self.transport is not None and not self.transport.is_closing():
            self.transport.close()


def protocol(seconds: float) -> type[PatientProtocol]:
    """Return the class of connections that wait so long for a request."""
    return type("Protocol", (PatientProtocol,), {"seconds": seconds})
