"""Transcription while somebody speaks: samples in chunks of any size, the same log-probabilities as offline.

Each stage remembers what it needs: spectra and subsampling remember the last window of their input, the running level
its sums, the recurrent layers their states, the beam its prefixes. The output does not depend on the sizes of chunks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import soxr
import torch
from torch import Tensor

from asr.audio import chunk_audio
from asr.config import Config
from asr.features import Spectrogram, running_level
from asr.model import require_numbers
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import State
from asr.recognition.interface import DecodingModel
from asr.recognition.latency import require_streamable
from asr.recognition.transcribe import clip_to
from asr.text import BLANK
from asr.transcript import Transcript, Word, text_of

PAUSE = 1.0  # seconds of blank frames that end a segment


class StreamingModel(DecodingModel, Protocol):
    """The parts of a recogniser that a stream feeds one after the other."""

    config: Config
    features: Spectrogram
    acoustic_model: Any
    decoder: Any  # asr.decoding.decoder.Decoder, which imports numba, or None for best path

    @property
    def device(self) -> torch.device:
        """The device of the network."""


class StreamUpdate(NamedTuple):
    """The words of segments that have ended, each given once, and the text of the open segment so far."""

    ended: tuple[Word, ...]
    partial: str  # later samples may change its end


class Windowed:
    """A function of a window that moves along a sequence, whose input comes in parts.

    Output `s` is centred on input `s * stride`. It sees at most `look_ahead` inputs after its centre, and the inputs
    of `context` outputs before it. Beyond the ends of the sequence the function pads by itself.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], *, stride: int, context: int, look_ahead: int) -> None:
        self.function = function
        self.stride, self.context, self.look_ahead = stride, context, look_ahead
        self._inputs: Tensor | None = None  # the inputs that later outputs can see
        self._given = 0  # outputs of these inputs that were returned already

    def feed(self, part: Tensor | None, *, last: bool = False) -> Tensor | None:
        """Return the outputs that `part` completes, or with `last` all outputs that are left; None if there is none.

        `part` has any length; None is no input.
        """
        if part is not None:
            self._inputs = part if self._inputs is None else torch.cat([self._inputs, part])
        if self._inputs is None:
            return None
        complete = (len(self._inputs) - 1 - self.look_ahead) // self.stride + 1
        if not last and complete <= self._given:
            return None
        outputs = self.function(self._inputs)[self._given : None if last else complete]
        passed = max(0, complete - self.context)
        self._inputs, self._given = self._inputs[passed * self.stride :], complete - passed
        return outputs


