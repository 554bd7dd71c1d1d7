"""JSON: all that a transcript holds, in one object."""

from collections.abc import Iterable, Mapping
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
    return lay_out(row, map(segment_row, transcript.segments), map(word_row, transcript.words))


def lay_out(head: Mapping[str, Any], segments: Iterable[Mapping[str, Any]], words: Iterable[Mapping[str, Any]]) -> str:
    """Return the object with the fields of `head`, and one segment or word on each line, as json.dumps cannot."""
    lists = {
        name: ",\n  ".join(to_json(row) for row in rows) for name, rows in (("segments", segments), ("words", words))
    }
    fields = to_json(head, indent=1).removesuffix("\n}")
    return fields + "".join(f',\n "{name}": [\n  {lines}\n ]' for name, lines in lists.items()) + "\n}\n"
