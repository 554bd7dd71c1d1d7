"""Samples in chunks of any size -> turns: the speech between two pauses, told while somebody speaks. No torch here."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from asr.recognition.speech import REACH, STEP, band_powers, between_pauses, speech_frames

MARGIN = 0.3  # seconds around the speech of a turn that belong to it
DECIDE = 0.2  # seconds from one decision to the next
_MEMORY = 10.0  # seconds whose floor and loud level decide what is speech
_FIRST = 1.0  # seconds before the first decision: of less sound, the floor is not known
_SHORTEST = 0.1  # seconds of speech that begin a turn
_DIP = 0.1  # seconds between two sounds of this speech, at most


class Turn(NamedTuple):
    """A turn by the numbers of its first sample and of the sample after its last; `end` is None while it goes on."""

    start: int
    end: int | None


class TurnDetector:
    """Finds turns in a stream, by the rules that divide long recordings. Chunks of any size give equal turns.

    `pause` are the seconds without speech that end a turn. A turn that lasts `longest` seconds is cut at the quietest
    place of its second half.
    """

    def __init__(self, sample_rate: int, *, pause: float, longest: float, margin: float = MARGIN) -> None:
        """Begin a stream at `sample_rate` Hz; `margin` seconds before and after its speech belong to a turn."""
        self._step = round(STEP * sample_rate)  # samples of a frame; all counts below are frames
        self._pause, self._longest, self._margin = (round(seconds / STEP) for seconds in (pause, longest, margin))
        self._waiting = np.zeros(0, np.float32)  # samples that make no whole block yet
        self._bands = _Bands(sample_rate)
        self._history = np.zeros((0, 0), np.float32)  # powers of the last frames
        self._known = 0  # frames whose powers are known
        self._cut = 0  # end of the last turn
        self._start: int | None = None  # start of the open turn; None between two turns
        self._last = 0  # end of the speech of the open turn

    def feed(self, samples: np.ndarray) -> list[Turn]:
        """Take the next samples `(N,)`, float32; return the turns that begin or end, in order."""
        return list(self._turns(samples))

    @property
    def known(self) -> int:
        """Return the end of the samples that turns have been sought in."""
        return self._known * self._step

    def restart(self) -> None:
        """Forget the open turn: a turn begins with the speech after all samples so far."""
        self._start, self._cut = None, self._known

    def _turns(self, samples: np.ndarray) -> Iterator[Turn]:
        self._waiting = np.concatenate([self._waiting, samples])
        block = round(DECIDE / STEP) * self._step
        while len(self._waiting) >= block:
            new = self._bands.feed(self._waiting[:block])
            self._waiting = self._waiting[block:]
            if len(new):
                self._known += len(new)
                kept = [self._history, new] if len(self._history) else [new]
                self._history = np.concatenate(kept)[-round(_MEMORY / STEP) :]
                if self._known >= _FIRST / STEP:
                    yield from self._decide()

    def _decide(self) -> Iterator[Turn]:
        origin = self._known - len(self._history)
        found = [(origin + first, origin + end) for first, end in speech_frames(self._history)]
        while True:
            sounds = [(max(first, self._cut), end) for first, end in found if end > self._cut]
            if self._start is None:
                spans = between_pauses(sounds, round(_DIP / STEP))
                begun = next((first for first, end in spans if end - first >= _SHORTEST / STEP), None)
                if begun is None:
                    return
                self._start, self._last = max(self._cut, begun - self._margin), begun
                yield Turn(self._start * self._step, None)
            spans = between_pauses([(first, end) for first, end in sounds if end > self._last], self._pause)
            following = next((first for first, _ in spans if first - self._last >= self._pause), None)
            if following is None and spans:
                self._last = spans[0][1]
                following = spans[1][0] if len(spans) > 1 else None
            pause = (self._known if following is None else following) - self._last
            if pause >= self._pause:
                yield self._end(self._last + min(self._margin, pause // 2))
            elif self._known - self._start >= self._longest:
                half = self._history[-((self._known - self._start) // 2) :]
                yield self._end(self._known - len(half) + int(half.sum(axis=1).argmin()))
            else:
                return

    def _end(self, end: int) -> Turn:
        assert self._start is not None
        turn = Turn(self._start * self._step, end * self._step)
        self._start, self._cut = None, end
        return turn


class _Bands:
    """Samples in parts -> the powers of `band_powers`, each frame as soon as its last sample has come."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._step = round(STEP * sample_rate)
        self._samples = np.zeros(0, np.float32)  # the samples that later frames depend on
        self._origin = 0  # frame at which they begin
        self._given = 0  # frames

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return the powers `(T, bands)` of the frames that they complete."""
        self._samples = np.concatenate([self._samples, samples])
        complete = self._origin + len(self._samples) // self._step - REACH + 1
        if complete <= self._given:
            return np.zeros((0, 0), np.float32)
        powers = band_powers(self._samples, self._sample_rate)[self._given - self._origin : complete - self._origin]
        self._given = complete
        passed = max(0, complete - REACH - self._origin)
        self._samples, self._origin = self._samples[passed * self._step :], self._origin + passed
        return powers
