"""WebVTT subtitles, for web pages."""

from pathlib import Path

from asr.transcript import Transcript
from asr.writers.subtitles import clock, cues

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render(transcript: Transcript, recording: Path) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n" + "\n".join(cue.lines).translate(_ESCAPES) + "\n\n"
        for cue in cues(transcript.segments)
    )
