"""The web application: routes, the page, errors in one shape, access."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from asr.serving import health
from asr.serving.access import Access
from asr.serving.errors import handle_errors, response
from asr.serving.live import realtime, stream
from asr.serving.metrics import Metrics
from asr.serving.page import documents, folder, prompts, ranking, training
from asr.serving.page.mount import mount
from asr.serving.requests import openai, transcription
from asr.serving.service import Service
from asr.version import __version__

# Modules with `router(service)`.
_ROUTES = (openai, transcription, stream, realtime, folder, documents, prompts, training, ranking, health)


def make_app(service: Service) -> FastAPI:
    """Return the application of a service. It starts the engine if that is not started, and stops it at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.engine.start()
        try:
            yield
        finally:
            await service.engine.stop()

    # The pages /docs and /redoc of FastAPI load programs from other hosts.
    app = FastAPI(title="asr", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    handle_errors(app)
    for module in _ROUTES:
        app.include_router(module.router(service))
    app.add_api_websocket_route("/{path:path}", _unknown)  # the page's files take no WebSocket
    _state_errors(app)
    mount(app)
    app.add_middleware(Access, service=service)
    if service.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    app.add_middleware(_Counted, metrics=service.engine.metrics)
    return app


async def _unknown(websocket: WebSocket) -> None:
    """Refuse a WebSocket to an address that has none."""
    await websocket.receive()
    await websocket.send_denial_response(response(HTTPException(404)))


def _state_errors(app: FastAPI) -> None:
    """State in the OpenAPI document that all errors have one shape."""
    original = app.openapi
    schema = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    }

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components["Error"] = schema
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            for methods in document["paths"].values():
                for operation in methods.values():
                    responses = operation["responses"]
                    responses.pop("422", None)
                    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
                    responses["default"] = {"description": "An error.", "content": content}
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


class _Counted:
    """Counts requests by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")  # never the address itself: it can be anything
                self._metrics.requests.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)
