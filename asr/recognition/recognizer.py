"""The recogniser: waveforms in, texts out, by one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.frames`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from asr.batching import pad
from asr.config import Config, ModelConfig
from asr.decoding.attention import decode
from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.times import words_on_path
from asr.equalize import equalize
from asr.errors import ConfigError
from asr.model import SpeechModel
from asr.nn.attention import EncoderDecoder
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import Kernels
from asr.recognition.steady import blank, is_steady, silence
from asr.text import Units
from asr.transcript import Transcript, Word, spoken

if TYPE_CHECKING:
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import Rejection
    from asr.recognition.stream import Stream

RecognitionNetwork = AcousticModel | EncoderDecoder
_DECODER_PREFIX = "decoder."  # of the tensors that are language models, not weights


def recognition_network(config: ModelConfig, *, num_bins: int, num_units: int, kernels: Kernels) -> RecognitionNetwork:
    """What stands on top of the features: an encoder with CTC, with an attention decoder, or with both."""
    if config.decoder == "ctc":
        return AcousticModel(num_bins=num_bins, num_units=num_units, kernels=kernels, **config.encoder)
    ctc_weight, _ = config.loss_weights
    return EncoderDecoder(
        num_bins=num_bins, num_units=num_units, ctc_weight=ctc_weight, kernels=kernels, **config.encoder
    )


class Recognizer(SpeechModel[RecognitionNetwork]):
    """A speech recogniser: an acoustic model, the units it emits, and the decoder that makes texts of them."""

    task, outputs, outputs_before = "recognition", "units", 1

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """A recogniser with fresh weights. `summary` is what `asr info` shows of its training."""
        super().__init__(config, partial(recognition_network, num_units=len(units)), summary)
        self.units = units
        self.symbols = units.symbols
        self.decoder: Decoder | None = None  # best path, unless `asr tune` has found a language model that helps
        self.confidence: Calibration | None = None  # what `asr tune` finds too
        self.rejection: Rejection | None = None

    @property
    def has_ctc(self) -> bool:
        """Whether the model tells what is said in each frame, and so when; attention alone does not."""
        return self.config.model.decoder != "attention"

    def require_ctc_search(self) -> None:
        """Raises ConfigError unless the model's texts come from a search over CTC's log-probabilities alone."""
        if self.config.model.decoder != "ctc":
            raise ConfigError(
                "language models, hotwords, phrases and n-best lists belong to the search over CTC's log-probabilities "
                "and this model decodes with attention; train one with --set model.decoder=ctc"
            )

    @property
    def stride(self) -> int:
        """Samples from the middle of an encoder frame to that of the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    @torch.inference_mode()
    def frames(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> what the model's decoder reads, lengths `(B,)` in frames.

        That is CTC's log-probabilities `(B, S, V)`, or for an attention decoder encoder states `(B, S, D)`.
        """
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.compute(audio, lengths, self.acoustic_model.encode)
        frames, lengths = self.compute(audio, lengths)
        return frames, lengths

    @torch.inference_mode()
    def ctc(self, frames: Tensor) -> Tensor:
        """CTC's log-probabilities `(B, S, V)` in `frames`. Raises ConfigError for a model that has attention alone."""
        if not isinstance(self.acoustic_model, EncoderDecoder):
            return frames
        if not self.has_ctc:
            raise ConfigError(
                "this model has no CTC output (model.decoder: attention), so it cannot tell what is said when; "
                "train one that can: asr train CONFIG --set model.decoder=joint"
            )
        log_probs = self.acoustic_model.log_probs(frames.to(self.device))
        log_probs[~frames.any(dim=-1)] = blank(1, len(self.units)).to(self.device)
        return log_probs

    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> log-probabilities `(B, S, V)`, lengths `(B,)` in frames.

        Raises ConfigError as `ctc` does.
        """
        frames, lengths = self.frames(audio, lengths)
        return self.ctc(frames), lengths

    @torch.inference_mode()
    def losses(self, frames: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
        """The loss of each text in nats, `(B,)`, as training counts it."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            return self.acoustic_model.losses(frames, lengths, targets)
        return ctc_loss(frames, lengths, targets)

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """The `frames` of many waveforms, batched by `read_batches`: `(indices, frames, lengths)`.

        Those of a steady sound say that nothing is said, all blank or all zero: a model would guess words in it.
        """
        for indices, waveforms in self.read_batches(num_samples, read):
            frames, lengths = self.frames(*pad(waveforms))
            for row, waveform in zip(frames, waveforms, strict=True):
                if is_steady(waveform, self.sample_rate):
                    with torch.inference_mode():
                        row.zero_() if isinstance(self.acoustic_model, EncoderDecoder) else silence(row)
            yield indices, frames, lengths

    def texts(self, frames: Tensor, lengths: Tensor) -> list[str]:
        """The transcripts that `frames` decode to."""
        return [self.text(hypothesis.units) for hypothesis in self.hypotheses(frames, lengths)]

    def hypotheses(self, frames: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """The same as units, by the model's own decoder."""
        if isinstance(self.acoustic_model, EncoderDecoder):
            states, lengths = frames.to(self.device), lengths.to(self.device)
            return decode(self.acoustic_model, states, lengths, self.ctc(states) if self.has_ctc else None, self.units)
        if self.decoder is None:
            return best_path(frames, lengths)
        rows = zip(frames.cpu().numpy(), lengths.tolist(), strict=True)
        return self.decoder.decode([row[:length] for row, length in rows])

    def text(self, units: Sequence[int]) -> str:
        """The text of a unit sequence, normalised."""
        return self.normalizer(self.units.decode(units))

    def hear(self, frames: Tensor, start: int = 0) -> tuple[str, tuple[Word, ...]]:
        """The text of one utterance's `frames (S, V)` or `(S, D)`, and its `words` if the model can tell them."""
        if self.has_ctc:
            words = self.words(frames, start)
            return spoken(words), words
        return self.texts(frames[None], torch.tensor([len(frames)]))[0], ()

    def words(self, frames: Tensor, start: int = 0, units: Sequence[int] | None = None) -> tuple[Word, ...]:
        """The words of one utterance's `frames`, with times and confidence; its first frame is `start`.

        `units` are what it was decoded to, if that has been done. Raises ConfigError as `ctc` does.
        """
        rows = self.ctc(frames).cpu().numpy()
        path = rows.argmax(axis=1)
        if units is None and (self.decoder is not None or isinstance(self.acoustic_model, EncoderDecoder)):
            units = self.hypotheses(frames[None], torch.tensor([len(frames)]))[0].units
        if units is not None:
            from asr.decoding.forced import best_states, exact_target  # brings numba, which best path needs not

            target = exact_target(units)
            path = target.units[best_states(rows, target)]
        words = words_on_path(
            path,
            rows[np.arange(len(path)), path],
            self.units,
            spell=self.text,
            start=start,
            seconds_per_frame=self.stride / self.sample_rate,
        )
        if self.confidence is None:
            return words
        return tuple(replace(word, confidence=self.confidence(word.confidence)) for word in words)

    def recognize(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcripts of waveforms `(N,)`, float32 at this model's sample rate, in their order."""
        if self.config.features.equalize:
            waveforms = equalize(waveforms, self.sample_rate)
        texts = [""] * len(waveforms)
        for indices, log_probs, lengths in self.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, text in zip(indices, self.texts(log_probs, lengths), strict=True):
                texts[index] = text
        return texts

    def transcribe(self, source: Any, sample_rate: int | None = None) -> Transcript:
        """Transcribes one recording: a path, or an array or tensor with its `sample_rate` in Hz.

        Raises AudioError if it holds no usable audio.
        """
        from asr.recognition.transcribe import transcribe_one

        return transcribe_one(self, source, sample_rate)

    def stream(self, sample_rate: int | None = None) -> "Stream":
        """Speech recognised while it is spoken: `feed` it samples at `sample_rate` Hz (the model's), `finish` it.

        Raises ConfigError for a model that needs whole utterances.
        """
        from asr.recognition.stream import Stream

        return Stream(self, sample_rate)

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tensors: dict[str, np.ndarray] = {}
        metadata: dict[str, Any] = {"units": self.units.symbols}
        if self.confidence is not None:
            metadata["confidence"] = self.confidence.model_dump()
        if self.rejection is not None:
            metadata["phrases"] = self.rejection.model_dump()
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            tensors = {_DECODER_PREFIX + name: array for name, array in self.decoder.to_tensors().items()}
        return tensors, metadata

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        recognizer = cls(config, Units(metadata["units"], config.text.units), metadata.get("training"))
        names = [name for name in tensors if name.startswith(_DECODER_PREFIX)]
        arrays = {name.removeprefix(_DECODER_PREFIX): tensors.pop(name).numpy() for name in names}
        if "decoding" in metadata:
            from asr.decoding.decoder import Decoder  # brings numba, which best path needs not

            recognizer.decoder = Decoder.from_parts(recognizer.units, arrays, metadata["decoding"])
        if "confidence" in metadata:
            recognizer.confidence = Calibration.model_validate(metadata["confidence"])
        if "phrases" in metadata:
            from asr.decoding.phrases import Rejection

            recognizer.rejection = Rejection.model_validate(metadata["phrases"])
        return recognizer


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Loads a recogniser, as `SpeechModel.from_file` does."""
    return Recognizer.from_file(path, device)
