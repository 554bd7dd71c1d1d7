"""The settings of a Realtime transcription session, in both shapes that OpenAI's clients send."""

from dataclasses import dataclass, replace
from typing import Any

from asr.serving.errors import ServiceError
from asr.serving.live.pcm import require_rate

Fields = dict[str, Any]
_FLAT = {  # names of the older shape, and where the newer one has them
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "turn_detection": "turn_detection",
    "input_audio_noise_reduction": "noise_reduction",
}


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How a session finds the ends of turns, in milliseconds."""

    silence: int = 500  # without speech, which end a turn
    prefix: int = 300  # before and after speech, which belong to its turn


_USUAL = TurnDetection()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a session obeys. `turns` is None if the client commits its sound itself."""

    model: str
    language: str | None = None
    rate: int = 24_000  # Hz
    turns: TurnDetection | None = _USUAL

    def shown(self, identifier: str) -> Fields:
        """Return the session as events show it: what it obeys, not what was asked for."""
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": identifier,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": self.rate},
                    "transcription": self._transcription(),
                    "noise_reduction": None,
                    "turn_detection": self._turn_detection(),
                }
            },
            "include": None,
        }

    def shown_flat(self, identifier: str) -> Fields:
        """Return the session in the older shape."""
        return {
            "object": "realtime.transcription_session",
            "id": identifier,
            "input_audio_format": "pcm16",
            "input_audio_transcription": self._transcription(),
            "input_audio_noise_reduction": None,
            "turn_detection": self._turn_detection(),
        }

    def _transcription(self) -> Fields:
        return {"model": self.model, "language": self.language}

    def _turn_detection(self) -> Fields | None:
        if self.turns is None:
            return None
        return {
            "type": "server_vad",
            "silence_duration_ms": self.turns.silence,
            "prefix_padding_ms": self.turns.prefix,
        }


def newer(session: Fields) -> Fields:
    """Return a session of the older shape in the newer one."""
    audio = {new: session[old] for old, new in _FLAT.items() if old in session}
    if isinstance(form := audio.get("format"), str):
        audio["format"] = {"type": "audio/pcm" if form == "pcm16" else form}
    return {"type": "transcription", "audio": {"input": audio}}


def updated(settings: Settings, session: Fields) -> Settings:
    """Return the settings with the fields that a client's session has; fields that mean nothing here change nothing.

    Raises ServiceError that names the field for a value that the service cannot obey.
    """
    if session.get("type", "transcription") != "transcription":
        raise _wrong("session.type", session["type"], '"transcription": this service transcribes, it does not speak')
    audio = _object(_object(session, "audio", "session"), "input", "session.audio")
    where = "session.audio.input"
    if "format" in audio:
        form = _object(audio, "format", where)
        if form.get("type", "audio/pcm") != "audio/pcm":
            raise _wrong(f"{where}.format.type", form["type"], '"audio/pcm", 16-bit samples of one channel')
        settings = replace(settings, rate=_rate(form.get("rate", settings.rate), f"{where}.format.rate"))
    transcription = _object(audio, "transcription", where)
    settings = replace(
        settings,
        model=_name(transcription, "model", where) or settings.model,
        language=_name(transcription, "language", where) or settings.language,
    )
    if "turn_detection" in audio:
        found = audio["turn_detection"]
        settings = replace(settings, turns=None if found is None else _turns(audio, where))
    return settings


def _name(fields: Fields, name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > 200):
        raise _wrong(f"{where}.transcription.{name}", value, "a short text")
    return value


def _turns(audio: Fields, where: str) -> TurnDetection:
    fields, where = _object(audio, "turn_detection", where), f"{where}.turn_detection"
    if fields.get("type", "server_vad") != "server_vad":
        raise _wrong(f"{where}.type", fields["type"], '"server_vad", or turn_detection null')
    return TurnDetection(
        _milliseconds(fields, "silence_duration_ms", where, 200, 10_000, _USUAL.silence),
        _milliseconds(fields, "prefix_padding_ms", where, 0, 1_000, _USUAL.prefix),
    )


def _milliseconds(fields: Fields, name: str, where: str, least: int, most: int, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(f"{where}.{name}", value, f"{least} to {most} ms")
    return round(value)


def _rate(value: Any, param: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(param, value, "a whole number of Hz")
    require_rate(value, param)
    return value


def _object(fields: Fields, name: str, where: str) -> Fields:
    found = fields.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _wrong(f"{where}.{name}", found, "an object")
    return found


def _wrong(param: str, value: Any, allowed: str) -> ServiceError:
    return ServiceError(f"{param} is {str(value)[:100]!r}; it must be {allowed}", param=param, code="invalid_value")
