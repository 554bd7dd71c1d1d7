"""Plain text: one line a segment between pauses."""

from pathlib import Path

from asr.transcript import Transcript, spoken


def render(transcript: Transcript, recording: Path) -> str:
    return "".join(spoken(words) + "\n" for words in transcript.segments())
