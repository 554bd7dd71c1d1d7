"""Routes that say what to do next, and how much work drafts have saved."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from asr.errors import AsrError
from asr.serving.page.folder import workspace_of
from asr.serving.page.route import page_route
from asr.serving.service import Service
from asr.serving.workspace.effort import effort
from asr.serving.workspace.listing import Summary, summary_of
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.ranking import ranked


def router(service: Service) -> APIRouter:
    """Return the routes; none without a folder."""
    workspace = workspace_of(service)
    if workspace is None:
        return APIRouter()
    routes = APIRouter(prefix="/api", tags=["page"], route_class=page_route(workspace))

    @routes.get("/next")
    def what_next() -> dict[str, Any]:
        """Rank the recordings that are not checked: first those without a draft, then by what a minute teaches."""
        return {"recordings": [asdict(one) for one in ranked(workspace)]}

    @routes.get("/effort")
    def minutes() -> dict[str, Any]:
        """Return the minutes of work on drafts and from nothing, and the minutes that drafts saved."""
        return effort((one.typed, one.corrected) for one in _summaries(workspace))

    return routes


def _summaries(workspace: Workspace) -> list[Summary]:
    summaries = []
    for name, path, fault in workspace.find():
        try:
            summary = summary_of(workspace, name, path) if fault is None else None
        except (AsrError, OSError):  # the list of recordings names it
            continue
        if summary is not None:
            summaries.append(summary)
    return summaries
