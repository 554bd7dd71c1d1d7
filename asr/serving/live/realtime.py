"""`WS /v1/realtime`: the transcription sessions of OpenAI's Realtime API. docs/live.md lists the events."""

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from asr.serving.errors import ServiceError, TimedOut
from asr.serving.live.realtime_events import error_event
from asr.serving.live.realtime_session import Session
from asr.serving.live.realtime_settings import Settings
from asr.serving.live.sockets import Room, Socket, opened, read_json
from asr.serving.service import Service


def router(service: Service) -> APIRouter:
    """Return the route of Realtime sessions."""
    routes, room = APIRouter(), Room(service.limits.sockets)

    @routes.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        async with opened(websocket, room, service.limits) as socket:
            if socket is None:
                return
            try:
                await _serve(service, socket, websocket)
            except WebSocketDisconnect:
                raise
            except Exception as error:
                await socket.send(error_event(error))
                await socket.close(error)

    return routes


async def _serve(service: Service, socket: Socket, websocket: WebSocket) -> None:
    intent = websocket.query_params.get("intent", "transcription")
    if intent != "transcription":
        raise ServiceError(
            f"the intent is {intent[:100]!r}; this service has transcription sessions only: intent=transcription",
            param="intent",
            code="invalid_value",
        )
    info = service.engine.info(websocket.query_params.get("model"))
    older = "realtime=v1" in websocket.headers.get("openai-beta", "")
    limits = service.limits
    session = Session(service.engine, socket.send, Settings(info.name), block=limits.block, older=older)
    try:
        await session.created()
        while True:
            message = await socket.receive(limits.silent if session.working else limits.resting)
            cause = None
            try:
                content = read_json(message)
                cause = content.get("event_id")
                await session.obey(content)
            except TimedOut:
                raise
            except ServiceError as error:
                await socket.send(error_event(error, cause))
    finally:
        await session.close()
