"""Routes of prompts: the list of sentences to read, and their takes."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Request
from fastapi import Path as Parameter
from pydantic import BaseModel, Field

from asr.serving.page.folder import workspace_of
from asr.serving.page.route import page_route
from asr.serving.service import Service
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.prompt_files import FOLDER
from asr.serving.workspace.prompts import Prompt, read_prompts, record, write_prompts

Number = Annotated[int, Parameter(ge=1, le=10**9)]
_WAV = {"requestBody": {"required": True, "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}}


class ListBody(BaseModel):
    """The prompts, one a line."""

    text: Annotated[str, Field(max_length=20_000_000)]


def router(service: Service) -> APIRouter:
    """Return the routes; none without a folder."""
    workspace = workspace_of(service)
    if workspace is None:
        return APIRouter()
    routes = APIRouter(prefix="/api/prompts", tags=["page"], route_class=page_route(workspace))
    _add(routes, workspace)
    return routes


def _add(routes: APIRouter, workspace: Workspace) -> None:
    @routes.get("")
    def prompts() -> dict[str, Any]:
        """List the prompts, and which of them have a take."""
        return _row(read_prompts(workspace))

    @routes.put("")
    def replace_prompts(request: ListBody) -> dict[str, Any]:
        """Replace the list of prompts by the lines of a text; prompts with a take stay."""
        return _row(write_prompts(workspace, request.text))

    @routes.post("/{number}/recording", status_code=201, openapi_extra=_WAV)
    async def take(number: Number, request: Request, started: datetime | None = None) -> dict[str, Any]:
        """Keep a WAV file as the take of a prompt; `started` is the time of its first sample."""
        content = await request.body()
        begun = (started or datetime.now(UTC)).isoformat(timespec="milliseconds")
        prompt, warnings = await anyio.to_thread.run_sync(record, workspace, number, content, begun)
        return asdict(prompt) | {"warnings": warnings}


def _row(prompts: list[Prompt]) -> dict[str, Any]:
    return {"prompts": [asdict(prompt) for prompt in prompts], "folder": FOLDER}
