"""Plain text: one line a segment between pauses; one line in all where words have no times."""

from pathlib import Path

from asr.transcript import Transcript


def render(transcript: Transcript, recording: Path) -> str:
    lines = [segment.text for segment in transcript.segments] or [transcript.text]
    return "".join(line + "\n" for line in lines if line)
