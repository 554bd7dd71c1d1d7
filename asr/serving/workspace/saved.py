"""Documents in their files: opened, and saved beside the recording without overwriting what others wrote."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from asr.errors import AsrError, explain
from asr.files import read_bytes, read_text, write_whole
from asr.serving.workspace.annotated import annotation_files, read_annotated
from asr.serving.workspace.checked import write_checked
from asr.serving.workspace.document import Document, Segment, audio_of, from_json, in_order, is_document, to_json
from asr.serving.workspace.kept import digest, keep
from asr.serving.workspace.lock import locked
from asr.serving.workspace.paths import TakenError, Workspace
from asr.serving.workspace.recordings import header_of, seconds_of
from asr.transcript import Transcript
from asr.writers import render
from asr.writers.clean import clean, writable
from asr.writers.eaf import TIER, renewed, tiers_of

_log = logging.getLogger(__name__)
FORMATS = ("eaf", "TextGrid", "srt", "txt")  # written beside the recording, in this order


@dataclass(frozen=True, slots=True)
class Opened:
    """A document as it is in the folder. `version` is "" and `saved` None if no JSON of it is there."""

    name: str
    recording: Path
    document: Document
    duration: float | None
    version: str = ""
    saved: str | None = None
    tiers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ChangedError(TakenError):
    """Another version of a document was saved since this one was opened; `current` is that version."""

    def __init__(self, current: Opened) -> None:
        super().__init__(f"{current.name}: was changed by someone else since you opened it; your text is not saved yet")
        self.current = current


def json_file(recording: Path) -> Path:
    """Return the JSON of the document of a recording: NAME.json, or NAME.SUFFIX.json where NAME.json is of another.

    `x.json` is of another if it names another recording that is there, or was written by another program.
    """
    own, plain = recording.with_name(f"{recording.name}.json"), recording.with_suffix(".json")
    if own.is_file() or not plain.is_file():
        return own if own.is_file() else plain
    named, is_ours = _owner(plain, stamp(plain))
    is_other = named not in (None, recording.name) and os.path.isfile(recording.with_name(str(named)))  # noqa: PTH113
    return own if is_other or not is_ours else plain


def stamp(path: Path) -> tuple[int, int]:
    """Return when a file was changed, in ns, and its bytes: as long as both stay, its content is taken as equal."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=100_000)
def _owner(path: Path, stamped: tuple[int, int]) -> tuple[str | None, bool]:
    """Return the name of the recording that a JSON states, and whether it is a document."""
    content = read_text(path)
    return audio_of(content), is_document(content)


def open_document(workspace: Workspace, name: str, tier: str | None = None) -> Opened:
    """Open the document of a recording: its JSON, or the annotations beside it, or an empty document.

    `tier` names the tier of annotations to read if there is no JSON. Raises NotThereError, and AsrError that names a
    JSON which is damaged.
    """
    recording = workspace.recording(name)
    duration, fault = seconds_of(recording), header_of(recording).error
    faults = () if fault is None else (workspace.shown(fault),)
    path = json_file(recording)
    if path.is_file():
        content = read_bytes(path)
        document = from_json(read_text(path), workspace.identify(path))
        return Opened(name, recording, document, duration, digest(content), _time_of(path), notes=faults)
    notes = [*faults]
    for file in annotation_files(path.with_suffix("")):
        try:
            found = read_annotated(file, recording, duration, tier)
        except AsrError as error:
            notes.append(workspace.shown(str(error)))
            continue
        notes += found.notes
        return Opened(name, recording, Document(found.segments), duration, tiers=found.tiers, notes=tuple(notes))
    return Opened(name, recording, Document(), duration, notes=tuple(notes))


def save(
    workspace: Workspace, name: str, version: str, segments: Sequence[Segment], *, seconds: float, typed: bool
) -> Opened:
    """Save the segments of a document whose version was `version` when it was opened.

    `seconds` of work since it was saved last count as work from nothing if `typed`, else as work on a draft. Raises
    ChangedError, which holds the current document, if another version is there; then nothing is written.
    """

    def change(opened: Opened) -> Document:
        document = opened.document
        changed = replace(document, segments=in_order(segments, opened.duration))
        audio = changed.checked_seconds - document.checked_seconds
        if typed:
            return replace(changed, typed=document.typed.plus(seconds, audio))
        return replace(changed, corrected=document.corrected.plus(seconds, audio))

    return update(workspace, name, change, version)


