"""Routes of documents: open, save, transcribe, export."""

from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from asr.serving.errors import body
from asr.serving.page.folder import workspace_of
from asr.serving.page.jobs import Jobs
from asr.serving.page.route import page_route
from asr.serving.service import Service
from asr.serving.workspace.document import Segment, segment_row
from asr.serving.workspace.saved import ChangedError, Opened, exported, open_document, save
from asr.transcript import Alternative, Word

_Text = Annotated[str, Field(max_length=20_000)]
_Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
_TYPES = {"eaf": "application/xml", "TextGrid": "text/plain", "srt": "application/x-subrip", "txt": "text/plain"}


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class WordBody(_Body):
    """A word of a segment."""

    text: _Text
    start: _Seconds
    end: _Seconds
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1.0


class ChoiceBody(_Body):
    """A text that a segment may have, and its score in nats."""

    text: _Text
    score: Annotated[float, Field(allow_inf_nan=False)] = 0.0


class SegmentBody(_Body):
    """A segment of a document."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    start: _Seconds
    end: _Seconds
    text: _Text = ""
    checked: bool = False
    speaker: Annotated[str, Field(max_length=200)] | None = None
    words: Annotated[list[WordBody], Field(max_length=20_000)] = []
    nbest: Annotated[list[ChoiceBody], Field(max_length=100)] = []

    def segment(self) -> Segment:
        """Return the segment of the document."""
        words = tuple(Word(one.text, one.start, one.end, one.confidence) for one in self.words)
        nbest = tuple(Alternative(one.text, one.score) for one in self.nbest)
        speaker = (self.speaker or "").strip() or None
        return Segment(self.id, self.start, self.end, self.text, self.checked, speaker, words, nbest)


class SaveBody(_Body):
    """A document to save: the version that was opened, its segments, and seconds of work since the last save."""

    version: Annotated[str, Field(max_length=64)]
    segments: Annotated[list[SegmentBody], Field(max_length=100_000)]
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    typed: bool = False


class TranscribeBody(_Body):
    """The model that transcribes (default: the first one), and the bounds of a part in seconds."""

    model: str | None = None
    start: _Seconds | None = None
    end: _Seconds | None = None


def router(service: Service) -> APIRouter:
    """Return the routes; none without a folder."""
    workspace = workspace_of(service)
    if workspace is None:
        return APIRouter()
    routes = APIRouter(prefix="/api", tags=["page"], route_class=page_route(workspace))
    jobs = Jobs(service.engine, workspace)

    @routes.post("/documents/{name:path}/transcribe", status_code=202)
    async def transcribe(name: str, request: TranscribeBody) -> dict[str, str]:
        """Begin to transcribe a recording or a part of it; checked segments stay as they are."""
        workspace.recording(name)
        model = service.engine.info(request.model)
        return {"job": jobs.begin(name, model.name, request.start, request.end).id}

    @routes.get("/documents/{name:path}/export", response_class=Response)
    def export(name: str, format: str) -> Response:
        """Return a document as a file: eaf, TextGrid, srt or txt."""
        opened = open_document(workspace, name)
        content = exported(opened, format)
        return Response(content, media_type=_TYPES[format], headers=_attachment(f"{opened.recording.stem}.{format}"))

    @routes.get("/documents/{name:path}")
    def document(name: str, tier: str | None = None) -> dict[str, Any]:
        """Return the document of a recording, or the annotations beside it; `tier` is the tier of annotations."""
        return document_row(open_document(workspace, name, tier))

    @routes.put("/documents/{name:path}", responses={409: {"description": "Another version was saved."}})
    def save_document(name: str, request: SaveBody) -> Any:
        """Save a document, unless somebody else saved another version since it was opened."""
        segments = [one.segment() for one in request.segments]
        try:
            return document_row(
                save(workspace, name, request.version, segments, seconds=request.seconds, typed=request.typed)
            )
        except ChangedError as error:
            current = {"current": document_row(error.current)}
            return JSONResponse(body(str(error), code="changed", param="version") | current, 409)

    @routes.get("/jobs/{number}")
    async def job(number: str) -> dict[str, Any]:
        """Return how far a transcription is."""
        row = asdict(jobs.find(number))
        return row | {"progress": round(row["progress"], 3)}

    return routes


def document_row(opened: Opened) -> dict[str, Any]:
    """Return a document as JSON for the page."""
    return {
        "recording": opened.name,
        "duration": opened.duration,
        "version": opened.version,
        "model": opened.document.model,
        "segments": [segment_row(segment) for segment in opened.document.segments],
        "saved": opened.saved,
        "typed": opened.document.is_typed,
        "tiers": list(opened.tiers),
        "notes": list(opened.notes),
    }


def _attachment(name: str) -> dict[str, str]:
    """Return the headers of a download, whose name may be in any script (RFC 6266)."""
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
