"""The service's own API: transcription with all options and formats, and alignment."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from asr.serving.errors import ServiceError, as_fields
from asr.serving.requests.clients import while_connected
from asr.serving.requests.fields import format_of, options_of
from asr.serving.requests.results import TYPES, file_response, json_response, transcript_row
from asr.serving.requests.uploads import received
from asr.serving.service import Service

_FILE = {"type": "string", "format": "binary", "description": "A recording of any format and length."}
_MODEL = {"type": "string", "description": "The name of a model (default: the first of the service)."}
_FORMAT = {"type": "string", "enum": list(TYPES), "default": "json"}
_LINES = {"type": "string", "description": "Lines."}


def form_of(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Return the part of the OpenAPI document for a form."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_CONTENT: dict[str, Any] = {kind: {} for kind in dict.fromkeys(TYPES.values())}
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"description": "The transcript.", "content": _CONTENT}}
_TRANSCRIBE = form_of(
    {
        "file": _FILE,
        "model": _MODEL,
        "format": _FORMAT,
        "nbest": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Length of the n-best list."},
        "hotwords": {**_LINES, "description": "Words to favour, one a line; a weight may follow after a tab."},
        "phrases": {**_LINES, "description": "Allowed texts, one a line."},
        "channels": {"type": "string", "description": "mix, split, or the number of a channel from 1."},
        "salvage": {"type": "boolean", "description": "Transcribe what is there of a truncated recording."},
    },
    ["file"],
)
_ALIGN = form_of(
    {"file": _FILE, "text": {"type": "string", "description": "Its text."}, "model": _MODEL, "format": _FORMAT},
    ["file", "text"],
)


def router(service: Service) -> APIRouter:
    """Return the routes /v1/transcribe and /v1/align."""
    routes = APIRouter(prefix="/v1", tags=["transcription"])
    engine, limits = service.engine, service.limits

    @routes.post("/transcribe", responses=_RESPONSES, openapi_extra=_TRANSCRIBE, response_class=Response)
    async def transcribe(request: Request) -> Response:
        """Transcribe a recording, with n-best lists, favoured words, a closed set of phrases, in any format."""
        engine.require_room()
        async with received(request, limits) as form:
            upload, options, name = form.file(), options_of(form), format_of(form)
            info = engine.info(form.text("model"))
            if options.channels == "split" and name != "json":
                raise ServiceError(
                    f"format: {name} holds one channel; take json, or one channel", param="format", code="invalid_value"
                )
            remarks: list[str] = []
            found = await while_connected(request, engine.transcribe(info.name, upload.path, options, remarks=remarks))
            if name != "json":
                return file_response(found[0], upload, name)
            row: dict[str, Any] = {"model": info.name}
            if options.channels == "split":
                row["channels"] = [transcript_row(one) for one in found]
            else:
                row |= transcript_row(found[0])
            if remarks:
                row["remarks"] = [as_fields(remark) for remark in remarks]
            return json_response(row)

    @routes.post("/align", responses=_RESPONSES, openapi_extra=_ALIGN, response_class=Response)
    async def align(request: Request) -> Response:
        """Find when each word of a text is spoken in a recording."""
        engine.require_room()
        async with received(request, limits) as form:
            upload, name, text = form.file(), format_of(form), form.text("text")
            info = engine.info(form.text("model"))
            if not text or not text.strip():
                raise ServiceError("text: send the text of the recording", param="text", code="invalid_value")
            found = await while_connected(request, engine.align(info.name, upload.path, text))
            if name != "json":
                return file_response(found.transcript, upload, name)
            row = {
                "model": info.name,
                **transcript_row(found.transcript),
                "unspoken": list(found.unspoken),
                "unwritten": [{"start": round(start, 3), "end": round(end, 3)} for start, end in found.unwritten],
            }
            return json_response(row)

    return routes
