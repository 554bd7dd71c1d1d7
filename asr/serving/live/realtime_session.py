"""One Realtime session: its sound, divided into items by turns or by the client, each an engine stream."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from starlette.websockets import WebSocketDisconnect

from asr.errors import AsrError
from asr.recognition.turns import DECIDE, TurnDetector
from asr.serving.engine.engine import Engine, EngineStream
from asr.serving.errors import ServiceError, TooLarge
from asr.serving.live.deltas import Deltas
from asr.serving.live.pcm import Samples
from asr.serving.live.realtime_events import (
    Event,
    completed,
    delta,
    event,
    failed,
    identifier,
    item_events,
    session_event,
)
from asr.serving.live.realtime_settings import Settings, newer, updated
from asr.serving.requests.openai import THEIRS

_LONGEST = 60.0  # seconds of a turn without a pause
_KEPT = 2.0  # seconds of sound kept while nobody speaks: speech is known as such only later
_SHORTEST = 0.1  # seconds of sound that can be committed

Send = Callable[[Event], Awaitable[None]]


@dataclass(slots=True)
class _Item:
    """Sound that is transcribed as one message. Positions are samples from the start of the session."""

    start: int
    stream: EngineStream | None  # None if it could not be opened
    fed: int  # end of the samples that the stream has
    id: str = field(default_factory=lambda: identifier("item"))
    words: list[str] = field(default_factory=list)  # final ones
    deltas: Deltas = field(default_factory=Deltas)
    error: Exception | None = None


class Session:
    """Obeys the events of a client. `send` is called with each event for it."""

    def __init__(self, engine: Engine, send: Send, settings: Settings, *, block: int, older: bool) -> None:
        """Begin with `settings`; `block` bounds the bytes of one append; `older` clients read the older events."""
        self._engine, self._send, self._settings, self._block, self._older = engine, send, settings, block, older
        self._id = identifier("sess")
        self._item: _Item | None = None
        self._previous: str | None = None  # the last item that was committed
        self._begin()

    @property
    def working(self) -> bool:
        """Return True while an item is open."""
        return self._item is not None

    async def created(self) -> None:
        """Tell the client of the session."""
        await self._send(session_event(self._settings, self._id, "created", older=self._older))

    async def obey(self, message: dict[str, Any]) -> None:
        """Obey an event of the client. Raises ServiceError for one that cannot be obeyed; it changes nothing."""
        kind = message.get("type")
        if kind in ("session.update", "transcription_session.update"):
            await self._update(message, older=kind.startswith("transcription"))
        elif kind == "input_audio_buffer.append":
            await self._append(self._decoded(message.get("audio")))
        elif kind == "input_audio_buffer.commit":
            await self._commit_now()
        elif kind == "input_audio_buffer.clear":
            await self.close()
            self._free = self._total
            self._detector_restart()
            await self._send(event("input_audio_buffer.cleared"))
        else:
            raise ServiceError(
                f"the event {str(kind)[:100]!r} means nothing in a transcription session; there are session.update and "
                "input_audio_buffer.append, .commit and .clear",
                param="type",
                code="invalid_event",
            )

    async def close(self) -> None:
        """Forget the open item."""
        item, self._item = self._item, None
        if item is not None and item.stream is not None:
            await item.stream.close()

    def _begin(self) -> None:
        """Begin to count samples, at the rate of the settings."""
        self._samples = Samples("pcm16")
        self._total = self._free = self._origin = 0  # samples so far; end of the last item; first of `_recent`
        self._recent = np.zeros(0, np.int16)
        self._find_turns()

    def _find_turns(self) -> None:
        turns, rate = self._settings.turns, self._settings.rate
        self._detector = None
        self._detected = self._total  # the sample at which the detector began
        if turns is not None:
            self._detector = TurnDetector(
                rate, pause=turns.silence / 1000, longest=_LONGEST, margin=turns.prefix / 1000
            )

    def _detector_restart(self) -> None:
        if self._detector is not None:
            self._detector.restart()

    async def _update(self, message: dict[str, Any], *, older: bool) -> None:
        session = message.get("session")
        if not isinstance(session, dict):
            raise ServiceError("the event has no session to update", param="session", code="invalid_value")
        settings = updated(self._settings, newer(session) if older else session)
        model = None if settings.model in THEIRS else settings.model
        settings = replace(settings, model=self._engine.info(model).name)
        before, self._settings = self._settings, settings
        if settings != before and self._item is not None:
            await self._commit(self._total)  # an item has one model and one rate
            self._detector_restart()
        if settings.rate != before.rate:
            self._begin()
        elif settings.turns != before.turns:
            self._find_turns()
        await self._send(session_event(settings, self._id, "updated", older=older))

    def _decoded(self, audio: Any) -> np.ndarray:
        if not isinstance(audio, str):
            raise ServiceError("the field audio must be a text in base64", param="audio", code="invalid_audio")
        if len(audio) * 3 // 4 > self._block + 2:
            raise TooLarge(f"an append has {len(audio) * 3 // 4} bytes of sound; send {self._block} at most")
        try:
            return self._samples(base64.b64decode(audio, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ServiceError(f"the audio is no base64: {error}", param="audio", code="invalid_audio") from None

    async def _append(self, samples: np.ndarray) -> None:
        step = round(DECIDE * self._settings.rate)
        for begin in range(0, len(samples), step):
            part = samples[begin : begin + step]
            self._recent = np.concatenate([self._recent, part])
            self._total += len(part)
            if self._detector is None:
                if self._item is None:
                    await self._open(self._free)
                await self._feed(self._total)
            else:
                await self._detect(self._detector, part)
            self._forget()

    async def _detect(self, detector: TurnDetector, part: np.ndarray) -> None:
        for turn in detector.feed(part.astype(np.float32) / 32768):
            if turn.end is None:
                await self._open(turn.start + self._detected)
                assert self._item is not None
                await self._send(
                    event("input_audio_buffer.speech_started", audio_start_ms=self._ms(self._item.start),
                          item_id=self._item.id)
                )  # fmt: skip
            elif self._item is not None:
                end = max(turn.end + self._detected, self._item.fed)
                await self._feed(end)
                await self._send(
                    event("input_audio_buffer.speech_stopped", audio_end_ms=self._ms(end), item_id=self._item.id)
                )
                await self._commit(end)
        if self._item is not None:
            await self._feed(min(self._total, max(self._item.fed, detector.known + self._detected)))

    async def _commit_now(self) -> None:
        if self._item is None:
            await self._open(self._free)
        assert self._item is not None
        if self._total - self._item.start < _SHORTEST * self._settings.rate:
            await self.close()
            raise ServiceError(
                f"there are {self._ms(self._total - self._free)} ms of sound to commit; send "
                f"{round(1000 * _SHORTEST)} ms at least",
                code="input_audio_buffer_commit_empty",
            )
        await self._commit(self._total)
        self._detector_restart()

    async def _open(self, start: int) -> None:
        """Open an item that begins at sample `start`, or at the first that is left of its sound."""
        start = max(start, self._free, self._origin)
        self._item = _Item(start, None, start)
        try:
            self._item.stream = await self._engine.open_stream(self._settings.model, self._settings.rate)
        except AsrError as error:
            self._item.error = error

    async def _feed(self, end: int) -> None:
        """Give the open item its samples up to `end`, and tell what is new in its text."""
        item = self._item
        assert item is not None
        samples = self._recent[item.fed - self._origin : end - self._origin]
        item.fed = max(item.fed, end)
        if not len(samples) or item.stream is None or item.error is not None:
            return
        try:
            ended, partial = await item.stream.feed(samples)
        except WebSocketDisconnect:
            raise
        except Exception as error:
            item.error = error
            return
        item.words += [word.text for word in ended]
        if text := item.deltas.update(item.words, partial):
            await self._send(delta(item.id, text))

    async def _commit(self, end: int) -> None:
        """End the open item at sample `end`: tell of it, and of its text."""
        await self._feed(end)
        item, self._item = self._item, None
        assert item is not None
        self._free = item.fed
        for one in item_events(item.id, self._previous, older=self._older):
            await self._send(one)
        self._previous = item.id
        try:
            if item.error is not None or item.stream is None:
                raise item.error or ServiceError("the item was not opened")
            transcript = await item.stream.finish()
        except Exception as error:
            await self._send(failed(item.id, error))
            return
        finally:
            if item.stream is not None:
                await item.stream.close()
        if text := item.deltas.rest(transcript.text):
            await self._send(delta(item.id, text))
        await self._send(completed(item.id, transcript))

    def _forget(self) -> None:
        """Forget the samples that no item can begin with."""
        turns = self._settings.turns
        kept = 0.0 if turns is None else _KEPT + turns.prefix / 1000
        first = self._total - round(kept * self._settings.rate) if self._item is None else self._item.fed
        passed = max(0, first - self._origin)
        self._recent, self._origin = self._recent[passed:], self._origin + passed

    def _ms(self, samples: int) -> int:
        return round(1000 * samples / self._settings.rate)
