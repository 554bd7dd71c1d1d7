"""Tab-separated words: start and end in seconds, confidence, word. Spreadsheets and Audacity's labels read it."""

from pathlib import Path

from asr.transcript import Transcript


def render(transcript: Transcript, recording: Path) -> str:
    rows = [f"{word.start:.3f}\t{word.end:.3f}\t{word.confidence:.3f}\t{word.text}" for word in transcript.words]
    return "\n".join(["start\tend\tconfidence\tword", *rows]) + "\n"
