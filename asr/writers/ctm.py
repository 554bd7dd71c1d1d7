"""NIST CTM: `recording channel start duration word confidence`, one word a line, as sclite and Kaldi read it."""

from pathlib import Path

from asr.text import ctm_field
from asr.transcript import Transcript


def render(transcript: Transcript, recording: Path) -> str:
    name = ctm_field(recording.stem)
    channel = transcript.channel or 1
    lines = []
    for word in transcript.words:
        parts = word.text.split() or [""]  # an aligned word may carry a lone dash: `word —`
        seconds = (word.end - word.start) / len(parts)
        for number, part in enumerate(parts):
            start = word.start + number * seconds
            lines.append(f"{name} {channel} {start:.2f} {seconds:.2f} {ctm_field(part)} {word.confidence:.2f}\n")
    return "".join(lines)
