"""Who may use a service: keys, names of hosts, pages of other sites."""

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from asr.serving.errors import ServiceError, response
from asr.serving.service import Service

KEY_PROTOCOL = "openai-insecure-api-key."  # begins a subprotocol that is a key, as OpenAI's pages send it
_OPEN = ("/health", "/ready")  # addresses that need no key: they tell nothing of recordings
_SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing


class Access:
    """The ASGI application behind it is reached by requests that may use the service."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Guard `app`."""
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is not allowed; pass on all others."""
        if scope["type"] in ("http", "websocket") and (error := self._fault(scope)) is not None:
            if scope["type"] == "websocket":
                await receive()
            await response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> ServiceError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._service.local and not self._service.keys and not self._is_known(host):
            return ServiceError(
                f"the host {host!r} is not this machine, and a page that pretends to be it must not reach the service; "
                f"behind a proxy, start it with --cors https://{host or 'HOST'} or with --api-key-file",
                status=403,
                code="wrong_host",
            )
        if origin := headers.get("origin"):
            changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
            if changes and urlsplit(origin).netloc != host and origin not in self._service.origins:
                return ServiceError(
                    f"a page of {origin} may not use this service; allow it with --cors {origin}",
                    status=403,
                    code="wrong_origin",
                )
        if self._service.keys and scope["path"] not in _OPEN and scope.get("method") != "OPTIONS":
            return self._key_fault(headers.get("authorization") or _offered(scope))
        return None

    def _is_known(self, host: str) -> bool:
        """Return True for a name of this machine that no other site can have, and for the names of `origins`."""
        if any(urlsplit(origin).netloc == host for origin in self._service.origins):
            return True
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _key_fault(self, authorization: str) -> ServiceError | None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic":  # a browser asks for it, and sends it with all that a page loads
            given = _password(given)
        found = False
        for key in self._service.keys:  # all of them, so that the time tells nothing
            found |= hmac.compare_digest(key.encode(), given.strip().encode("utf-8", "replace"))
        if found:
            return None
        error = ServiceError(
            "send a key of this service: Authorization: Bearer KEY; in a browser, it is the password; of a "
            f"WebSocket in a page, the subprotocol {KEY_PROTOCOL}KEY",
            status=401,
            code="invalid_api_key",
        )
        error.kind = "authentication_error"
        error.headers = {"WWW-Authenticate": 'Basic realm="asr", charset="UTF-8"'}
        return error


def _offered(scope: Scope) -> str:
    """Return the key that a page sends to open a WebSocket, to which it can add no other header.

    It is never a part of the address, which logs hold.
    """
    offered = (
        name.removeprefix(KEY_PROTOCOL) for name in scope.get("subprotocols", ()) if name.startswith(KEY_PROTOCOL)
    )
    return f"Bearer {next(offered, '')}"


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
