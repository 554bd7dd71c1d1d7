"""Transcription while somebody speaks: samples in chunks of any size -> words, the same as offline. No torch here.

The stream of the model and the beam remember what they need, so the output does not depend on the sizes of chunks.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from asr.recognition.incoming import Incoming
from asr.recognition.interface import DecodingModel
from asr.recognition.transcribe import clip_to
from asr.text import BLANK
from asr.transcript import Transcript, Word, text_of

PAUSE = 1.0  # seconds of blank frames that end a segment
LONGEST = 60.0  # seconds of a segment without such a pause: it is cut, so that memory does not grow


class StreamUpdate(NamedTuple):
    """The words of segments that have ended, each given once, and the text of the open segment so far."""

    ended: tuple[Word, ...]
    partial: str  # later samples may change its end


class AcousticStream(Protocol):
    """Samples -> the frames of the whole recording, each as soon as its last sample has come.

    Frames are CTC's log-probabilities `(S, V)`, or the encoder states `(S, D)` of a transducer.
    """

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray | None:
        """Take the next samples `(N,)`, float32 at the model's rate; return new frames, or None."""


class StreamingModel(DecodingModel, Protocol):
    """The parts of a recogniser that a stream needs."""

    decoder: Any  # asr.decoding.decoder.Decoder, which imports numba, or None for best path

    @property
    def by_best_path(self) -> bool:
        """Return True if the text is the most probable unit of each frame."""

    def unit_rows(self, frames: np.ndarray) -> np.ndarray:
        """Return CTC's log-probabilities `(S, V)` of frames."""

    def beam(self) -> Any:
        """Return the beam search without language models."""

    def acoustic_stream(self) -> AcousticStream:
        """Begin a stream of samples. Raises ConfigError for a model that needs whole utterances."""


class Stream:
    """Samples in chunks of any size -> words, by best path or by the beam of the model's decoder.

    A pause ends a segment: its words are final. The acoustic model keeps its state across segments. A segment of a
    minute without such a pause is cut at the longest pause of its second half.
    """

    def __init__(self, model: StreamingModel, sample_rate: int | None = None) -> None:
        """Begin a stream of chunks at `sample_rate` Hz (default: the model's rate).

        Raises ConfigError for a model that needs whole utterances, with the settings to train one that can stream.
        """
        self.model = model
        self.sample_rate = sample_rate or model.sample_rate
        self._acoustic = model.acoustic_stream()
        self._incoming = Incoming(self.sample_rate, model.sample_rate)
        self._pause, self._longest = (round(seconds * model.sample_rate / model.stride) for seconds in (PAUSE, LONGEST))
        self._samples = 0  # samples taken so far, at the model's rate
        self._words: list[Word] = []  # words of the segments that have ended
        self._start = 0  # frame at which the open segment starts
        self._segment = _OpenSegment(model)

    def feed(self, samples: Any) -> StreamUpdate:
        """Take the next samples: an array `(N,)` or `(channels, N)` of float or 16-bit values.

        Raises AudioError for values that are no samples.
        """
        return self._take(self._incoming(samples))

    def finish(self) -> Transcript:
        """End the stream: return the transcript of all of it. A finished stream takes no more samples."""
        self._take(self._incoming.rest(), last=True)
        self._end_segment()
        duration = self._samples / self.model.sample_rate
        words = clip_to(self._words, duration)
        return Transcript(text_of(words), duration, words)

    def _take(self, samples: np.ndarray, *, last: bool = False) -> StreamUpdate:
        self._samples += len(samples)
        before = len(self._words)
        frames = self._acoustic.feed(samples, last=last)
        bests = () if frames is None else self.model.unit_rows(frames).argmax(axis=1).tolist()
        for row, best in zip(() if frames is None else frames, bests, strict=True):
            self._segment.feed(row, best)
            if self._segment.silent == self._pause:
                self._end_segment()
            elif len(self._segment.rows) == self._longest:
                self._cut_segment()
        return StreamUpdate(tuple(self._words[before:]), self._segment.text())

    def _cut_segment(self) -> None:
        """End the open segment at its longest pause; the frames after the pause begin the next segment."""
        rows, bests = self._segment.rows, self._segment.bests
        cut = longest_pause([best == BLANK for best in bests], len(rows) // 2)
        self._segment.rows = rows[:cut]
        self._end_segment()
        for row, best in zip(rows[cut:], bests[cut:], strict=True):
            self._segment.feed(row, best)

    def _end_segment(self) -> None:
        rows = self._segment.rows
        if rows:
            self._words += self.model.words(np.stack(rows), self._start)
        self._start += len(rows)
        self._segment = _OpenSegment(self.model)


class _OpenSegment:
    """The frames since the last pause, and their text so far."""

    def __init__(self, model: StreamingModel) -> None:
        self.rows: list[np.ndarray] = []  # a row for each frame: log-probabilities `(V,)` or the encoder state `(D,)`
        self.bests: list[int] = []  # CTC's most probable unit of each frame
        self.silent = 0  # blank frames at the end
        self._model = model
        self._path: list[int] = []  # best units, repeats merged
        self._last = BLANK
        decoder = None if model.by_best_path else model.decoder or model.beam()
        self._search = None if decoder is None else decoder.search()

    def feed(self, row: np.ndarray, best: int) -> None:
        """Take the next frame, whose most probable unit is `best`."""
        if best not in (BLANK, self._last):
            self._path.append(best)
        self._last = best
        self.silent = self.silent + 1 if best == BLANK else 0
        self.rows.append(row)
        self.bests.append(best)
        if self._search is not None:
            self._search.feed(row[None])

    def text(self) -> str:
        """Return the text so far."""
        units = self._path if self._search is None else self._search.hypotheses()[0].units
        return self._model.text(units)


def longest_pause(silent: list[bool], start: int) -> int:
    """Return the middle of the longest run of silent frames from frame `start` on; the end of all if there is none."""
    best, cut, begin = 0, len(silent), start
    for frame in range(start, len(silent) + 1):
        if frame == len(silent) or not silent[frame]:
            if frame - begin > best:
                best, cut = frame - begin, (begin + frame) // 2
            begin = frame + 1
    return cut
