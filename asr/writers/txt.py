"""Plain text: one line a segment between pauses; one line where it is not known when words are said."""

from pathlib import Path

from asr.transcript import Transcript, spoken


def render(transcript: Transcript, recording: Path) -> str:
    lines = [spoken(words) for words in transcript.segments()] or [transcript.text]
    return "".join(line + "\n" for line in lines if line)