class AcousticStream:
    """Samples -> the log-probabilities of `Recognizer.log_probs`, each as soon as its last sample has come."""

    def __init__(self, model: StreamingModel) -> None:
        """Raise ConfigError for a model that needs whole utterances."""
        require_streamable(model.config.model_dump())
        assert isinstance(model.acoustic_model, AcousticModel)  # an attention decoder cannot stream
        self.network = model.acoustic_model.eval()
        self.model = model
        features, subsampling = model.features, self.network.subsampling
        self._spectra = Windowed(
            lambda samples: features.log_spectrum(samples[None])[0],
            stride=features.hop,
            context=-(-features.window // (2 * features.hop)),
            look_ahead=features.window // 2,
        )
        self._frames = Windowed(
            lambda frames: subsampling(frames[None], torch.tensor([len(frames)], device=frames.device))[0][0],
            stride=subsampling.factor,
            context=2,  # outputs: a convolution sees the inputs of two outputs before, at any stride
            look_ahead=subsampling.look_ahead,
        )
        self._level: Tensor | None = None
        self._states: list[State] | None = None

    @torch.inference_mode()
    def feed(self, samples: np.ndarray, *, last: bool = False) -> Tensor | None:
        """Take the next samples `(N,)`, float32 at the model's rate; return log-probabilities `(S, V)`, or None."""
        features = self.model.features
        part = torch.from_numpy(samples).to(self.model.device) if len(samples) else None
        spectra = self._spectra.feed(part, last=last)
        if spectra is not None:
            spectra, self._level = running_level(spectra[None], self._level, decay=features.level_decay)
            spectra = features.normalize_bins(spectra)[0]
        frames = self._frames.feed(spectra, last=last)
        if frames is None or not len(frames):
            return None
        log_probs, self._states = self.network.recur(frames[None], states=self._states)
        require_numbers(log_probs)
        return log_probs[0].cpu()


class Stream:
    """Samples in chunks of any size -> words, by best path or by the beam of the model's decoder.

    A pause ends a segment: its words are final. The acoustic model keeps its state across segments.
    """

    def __init__(self, model: StreamingModel, sample_rate: int | None = None) -> None:
        """Begin a stream of chunks at `sample_rate` Hz (default: the model's rate).

        Raises ConfigError for a model that needs whole utterances, with the settings to train one that can stream.
        """
        self.model = model
        self.sample_rate = sample_rate or model.sample_rate
        self._acoustic = AcousticStream(model)
        self._resample = None
        if self.sample_rate != model.sample_rate:
            self._resample = soxr.ResampleStream(self.sample_rate, model.sample_rate, 1, dtype="float32")
        self._pause = round(PAUSE * model.sample_rate / model.stride)  # frames
        self._samples = 0  # samples taken so far, at the model's rate
        self._words: list[Word] = []  # words of the segments that have ended
        self._start = 0  # frame at which the open segment starts
        self._segment = _OpenSegment(model)

    def feed(self, samples: Any) -> StreamUpdate:
        """Take the next samples: an array `(N,)` or `(channels, N)` of float or 16-bit values.

        Raises AudioError for values that are no samples.
        """
        return self._take(self._at_model_rate(samples))

    def finish(self) -> Transcript:
        """End the stream: return the transcript of all of it. A finished stream takes no more samples."""
        self._take(self._at_model_rate(np.zeros(0, np.float32), last=True), last=True)
        self._end_segment()
        duration = self._samples / self.model.sample_rate
        words = clip_to(self._words, duration)
        return Transcript(text_of(words), duration, words)

    def _take(self, samples: np.ndarray, *, last: bool = False) -> StreamUpdate:
        self._samples += len(samples)
        before = len(self._words)
        log_probs = self._acoustic.feed(samples, last=last)
        for row in () if log_probs is None else log_probs:
            self._segment.feed(row)
            if self._segment.silent == self._pause:
                self._end_segment()
        return StreamUpdate(tuple(self._words[before:]), self._segment.text())

    def _end_segment(self) -> None:
        rows = self._segment.rows
        if rows:
            self._words += self.model.words(torch.stack(rows), self._start)
        self._start += len(rows)
        self._segment = _OpenSegment(self.model)

    def _at_model_rate(self, samples: Any, *, last: bool = False) -> np.ndarray:
        """Return float32 samples `(N,)` on the 16-bit grid, at their own level; clip what exceeds full scale."""
        chunk = np.asarray(samples)
        if chunk.dtype.kind == "f":
            chunk = chunk.clip(-1, 1)
        if chunk.size:
            chunk = chunk_audio(chunk, self.sample_rate)
        if self._resample is not None:
            chunk = self._resample.resample_chunk(chunk.astype(np.float32), last=last).clip(-1, 1)
            if chunk.size:
                chunk = chunk_audio(chunk, self.model.sample_rate)
        return chunk


class _OpenSegment:
    """The frames since the last pause, and their text so far."""

    def __init__(self, model: StreamingModel) -> None:
        self.rows: list[Tensor] = []  # log-probabilities `(V,)` of each frame
        self.silent = 0  # blank frames at the end
        self._model = model
        self._path: list[int] = []  # best units, repeats merged
        self._last = BLANK
        self._search = model.decoder.search() if model.decoder is not None else None

    def feed(self, row: Tensor) -> None:
        """Take the log-probabilities `(V,)` of the next frame."""
        best = int(row.argmax())
        if best not in (BLANK, self._last):
            self._path.append(best)
        self._last = best
        self.silent = self.silent + 1 if best == BLANK else 0
        self.rows.append(row)
        if self._search is not None:
            self._search.feed(row[None].numpy())

    def text(self) -> str:
        """Return the text so far."""
        units = self._path if self._search is None else self._search.hypotheses()[0].units
        return self._model.text(units)
