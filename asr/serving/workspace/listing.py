"""The list of recordings of a folder: how far each is transcribed and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from asr.errors import AsrError
from asr.serving.workspace.annotated import annotation_files
from asr.serving.workspace.document import NO_WORK, Work
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.prompt_files import is_take
from asr.serving.workspace.recordings import header_of
from asr.serving.workspace.saved import json_file, open_document, stamp

State = Literal["new", "draft", "partly", "checked"]
Stamps = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of a document; `confidence` is the mean of the words that nobody checked."""

    segments: int = 0
    checked: int = 0
    confidence: float | None = None
    model: str | None = None
    typed: Work = NO_WORK
    corrected: Work = NO_WORK


@dataclass(frozen=True, slots=True)
class Listed:
    """A recording of the list; `confidence` is the mean of the words that nobody checked."""

    id: str
    duration: float | None = None
    size: int = 0
    modified: str = ""
    state: State = "new"
    segments: int = 0
    checked: int = 0
    confidence: float | None = None
    error: str | None = None


def listed(workspace: Workspace) -> Iterator[Listed]:
    """Yield the recordings of a folder, sorted by id, without the takes of prompts.

    A recording or a document that cannot be read has its error, and stops no other.
    """
    for name, path, fault in workspace.find():
        if is_take(workspace, path):
            continue
        yield Listed(name, error=fault) if fault is not None else listed_one(workspace, name, path)


def listed_one(workspace: Workspace, name: str, path: Path) -> Listed:
    """Return the line of one recording of the list."""
    try:
        state = path.stat()
    except OSError as fault:
        return Listed(name, error=f"{name}: cannot be read: {fault.strerror}; check its permissions")
    modified = datetime.fromtimestamp(state.st_mtime, UTC).isoformat(timespec="seconds")
    header = header_of(path)
    try:
        summary = summary_of(workspace, name, path) or Summary()
        problem = header.error
    except AsrError as fault:
        summary, problem = Summary(), str(fault)
    return Listed(
        id=name,
        duration=header.seconds,
        size=state.st_size,
        modified=modified,
        state=_state(summary.segments, summary.checked),
        segments=summary.segments,
        checked=summary.checked,
        confidence=None if summary.confidence is None else round(summary.confidence, 3),
        error=None if problem is None else workspace.shown(problem),
    )


def summary_of(workspace: Workspace, name: str, recording: Path) -> Summary | None:
    """Return the numbers of a document, or None if there is none; it is read again only if a file of it has changed."""
    stamps = stamps_of(recording)
    return None if stamps is None else _summary(workspace, name, stamps)


def stamps_of(recording: Path) -> Stamps | None:
    """Return what changes with the files of a document, or None if there is none."""
    json = json_file(recording)
    files = [json] if json.is_file() else annotation_files(json.with_suffix(""))
    return tuple(map(stamp, [recording, *files])) if files else None


@lru_cache(maxsize=100_000)
def _summary(workspace: Workspace, name: str, stamps: Stamps) -> Summary:
    document = open_document(workspace, name).document
    return Summary(
        segments=len(document.segments),
        checked=len(document.checked),
        confidence=document.confidence,
        model=document.model,
        typed=document.typed,
        corrected=document.corrected,
    )


def _state(segments: int, checked: int) -> State:
    if not segments:
        return "new"
    return "draft" if not checked else "partly" if checked < segments else "checked"
