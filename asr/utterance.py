"""The utterance: a recording, or a part of one, with its transcript."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording, or a part of one, with its transcript.

    `offset` and `duration` are in seconds; without `duration`, the part ends with the recording. `extra` holds all
    other fields of the manifest.
    """

    id: str
    audio: Path
    text: str | None = None
    offset: float = 0.0
    duration: float | None = None
    speaker: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
