"""Which recording to work on next: those without a draft, then those whose draft is least sure."""

from collections.abc import Iterable
from dataclasses import dataclass

from asr.serving.workspace.listing import Listed

_NEW = 1.0  # added to the score of a recording without a draft


@dataclass(frozen=True, slots=True)
class Next:
    """A recording to work on, the reason in words, and its score, the higher the sooner."""

    id: str
    reason: str
    confidence: float | None
    duration: float | None
    score: float


def ranked(recordings: Iterable[Listed]) -> list[Next]:
    """Rank the recordings that are not checked; those that cannot be read are left out.

    Of recordings without a draft, shorter ones come first: they are done soonest.
    """
    found = [_next(one) for one in recordings if one.error is None and one.state != "checked"]
    return sorted(found, key=lambda one: (-one.score, one.duration or 0.0, one.id))


def _next(one: Listed) -> Next:
    if one.state == "new":
        return Next(one.id, "not transcribed yet", None, one.duration, 1.0 + _NEW)
    if one.confidence is None:
        return Next(one.id, _rest(one), None, one.duration, 1.0)
    reason = f"draft with a mean confidence of {one.confidence:.0%}"
    if one.state == "partly":
        reason = f"{_rest(one)}, the others with a mean confidence of {one.confidence:.0%}"
    return Next(one.id, reason, one.confidence, one.duration, round(1.0 - one.confidence, 3))


def _rest(one: Listed) -> str:
    return f"{one.checked} of {one.segments} segments are checked"
