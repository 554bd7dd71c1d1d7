"""Speech recognised while it is spoken: samples in chunks of any size, the same log-probabilities as offline.

Each stage remembers what it needs: spectra and subsampling a window of what came last, the running level its sums, the
recurrent layers their states, the beam its prefixes. What comes out does not depend on how the sound was divided.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import soxr
import torch
from torch import Tensor

from asr.audio import load_audio
from asr.errors import ConfigError
from asr.features import running_level
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import State
from asr.recognition.recognizer import Recognizer
from asr.recognition.transcribe import inside
from asr.text import BLANK
from asr.transcript import Transcript, Word, spoken

PAUSE = 1.0  # seconds of blank frames that end a segment of text


def require_streamable(recognizer: Recognizer) -> AcousticModel:
    """The model's network. Raises ConfigError that tells how to train a model that streams, if this one cannot."""
    model, features = recognizer.config.model, recognizer.config.features
    wanted = {
        "model.bidirectional": False,
        "model.decoder": "ctc",
        "features.level": "running",
        "features.equalize": False,
    }
    found = {
        "model.bidirectional": model.bidirectional,
        "model.decoder": model.decoder,
        "features.level": features.level,
        "features.equalize": features.equalize,
    }
    network = recognizer.acoustic_model
    if (faults := [key for key in wanted if found[key] != wanted[key]]) or not isinstance(network, AcousticModel):
        needs = {"model.bidirectional": "it hears utterances in both directions, from their end too",
                 "model.decoder": "its attention looks at whole utterances",
                 "features.level": "it takes the level of whole utterances",
                 "features.equalize": "it evens out the spectrum of whole recordings"}  # fmt: skip
        options = " ".join(f"--set {key}={str(wanted[key]).lower()}" for key in faults)
        raise ConfigError(
            f"this model cannot stream: {' and '.join(needs[key] for key in faults)}; train one that can: "
            f"asr train CONFIG {options}"
        )
    return network


def latency(recognizer: Recognizer) -> float:
    """Seconds of sound after the middle of an encoder frame that must be heard before it can be computed."""
    features = recognizer.features
    look_ahead = recognizer.acoustic_model.subsampling.look_ahead * features.hop + features.window // 2
    return look_ahead / recognizer.sample_rate


def describe(recognizer: Recognizer) -> str:
    """What `asr info` and the start of a stream tell of it."""
    try:
        require_streamable(recognizer)
    except ConfigError as error:
        return str(error)
    stride = recognizer.stride / recognizer.sample_rate
    return f"a frame every {1000 * stride:.0f} ms, {1000 * latency(recognizer):.0f} ms after its middle"


class Heard(NamedTuple):
    """What a stream has understood: the words that ended with a pause, told once, and the text since, so far."""

    ended: tuple[Word, ...]
    partial: str  # its end may still change


class Windowed:
    """A function of a window that moves along a sequence, of which parts come one after the other.

    Output `s` stands for input `s * stride`, and sees no more than `look_ahead` inputs after it and what `context`
    outputs before it stand for; beyond the ends of the sequence the function pads by itself.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], *, stride: int, context: int, look_ahead: int) -> None:
        self.function = function
        self.stride, self.context, self.look_ahead = stride, context, look_ahead
        self._inputs: Tensor | None = None  # those that outputs to come can see
        self._given = 0  # outputs of them that were given already

    def feed(self, part: Tensor | None, *, last: bool = False) -> Tensor | None:
        """The outputs that `part` (of any length, or None for nothing) completes, or all that are left; or None."""
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
    """Samples -> log-probabilities, as `Recognizer.log_probs` gives them, as soon as they can be known."""

    def __init__(self, recognizer: Recognizer) -> None:
        """Raises ConfigError for a model that needs the end of an utterance before its beginning."""
        self.network = require_streamable(recognizer).eval()
        self.recognizer = recognizer
        features, subsampling = recognizer.features, self.network.subsampling
        self._spectra = Windowed(
            lambda samples: features.log_spectrum(samples[None])[0],
            stride=features.hop,
            context=-(-features.window // (2 * features.hop)),
            look_ahead=features.window // 2,
        )
        self._frames = Windowed(
            lambda frames: subsampling(frames[None], torch.tensor([len(frames)], device=frames.device))[0][0],
            stride=subsampling.factor,
            context=2,  # a convolution sees two of its outputs back, at any stride
            look_ahead=subsampling.look_ahead,
        )
        self._level: Tensor | None = None
        self._states: list[State] | None = None

    @torch.inference_mode()
    def feed(self, samples: np.ndarray, *, last: bool = False) -> Tensor | None:
        """The next samples `(N,)`, float32 at the model's rate -> log-probabilities `(S, V)` on the CPU, or None."""
        features = self.recognizer.features
        part = torch.from_numpy(samples).to(self.recognizer.device) if len(samples) else None
        spectra = self._spectra.feed(part, last=last)
        if spectra is not None:
            spectra, self._level = running_level(spectra[None], self._level, decay=features.level_decay)
            spectra = features.normalize_bins(spectra)[0]
        frames = self._frames.feed(spectra, last=last)
        if frames is None or not len(frames):
            return None
        log_probs, self._states = self.network.recur(frames[None], states=self._states)
        return log_probs[0].cpu()