def update(workspace: Workspace, name: str, change: Callable[[Opened], Document], version: str | None = None) -> Opened:
    """Change a document under the lock of the folder, and write all its files.

    With `version`, raises ChangedError if the document has another one. Raises OutputError if the JSON cannot be
    written; then nothing is changed. Another file that cannot be written is noted.
    """
    with locked(workspace):
        opened = open_document(workspace, name)
        if version is not None and version != opened.version:
            raise ChangedError(opened)
        return _write(workspace, opened, change(opened))


def exported(opened: Opened, format: str) -> bytes:
    """Return the content of a file of a document in one of FORMATS."""
    if format not in FORMATS:
        raise AsrError(f"format={format[:40]}: is not offered; there are {', '.join(FORMATS)}")
    return _rendered(opened, opened.document, format, json_file(opened.recording).with_suffix(f".{format}"))


def _write(workspace: Workspace, opened: Opened, document: Document) -> Opened:
    """Write the JSON of a document, then its other files and its lines of the manifest."""
    path = json_file(opened.recording)
    notes: list[str] = []
    contents: dict[str, bytes] = {}
    for format in FORMATS:
        try:
            contents[format] = _rendered(opened, document, format, path.with_suffix(f".{format}"))
        except Exception as error:
            notes.append(_explained(error, f"{opened.name} as {format}"))
    written = {format: digest(content) for format, content in contents.items()}
    before = opened.document.written
    document = replace(document, written=dict(before) | written)
    content = to_json(document, opened.recording.name, opened.duration).encode()
    write_whole(path, content)
    for format, rendered in contents.items():
        target = path.with_suffix(f".{format}")
        try:
            notes += _replace(target, rendered, before.get(format), workspace)
        except Exception as error:
            notes.append(_explained(error, str(target)))
    try:
        write_checked(workspace, opened.name, opened.recording, document)
    except Exception as error:
        notes.append(_explained(error, "checked.jsonl"))
    return replace(
        opened,
        document=document,
        version=digest(content),
        saved=_time_of(path),
        tiers=(),
        notes=tuple(map(workspace.shown, notes)),
    )


def _time_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def _rendered(opened: Opened, document: Document, format: str, target: Path) -> bytes:
    """Return the content of a file of a document. An ELAN file that is there keeps all that is not our tier."""
    transcript = document.transcript(opened.duration or 0.0)
    if format != "eaf":
        return render(transcript, opened.recording, format, target).encode()
    return writable(_elan(clean(transcript), opened.recording, target)).encode()


def _elan(transcript: Transcript, recording: Path, target: Path) -> str:
    try:
        return renewed(transcript, recording, target, target if target.is_file() else None)
    except AsrError:  # the file is damaged; `_replace` keeps a copy of it
        return renewed(transcript, recording, target, None)


def _replace(target: Path, content: bytes, last: str | None, workspace: Workspace) -> list[str]:
    """Write a file; copy what another program wrote there first, unless the new file holds it. Return what to tell."""
    notes = []
    if target.is_file():
        there = read_bytes(target)
        if there == content:
            return []
        if digest(there) != last and not _is_extended(target):
            copy = keep(target)
            notes.append(
                f"{workspace.identify(target)}: was not written here, or was changed by another program; it is kept as "
                f"{copy.name}"
            )
    write_whole(target, content)
    return notes


def _is_extended(target: Path) -> bool:
    """Return whether all that a file holds is in the file that replaces it: an ELAN file without our tier."""
    try:
        return target.suffix == ".eaf" and TIER not in tiers_of(target)
    except AsrError:
        return False


def _explained(error: Exception, subject: str) -> str:
    """Return an error in words. A bug in a writer must not keep the JSON of a person's work from being written."""
    explained = explain(error, subject)
    if explained is None:
        _log.error("%s: could not be made", subject, exc_info=error)
        return f"{subject}: could not be made by a fault of this program; the log of the service has the details"
    return str(explained)
