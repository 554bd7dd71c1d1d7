"""NIST CTM: `recording channel start duration word confidence`, one word a line, as sclite and Kaldi read it."""

from pathlib import Path

from asr.transcript import Transcript


def render(transcript: Transcript, recording: Path) -> str:
    name = "_".join(recording.stem.split())  # a space would end the field
    channel = transcript.channel or 1
    return "".join(
        f"{name} {channel} {word.start:.2f} {word.end - word.start:.2f} {word.text} {word.confidence:.2f}\n"
        for word in transcript.words
    )
