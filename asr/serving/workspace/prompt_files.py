"""The names of the files of prompts: `prompts/0001.wav` is the take of prompt 1, `0001.take1.wav` an older take."""

import re
from pathlib import Path

from asr.serving.workspace.paths import Workspace

FOLDER = "prompts"
LIST = "prompts.tsv"  # a number, a tab and a text in each line
MANIFEST = "prompts.jsonl"
_TAKE = re.compile(r"\d{4,}(\.take\d+)?\.wav")


def is_take(workspace: Workspace, path: Path) -> bool:
    """Return whether a recording is a take of a prompt."""
    return path.parent == workspace.root / FOLDER and _TAKE.fullmatch(path.name) is not None


def take_of(workspace: Workspace, number: int) -> Path:
    """Return the file of the latest take of a prompt."""
    return workspace.root / FOLDER / f"{number:04}.wav"
