"""Synthetic speech from espeak-ng, which is inside the `espeakng-loader` wheel, so that nothing is downloaded.

Source of the interface: espeak-ng's `speak_lib.h`. The library has one global state, so a process can have only one
`Synthesizer`.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np

from asr.errors import AsrError

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback gets the samples, and nothing is played
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_EVENT_LIST_TERMINATED, _EVENT_WORD = 0, 1


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthetic speech: samples `(N,)`, float32 in [-1, 1], at `sample_rate` Hz; words with their start times (s)."""

    samples: np.ndarray
    sample_rate: int
    words: tuple[tuple[str, float], ...]


class Synthesizer:
    """A speech synthesiser. `language` is an espeak-ng file such as `gmw/en-US`, `variant` a voice variant."""

    def __init__(self) -> None:
        self._data = Path(espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(self._data).encode(), 0)
        if self.sample_rate <= 0:
            raise AsrError(f"espeak-ng cannot start with its data in {self._data}; install espeakng-loader again")
        self._chunks: list[np.ndarray] = []
        self._events: list[tuple[int, int, float]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = kind(self._receive)  # this reference keeps the callback alive while the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(
        self,
        text: str,
        *,
        language: str,
        variant: str,
        rate: int = 160,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> Speech:
        """Synthesise `text`; `rate` is in words per minute (80 to 450), `pitch` and `pitch_range` are 0 to 100.

        Raises AsrError for an unknown language or variant, which espeak-ng itself does not report.
        """
        if not (self._data / "lang" / language).is_file() or not (self._data / "voices" / "!v" / variant).is_file():
            raise AsrError(f"espeak-ng has no voice {language}+{variant}; choose a file in {self._data}")
        if self._library.espeak_SetVoiceByName(f"{language}+{variant}".encode()) != 0:
            raise AsrError(f"espeak-ng refuses the voice {language}+{variant}; choose another one")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # the default seed changes with the process
        self._chunks, self._events = [], []
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
        if not self._chunks:
            raise AsrError(f"espeak-ng gives no sound for {text!r}; change the text")
        words = tuple((text[start : start + length], second) for start, length, second in self._events)
        samples = np.concatenate(self._chunks).astype(np.float32) / np.float32(32768)
        return Speech(samples, self.sample_rate, words)

    def _receive(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == _EVENT_WORD:
                self._events.append((event.text_position - 1, event.length, event.audio_position / 1000))
            index += 1
        return 0
