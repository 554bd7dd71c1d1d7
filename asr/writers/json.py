"""JSON: all that a transcript holds, in one object."""

from pathlib import Path
from typing import Any

from asr.files import to_json
from asr.transcript import Transcript, segment_row, word_row


def render(transcript: Transcript, recording: Path) -> str:
    row: dict[str, Any] = {
        "audio_filepath": str(recording),
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if transcript.channel is not None:
        row["channel"] = transcript.channel
    row |= transcript.certainty()
    head = to_json(row, indent=1).removesuffix("\n}")
    segments = ",\n  ".join(to_json(segment_row(segment)) for segment in transcript.segments)
    words = ",\n  ".join(to_json(word_row(word)) for word in transcript.words)
    # One segment or word on each line, which json.dumps cannot do.
    return f'{head},\n "segments": [\n  {segments}\n ],\n "words": [\n  {words}\n ]\n}}\n'
