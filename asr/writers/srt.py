"""SubRip subtitles."""

from pathlib import Path

from asr.transcript import Transcript
from asr.writers.subtitles import clock, cues


def render(transcript: Transcript, recording: Path) -> str:
    return "".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n" + "\n".join(cue.lines) + "\n\n"
        for number, cue in enumerate(cues(transcript.segments), start=1)
    )
