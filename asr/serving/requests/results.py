"""Transcripts -> responses: JSON, and the files that `asr transcribe` writes."""

from pathlib import Path
from typing import Any

from starlette.responses import Response

from asr.files import to_json
from asr.serving.requests.forms import Upload
from asr.transcript import Transcript
from asr.writers import render, require_times
from asr.writers.names import safe_name

TYPES = {  # of the contents of formats
    "txt": "text/plain",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tsv": "text/tab-separated-values",
    "ctm": "text/plain",
    "TextGrid": "text/plain",
    "eaf": "application/xml",
}


def json_response(content: Any) -> Response:
    """Return strict JSON."""
    return Response(to_json(content), media_type="application/json")


def file_response(transcript: Transcript, upload: Upload, name: str) -> Response:
    """Return the file of a format. It names the recording as its sender does, and no folder of this machine."""
    folder = upload.path.parent.resolve()
    recording = folder / safe_name(upload.name)
    require_times(transcript, Path(upload.name), [name])
    content = render(transcript, recording, name, recording.with_suffix(f".{name}"))
    content = content.replace(folder.as_uri(), "file://").replace(f"{folder}/", "")
    return Response(content, media_type=f"{TYPES[name]}; charset=utf-8")


def transcript_row(transcript: Transcript) -> dict[str, Any]:
    """Return all that a transcript holds, as a dict for JSON."""
    row = transcript.to_dict()
    if transcript.unbiased is not None:
        row["unbiased"] = transcript.unbiased
    if transcript.nearest is not None:
        row["nearest"] = {"text": transcript.nearest.text, "score": round(transcript.nearest.score, 3)}
    return row
