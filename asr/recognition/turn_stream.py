"""Transcription while somebody speaks with a model that needs whole utterances: it answers at pauses. No torch here."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from asr.errors import ConfigError
from asr.recognition.incoming import Incoming
from asr.recognition.latency import describe, require_streamable
from asr.recognition.stream import Stream, StreamingModel, StreamUpdate
from asr.recognition.trained_lengths import TrainedLengths, piece_lengths
from asr.recognition.transcribe import shifted
from asr.recognition.turns import DECIDE, TurnDetector
from asr.transcript import Transcript, Word, text_of

PAUSE = 0.6  # seconds without speech that end a turn
_SILENT = 5.0  # seconds kept while nobody speaks: the first sounds of a stream are known as speech only later


class WholeModel(Protocol):
    """The parts of a recogniser that turns need."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def trained_lengths(self) -> TrainedLengths | None:
        """The lengths that the model was trained on; None if its file does not state them."""

    @property
    def has_ctc(self) -> bool:
        """Return True if the model can time words."""

    def transcribe(self, recording: Any, sample_rate: int | None = None) -> Transcript:
        """Transcribe an array `(N,)` of 16-bit samples."""


class LiveModel(WholeModel, StreamingModel, Protocol):
    """The parts of a recogniser that transcription of live sound needs, whatever its directions."""

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the sections `features` and `model` of the configuration."""


class TurnStream:
    """Samples in chunks of any size -> words, turn by turn: the sound of each turn is transcribed as a recording.

    A pause of `PAUSE` seconds ends a turn. A stream without such a pause gives what `asr transcribe` gives for all of
    it. There is no text before the end of a turn. Sounds between turns are not transcribed.
    """

    def __init__(self, model: WholeModel, sample_rate: int | None = None) -> None:
        """Begin a stream of chunks at `sample_rate` Hz (default: the model's rate).

        Raises ConfigError for a model that cannot time words.
        """
        if not model.has_ctc:
            raise ConfigError(
                "this model cannot time words, which live sound needs; transcribe recordings with it, or train with "
                "--set model.decoder=ctc"
            )
        self.model = model
        self.sample_rate = sample_rate or model.sample_rate
        longest = piece_lengths(model.trained_lengths, utterance=False).longest
        self._incoming = Incoming(self.sample_rate, model.sample_rate)
        self._turns = TurnDetector(model.sample_rate, pause=PAUSE, longest=longest)
        self._start: int | None = None  # sample at which the open turn begins
        self._kept = np.zeros(0, np.int16)  # samples of the open turn, or the last ones
        self._origin = 0  # number of the first of them
        self._words: list[Word] = []
        self._any = False  # a turn has begun

    def feed(self, samples: Any) -> StreamUpdate:
        """Take the next samples: an array `(N,)` or `(channels, N)` of float or 16-bit values.

        Raises AudioError for values that are no samples.
        """
        return StreamUpdate(tuple(self._take(self._incoming(samples))), "")

    def finish(self) -> Transcript:
        """End the stream: return the transcript of all of it. A finished stream takes no more samples."""
        self._take(self._incoming.rest())
        end = self._origin + len(self._kept)
        if self._start is not None or not self._any:
            self._transcribe(self._origin if self._start is None else self._start, end)
        return Transcript(text_of(self._words), end / self.model.sample_rate, tuple(self._words))

    def _take(self, samples: np.ndarray) -> list[Word]:
        """Take samples at the model's rate; return the words of the turns that end."""
        before = len(self._words)
        block = round(DECIDE * self.model.sample_rate)
        for start in range(0, len(samples), block):  # in parts, so that an array of any length is forgotten as it goes
            part = samples[start : start + block]
            self._kept = np.concatenate([self._kept, np.round(part * 32768).astype(np.int16)])
            for turn in self._turns.feed(part):
                if turn.end is None:
                    self._start, self._any = turn.start, True
                else:
                    self._transcribe(turn.start, turn.end)
                    self._start = None
                    self._forget(turn.end)
            if self._start is None:
                self._forget(self._origin + len(self._kept) - round(_SILENT * self.model.sample_rate))
        return self._words[before:]

    def _forget(self, end: int) -> None:
        """Forget the samples before sample `end`."""
        passed = max(0, end - self._origin)
        self._kept, self._origin = self._kept[passed:], self._origin + passed

    def _transcribe(self, start: int, end: int) -> None:
        """Append the words of samples from `start`, or from the first kept one, to `end`."""
        start = max(start, self._origin)
        if end > start:
            rate = self.model.sample_rate
            samples = self._kept[start - self._origin : end - self._origin]
            self._words += shifted(self.model.transcribe(samples, rate), start / rate).words


def open_stream(model: LiveModel, sample_rate: int | None = None) -> Stream | TurnStream:
    """Begin a stream: word by word if the model can stream, else turn by turn."""
    return Stream(model, sample_rate) if streams(model.settings) else TurnStream(model, sample_rate)


def streams(settings: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return True if a model of these settings gives text before a turn has ended."""
    try:
        require_streamable(settings)
    except ConfigError:
        return False
    return True


def describe_live(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Describe in one line when a model of these settings answers in a stream."""
    if streams(settings):
        return describe(settings)
    return f"answers at pauses, because it needs whole utterances: {PAUSE + DECIDE:.1f} s after the end of speech"