class Stream:
    """Samples in chunks of any size -> words as they are understood, by best path or the beam of the model's decoder.

    A pause ends a segment of text, which the decoder then leaves behind; the acoustic model's state goes on.
    """

    def __init__(self, recognizer: Recognizer, sample_rate: int | None = None) -> None:
        """`sample_rate` is that of the chunks, in Hz; by default the model's. Raises ConfigError as AcousticStream."""
        self.recognizer = recognizer
        self.sample_rate = sample_rate or recognizer.sample_rate
        self._acoustic = AcousticStream(recognizer)
        self._resample = None
        if self.sample_rate != recognizer.sample_rate:
            self._resample = soxr.ResampleStream(self.sample_rate, recognizer.sample_rate, 1, dtype="float32")
        self._pause = round(PAUSE * recognizer.sample_rate / recognizer.stride)  # frames
        self._samples = 0  # heard, at the model's rate
        self._words: list[Word] = []  # of the segments that have ended
        self._start = 0  # frame at which this segment starts
        self._segment = Segment(recognizer)

    def feed(self, samples: Any) -> Heard:
        """Hears the next samples: an array `(N,)` or `(channels, N)`, as `load_audio` takes it.

        Raises AudioError for samples that are none.
        """
        return self._hear(self._at_model_rate(samples))

    def finish(self) -> Transcript:
        """Hears that nothing more comes; everything that was said. Then a new stream is needed."""
        self._hear(self._at_model_rate(np.zeros(0, np.float32), last=True), last=True)
        self._end_segment()
        duration = self._samples / self.recognizer.sample_rate
        words = inside(self._words, duration)
        return Transcript(spoken(words), duration, words)

    def _hear(self, samples: np.ndarray, *, last: bool = False) -> Heard:
        self._samples += len(samples)
        before = len(self._words)
        log_probs = self._acoustic.feed(samples, last=last)
        for row in () if log_probs is None else log_probs:
            self._segment.feed(row)
            if self._segment.silent == self._pause:
                self._end_segment()
        return Heard(tuple(self._words[before:]), self._segment.text())

    def _end_segment(self) -> None:
        rows = self._segment.rows
        if rows:
            self._words += self.recognizer.words(torch.stack(rows), self._start)
        self._start += len(rows)
        self._segment = Segment(self.recognizer)

    def _at_model_rate(self, samples: Any, *, last: bool = False) -> np.ndarray:
        """Float32 samples `(N,)` on the 16-bit grid, as `load_audio` gives them. What exceeds full scale is clipped."""
        chunk = np.asarray(samples)
        if chunk.dtype.kind == "f":
            chunk = chunk.clip(-1, 1)
        if chunk.size:
            chunk = load_audio(chunk, self.sample_rate, source_rate=self.sample_rate, channel="mix")
        if self._resample is not None:
            chunk = self._resample.resample_chunk(chunk.astype(np.float32), last=last).clip(-1, 1)
            if chunk.size:
                chunk = load_audio(chunk, self.recognizer.sample_rate, source_rate=self.recognizer.sample_rate)
        return chunk


class Segment:
    """What is said between two pauses, as far as it was heard."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.rows: list[Tensor] = []  # log-probabilities `(V,)` of each frame
        self.silent = 0  # frames of blank at its end
        self._recognizer = recognizer
        self._path: list[int] = []  # best units, repeats merged
        self._last = BLANK
        self._search = None
        if recognizer.decoder is not None:
            self._search = recognizer.decoder.search()

    def feed(self, row: Tensor) -> None:
        """The next frame."""
        best = int(row.argmax())
        if best not in (BLANK, self._last):
            self._path.append(best)
        self._last = best
        self.silent = self.silent + 1 if best == BLANK else 0
        self.rows.append(row)
        if self._search is not None:
            self._search.feed(row[None].numpy())

    def text(self) -> str:
        """The text so far."""
        units = self._path if self._search is None else self._search.hypotheses()[0].units
        return self._recognizer.text(units)
