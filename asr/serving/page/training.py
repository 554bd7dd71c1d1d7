"""Routes of training: look at the data, begin, watch, stop, continue; the model of a finished training is loaded."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from pydantic import BaseModel, Field

from asr.errors import AsrError
from asr.files import to_json
from asr.serving.engine.engine import Engine
from asr.serving.page.folder import workspace_of
from asr.serving.page.route import page_route
from asr.serving.service import Service
from asr.serving.workspace import material, training
from asr.serving.workspace.paths import Workspace

_EVERY = 1.0  # seconds between two looks at a training that runs
_log = logging.getLogger(__name__)


class PrepareBody(BaseModel):
    """What to train on: ids of recordings or folders, "prompts", or "." for all that is checked."""

    sources: Annotated[list[Annotated[str, Field(max_length=4000)]], Field(max_length=100_000)] = ["."]


class TrainBody(BaseModel):
    """How long to train, and the name of a model whose weights to start from."""

    budget: Annotated[str, Field(max_length=20)] | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    start: Annotated[str | None, Field(alias="from", max_length=1000)] = None


def router(service: Service) -> APIRouter:
    """Return the routes; none without a folder."""
    workspace = workspace_of(service)
    if workspace is None:
        return APIRouter()
    trainings = Trainings(service.engine, workspace)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        trainings.watch()
        try:
            yield
        finally:
            trainings.leave()

    routes = APIRouter(prefix="/api/training", tags=["page"], route_class=page_route(workspace), lifespan=lifespan)
    _add(routes, trainings)
    return routes


class Trainings:
    """The trainings of a folder, seen from a service: their processes are waited for, and their models loaded."""

    def __init__(self, engine: Engine, workspace: Workspace) -> None:
        """Load the models of a folder into an engine."""
        self.engine, self.workspace = engine, workspace
        self._watching: asyncio.Task[None] | None = None
        self._loading = asyncio.Lock()
        self._fault: tuple[str, str] | None = None  # a model that cannot be loaded, and why

    async def report(self) -> dict[str, Any]:
        """Return the state of the training; load the model of one that has finished."""
        row = await anyio.to_thread.run_sync(training.report, self.workspace)
        if row["state"] == "running":
            self.watch()
        if row["state"] == "finished":
            await self._load(str(row["model"]))
            if self._fault is not None and self._fault[0] == row["model"]:
                row["error"] = self._fault[1]
        return row

    def watch(self) -> None:
        """Look at the training until it ends, so that its model is there although nobody looks at the page."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def leave(self) -> None:
        """Look no longer; the training goes on."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await anyio.to_thread.run_sync(training.report, self.workspace))["state"] == "running":
            await asyncio.sleep(_EVERY)
        await self.report()

    async def _load(self, name: str) -> None:
        async with self._loading:
            path = self.workspace.root / training.MODELS / name / training.MODEL_FILE
            if name in self.engine.models or (self._fault is not None and self._fault[0] == name):
                return
            try:
                await self.engine.add_model(name, path)
            except AsrError as error:
                self._fault = name, self.workspace.shown(str(error))
                _log.error("%s", error)


def _add(routes: APIRouter, trainings: Trainings) -> None:
    workspace, engine = trainings.workspace, trainings.engine

    @routes.post("/prepare")
    def prepare(request: PrepareBody) -> dict[str, Any]:
        """Look at what is checked: prepare it as a corpus, and check it; the lines are words for people."""
        found = material.prepare(workspace, request.sources, list(engine.models))
        return {"lines": found.lines, "problems": found.problems, "next": found.name}

    @routes.post("", status_code=201)
    async def begin(request: TrainBody) -> Response:
        """Begin to train on what was prepared. The training goes on if the page or the service is closed."""
        start = None if not request.start else engine.info(request.start).path

        def work() -> None:
            training.begin(
                workspace, budget=request.budget, epochs=request.epochs, start=start, taken=list(engine.models)
            )

        await anyio.to_thread.run_sync(work)
        return _json(await trainings.report(), 201)

    @routes.get("")
    async def state() -> Response:
        """Return the state of the training, its curves, what it recognises, and its last lines."""
        return _json(await trainings.report())

    @routes.post("/{action}")
    async def change(action: Literal["stop", "continue"]) -> Response:
        """Stop the training as Ctrl-C does, or continue it where it stopped."""
        await anyio.to_thread.run_sync(training.stop if action == "stop" else training.resume, workspace)
        return _json(await trainings.report())


def _json(row: dict[str, Any], status: int = 200) -> Response:
    """Return a response whose numbers that are not finite are null."""
    return Response(to_json(row), status, media_type="application/json")
