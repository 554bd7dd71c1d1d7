"""The manifest `checked.jsonl` of a folder: a line for each segment that a person checked, to train on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.manifest import to_row
from asr.files import read_text, to_json, write_whole
from asr.serving.workspace.document import Document
from asr.serving.workspace.paths import Workspace
from asr.utterance import Utterance

NAME = "checked.jsonl"


def utterances_of(document: Document, name: str, recording: Path) -> Iterator[Utterance]:
    """Yield the checked segments with text of the recording with the id `name`."""
    for segment in document.checked:
        if segment.text:
            yield Utterance(
                id=f"{name}#{segment.id}",
                audio=recording,
                text=segment.text,
                offset=segment.start,
                duration=round(segment.end - segment.start, 3),
                speaker=segment.speaker,
                extra={"checked": True},
            )


def write_checked(workspace: Workspace, name: str, recording: Path, document: Document) -> None:
    """Replace the lines of one recording in the manifest; all other lines stay as they are. Hold the lock for it.

    Raises OutputError, and AsrError if the manifest cannot be read.
    """
    path = workspace.root / NAME
    before = read_text(path).split("\n") if path.is_file() else []
    lines = [line for line in before if line.strip() and not _is_of(line, recording, workspace.root)]
    lines += [to_json(to_row(utterance, workspace.root)) for utterance in utterances_of(document, name, recording)]
    if lines or before:
        write_whole(path, "".join(f"{line}\n" for line in lines).encode())


def _is_of(line: str, recording: Path, folder: Path) -> bool:
    """Return whether a line is a checked segment of a recording."""
    try:
        row = json.loads(line)
        return row["checked"] is True and os.path.normpath(folder / row["audio_filepath"]) == str(recording)
    except (ValueError, TypeError, KeyError):
        return False
