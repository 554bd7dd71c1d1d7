"""The events that a Realtime session sends, in the shapes that OpenAI's clients read."""

import secrets
from typing import Any

from asr.serving.errors import described
from asr.serving.live.realtime_settings import Settings
from asr.transcript import Transcript

Event = dict[str, Any]


def identifier(kind: str) -> str:
    """Return a new identifier: `item_…`."""
    return f"{kind}_{secrets.token_hex(12)}"


def event(kind: str, **fields: Any) -> Event:
    """Return an event with an identifier of its own."""
    return {"type": kind, "event_id": identifier("event"), **fields}


def session_event(settings: Settings, session: str, what: str, *, older: bool) -> Event:
    """Return the event that a session was `created` or `updated`."""
    if older:
        return event(f"transcription_session.{what}", session=settings.shown_flat(session))
    return event(f"session.{what}", session=settings.shown(session))


def error_event(error: Exception, cause: Any = None) -> Event:
    """Return the event that tells of an error; `cause` is the identifier of the client's event, if it has one."""
    _, _, body = described(error)
    return event("error", error={**body["error"], "event_id": cause if isinstance(cause, str) else None})


def item_events(item: str, previous: str | None, *, older: bool) -> list[Event]:
    """Return the events that sound was committed as an item, after the item `previous`."""
    committed = event("input_audio_buffer.committed", item_id=item, previous_item_id=previous)
    shown = {
        "id": item,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    kinds = ("created",) if older else ("added", "done")
    return [
        committed,
        *(event(f"conversation.item.{kind}", item=shown, previous_item_id=previous) for kind in kinds),
    ]


def delta(item: str, text: str) -> Event:
    """Return the event of a part of the text of an item."""
    return _transcription("delta", item, delta=text)


def completed(item: str, transcript: Transcript) -> Event:
    """Return the event of the whole text of an item."""
    usage = {"type": "duration", "seconds": round(transcript.duration, 3)}
    return _transcription("completed", item, transcript=transcript.text, usage=usage)


def failed(item: str, error: Exception) -> Event:
    """Return the event that an item could not be transcribed."""
    _, _, body = described(error)
    return _transcription("failed", item, error=body["error"])


def _transcription(what: str, item: str, **fields: Any) -> Event:
    return event(f"conversation.item.input_audio_transcription.{what}", item_id=item, content_index=0, **fields)
