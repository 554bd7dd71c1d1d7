"""Minutes that drafts save: typing from nothing compared with correcting, both measured while people work."""

from collections.abc import Iterable
from typing import Any

from asr.serving.workspace.document import NO_WORK, Work

_LEAST = 30.0  # seconds of checked audio from which a kind of work counts as measured


def effort(works: Iterable[tuple[Work, Work]]) -> dict[str, Any]:
    """Return the minutes of work and of checked audio for both kinds of work, typed and corrected, and what was saved.

    The minutes saved are those that typing the corrected audio would have taken, less those that correcting took. They
    are None until both kinds are measured.
    """
    typed, corrected = NO_WORK, NO_WORK
    for first, second in works:
        typed = Work(typed.seconds + first.seconds, typed.audio + first.audio)
        corrected = Work(corrected.seconds + second.seconds, corrected.audio + second.audio)
    saved = None
    if min(typed.audio, corrected.audio) >= _LEAST and min(typed.seconds, corrected.seconds) > 0:
        saved = (corrected.audio * typed.seconds / typed.audio - corrected.seconds) / 60
    return {
        "correcting": _minutes(corrected),
        "typing": _minutes(typed),
        "saved_minutes": None if saved is None else round(saved, 1),
    }


def _minutes(work: Work) -> dict[str, float]:
    return {"minutes": round(work.seconds / 60, 2), "audio_minutes": round(work.audio / 60, 2)}
