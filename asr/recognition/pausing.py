"""Live sound through a model that needs whole utterances: an utterance is transcribed when a pause has ended it."""

from typing import Any

import numpy as np
import soxr

from asr.audio import chunk_audio
from asr.recognition.sources import transcribe_recordings
from asr.recognition.speech import between_pauses, find_speech
from asr.recognition.stream import StreamUpdate
from asr.recognition.trained_lengths import piece_lengths
from asr.recognition.transcribe import clip_to, shifted
from asr.recognition.transcriber import Transcriber
from asr.transcript import Transcript, Word, text_of

PAUSE = 0.6  # seconds without speech that end an utterance
_LOOK = 0.25  # seconds of new sound after which pauses are looked for
_MARGIN = 0.3  # seconds before an utterance that belong to it
_CONTEXT = 20.0  # seconds before an utterance by which its level is told from the noise


class PausingStream:
    """Samples in chunks of any size -> words, an utterance at a time. It has the methods of a Stream."""

    def __init__(self, model: Transcriber, sample_rate: int | None = None) -> None:
        """Begin a stream of chunks at `sample_rate` Hz (default: the model's rate)."""
        self.model = model
        self.sample_rate = sample_rate or model.sample_rate
        self._resample = None
        if self.sample_rate != model.sample_rate:
            self._resample = soxr.ResampleStream(self.sample_rate, model.sample_rate, 1, dtype="float32")
        self._longest = round(piece_lengths(model.trained_lengths, utterance=False).longest * model.sample_rate)
        self._kept = np.zeros(0, np.float32)  # samples from `_origin` on
        self._origin = 0  # index of the first kept sample
        self._open = 0  # index of the first sample that is not transcribed
        self._looked = 0  # index of the sample at which pauses were looked for
        self._words: list[Word] = []

    def feed(self, samples: Any) -> StreamUpdate:
        """Take the next samples: an array `(N,)` or `(channels, N)` of float or 16-bit values.

        The words of an utterance come after its pause; until then its text is empty. Raises AudioError for values that
        are no samples.
        """
        self._take(samples)
        before = len(self._words)
        if self._end - self._looked >= _LOOK * self.model.sample_rate:
            self._looked = self._end
            self._look(ended=False)
        return StreamUpdate(tuple(self._words[before:]), "")

    def finish(self) -> Transcript:
        """End the stream: return the transcript of all of it."""
        self._take(np.zeros(0, np.float32), last=True)
        self._look(ended=True)
        duration = self._end / self.model.sample_rate
        words = clip_to(self._words, duration)
        return Transcript(text_of(words), duration, words)

    @property
    def _end(self) -> int:
        return self._origin + len(self._kept)

    def _take(self, samples: Any, *, last: bool = False) -> None:
        chunk = np.asarray(samples)
        if chunk.dtype.kind == "f":
            chunk = chunk.clip(-1, 1)
        if chunk.size:
            chunk = chunk_audio(chunk, self.sample_rate)
        if self._resample is not None:
            chunk = self._resample.resample_chunk(chunk.astype(np.float32), last=last).clip(-1, 1)
        self._kept = np.concatenate([self._kept, chunk.astype(np.float32)])

    def _look(self, *, ended: bool) -> None:
        """Transcribe what pauses have ended, or all if the stream has `ended`; forget samples that are not needed."""
        rate = self.model.sample_rate
        pause, margin = round(PAUSE * rate), round(_MARGIN * rate)
        found = [(self._origin + first, self._origin + end) for first, end in find_speech(self._kept, rate)]
        spans = between_pauses([(max(first, self._open), end) for first, end in found if end > self._open], pause)
        for number, (first, end) in enumerate(spans):
            is_last = number == len(spans) - 1
            if is_last and not ended and self._end - end < pause and self._end - first < self._longest:
                break
            until = self._end if is_last and self._end - end < pause else end + min(margin, pause // 2)
            self._transcribe(max(first - margin, self._open), until)
            self._open = until
        if not spans:
            self._open = max(self._open, self._end - margin)
        oldest = max(self._origin, self._open - round(_CONTEXT * rate))
        self._kept, self._origin = self._kept[oldest - self._origin :], oldest

    def _transcribe(self, first: int, end: int) -> None:
        rate = self.model.sample_rate
        samples = self._kept[first - self._origin : end - self._origin]
        (result,) = transcribe_recordings(self.model, [samples], sample_rate=rate, channel="mix")
        if isinstance(result, Transcript):
            self._words += shifted(result, first / rate).words
