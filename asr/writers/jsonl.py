"""JSON Lines: a manifest of the segments between pauses, which `asr train` and `asr score` read."""

from pathlib import Path

from asr.files import to_json
from asr.transcript import Transcript, word_row


def render(transcript: Transcript, recording: Path) -> str:
    lines = []
    for segment in transcript.segments:
        row = {
            "audio_filepath": str(recording.resolve()),
            "offset": round(segment.start, 3),
            "duration": round(segment.end - segment.start, 3),
            "text": segment.text,
            "words": [word_row(word) for word in segment.words],
        }
        lines.append(to_json(row) + "\n")
    return "".join(lines)
