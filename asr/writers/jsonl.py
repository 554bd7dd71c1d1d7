"""JSON Lines: a manifest of the segments between pauses, which `asr train` and `asr score` read."""

import json
from pathlib import Path

from asr.transcript import Transcript, spoken
from asr.writers.json import word_row


def render(transcript: Transcript, recording: Path) -> str:
    lines = []
    for words in transcript.segments():
        offset, end = words[0].start, words[-1].end
        row = {
            "audio_filepath": str(recording.resolve()),
            "offset": round(offset, 3),
            "duration": round(end - offset, 3),
            "text": spoken(words),
            "words": [word_row(word) for word in words],
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)
