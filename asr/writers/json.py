"""JSON: everything known, in one object."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr.transcript import Transcript, Word


def render(transcript: Transcript, recording: Path) -> str:
    row: dict[str, Any] = {
        "audio_filepath": str(recording),
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if transcript.channel is not None:
        row["channel"] = transcript.channel
    row |= certainty(transcript)
    head = json.dumps(row, ensure_ascii=False, indent=1).removesuffix("\n}")
    words = ",\n  ".join(json.dumps(word_row(word), ensure_ascii=False) for word in transcript.words)
    return f'{head},\n "words": [\n  {words}\n ]\n}}\n'  # a word a line, which json.dumps does not offer


def certainty(transcript: Transcript) -> dict[str, Any]:
    """The fields `posterior` and `nbest` of a row, if the transcript has them; scores to a thousandth of a nat."""
    row: dict[str, Any] = {} if transcript.posterior is None else {"posterior": round(transcript.posterior, 4)}
    if transcript.nbest:
        row["nbest"] = [{"text": guess.text, "score": round(guess.score, 3)} for guess in transcript.nbest]
    return row


def word_row(word: Word) -> dict[str, Any]:
    """Times to the millisecond, confidence to a thousandth."""
    return {key: value if isinstance(value, str) else round(value, 3) for key, value in asdict(word).items()}
