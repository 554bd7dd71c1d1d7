"""Routes of the page: what there is, the list of recordings, uploads, sound, and waveforms."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from asr.serving.engine.guard import require_moderate
from asr.serving.page.route import page_route
from asr.serving.requests.uploads import Upload, received
from asr.serving.service import Service
from asr.serving.workspace.landing import land, place
from asr.serving.workspace.listing import listed, listed_one
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.playable import playable
from asr.serving.workspace.saved import FORMATS
from asr.serving.workspace.waveform import part, peaks
from asr.version import __version__

_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}


def workspace_of(service: Service) -> Workspace | None:
    """Return the folder that the page works in, or None if the service has none."""
    return None if service.data is None else Workspace(service.data.resolve())


def router(service: Service) -> APIRouter:
    """Return the routes; without a folder, only /api/session."""
    routes = APIRouter(prefix="/api", tags=["page"])
    workspace = workspace_of(service)

    @routes.get("/session")
    def session() -> dict[str, Any]:
        """Return what the service has: its version, models and folder, and whether it can train."""
        models = [
            {"id": model.name, "streaming": model.streaming, "sample_rate": model.sample_rate}
            for model in list(service.engine.models.values())
        ]
        return {
            "version": __version__,
            "models": models,
            "folder": None if workspace is None else workspace.root.name,
            "formats": list(FORMATS),
            "train": workspace is not None and find_spec("torch") is not None,
        }

    if workspace is not None:
        recordings = APIRouter(route_class=page_route(workspace, None))
        _add_recordings(recordings, service, workspace)
        routes.include_router(recordings)
    return routes


def _add_recordings(routes: APIRouter, service: Service, workspace: Workspace) -> None:
    @routes.get("/recordings")
    def recordings() -> dict[str, Any]:
        """List the recordings of the folder, and how far each is transcribed and checked."""
        return {"recordings": [asdict(one) for one in listed(workspace)]}

    @routes.post("/recordings", status_code=201, openapi_extra=_FORM)
    async def upload(request: Request) -> dict[str, Any]:
        """Put recordings into the folder: files named `file` of a form, and the field `folder`."""
        async with received(request, service.limits) as form:
            files, folder = form.files.get("file", []), form.text("folder") or ""
            names = await anyio.to_thread.run_sync(_land, workspace, files, folder)
            return {"recordings": await anyio.to_thread.run_sync(_listed, workspace, names)}

    @routes.get("/recordings/{name:path}/audio", response_class=FileResponse)
    def audio(name: str) -> FileResponse:
        """Return the sound of a recording; parts of it by the header Range."""
        path, media = playable(workspace, workspace.recording(name))
        return FileResponse(path, media_type=media, headers=_HEADERS)

    @routes.get("/recordings/{name:path}/samples", response_class=Response, responses=_WAV)
    def samples(name: str, start: float = 0.0, end: float = 10.0) -> Response:
        """Return a part of a recording, at most a minute, as 16-bit WAV of one channel and 16 kHz."""
        content = part(workspace, workspace.recording(name), start, end)
        return Response(content, media_type="audio/wav", headers=_HEADERS)

    @routes.get("/recordings/{name:path}/peaks")
    def waveform(
        name: str, start: float = 0.0, end: float | None = None, count: Annotated[int, Query()] = 1000
    ) -> dict[str, list[float]]:
        """Return the lowest and the highest sample of `count` columns of a recording or of a part of it."""
        low, high = peaks(workspace, workspace.recording(name), count, start, end)
        return {"min": low, "max": high}


def _land(workspace: Workspace, files: list[Upload], folder: str) -> list[str]:
    for file in files:
        place(workspace, file.name, folder)  # a wrong name is the clearer error
        require_moderate(file.path)
    return land(workspace, [(file.name, file.path) for file in files], folder)


def _listed(workspace: Workspace, names: list[str]) -> list[dict[str, Any]]:
    return [asdict(listed_one(workspace, name, workspace.resolve(name))) for name in names]


_WAV: dict[int | str, dict[str, Any]] = {200: {"content": {"audio/wav": {}}}}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "folder": {"type": "string"},
                    },
                }
            }
        },
    }
}
