"""The recogniser: features, a network, and all that makes transcripts of its frames, by one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.frames`, in float32. So the
validation score in a training log is the score that `asr transcribe` and `asr score` give.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from asr.batching import pad, read_batches
from asr.config import Config, ModelConfig
from asr.decoding.attention import decode
from asr.decoding.hypothesis import Hypothesis
from asr.errors import ConfigError
from asr.finite import require_numbers
from asr.model import SpeechModel
from asr.nn.attention import EncoderDecoder
from asr.nn.autoregressive import AutoregressiveModel
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel
from asr.nn.rnn import Kernels
from asr.nn.transducer import TransducerModel
from asr.recognition.acoustic_stream import NetworkStream
from asr.recognition.steady import blank, is_steady
from asr.recognition.transcriber import DECODER_PREFIX, Transcriber
from asr.text import Units

if TYPE_CHECKING:  # these import numba, which best path does not need
    from asr.decoding.decoder import Decoder
    from asr.decoding.transducer import JointNetwork
    from asr.lm.ngram import NGram


RecognitionNetwork = AcousticModel | EncoderDecoder | TransducerModel


def recognition_network(config: ModelConfig, *, num_bins: int, num_units: int, kernels: Kernels) -> RecognitionNetwork:
    """Build the network on top of the features: an encoder with CTC, with another decoder, or with both."""
    shared: dict[str, Any] = {"num_bins": num_bins, "num_units": num_units, "kernels": kernels, **config.encoder}
    if config.decoder == "ctc":
        return AcousticModel(**shared)
    network = TransducerModel if config.decoder == "transducer" else EncoderDecoder
    return network(ctc_weight=config.loss_weights[0], **shared)


class Recognizer(SpeechModel[RecognitionNetwork], Transcriber):
    """A speech recogniser: an acoustic model, the units it emits, and the decoder that makes texts of them."""

    task, outputs, outputs_before = "recognition", "units", 1

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """Build a recogniser with fresh weights. `summary` is shown by `asr info`: how it was trained."""
        super().__init__(config, self.network_for(len(units.symbols)), summary)
        self.units = units
        self.symbols = units.symbols

    def facts(self) -> list[str]:
        decoder = self.config.model.decoder
        names = {"ctc": [], "transducer": ["transducer"]}
        facts = [*super().facts(), *names.get(decoder, [f"{decoder} decoder"])]
        return facts if self.decoder is None else [*facts, "with a language model"]

    @property
    def has_ctc(self) -> bool:
        """Return True if the model has CTC's log-probabilities for each frame, and so can time words."""
        return self.config.model.loss_weights[0] > 0

    def require_ctc_search(self) -> None:
        """Raise ConfigError unless the model decodes by a search over CTC's log-probabilities alone."""
        super().require_ctc_search()
        if isinstance(self.acoustic_model, EncoderDecoder):
            raise ConfigError(
                "language models, hotwords, phrases and n-best lists belong to the search over CTC's log-probabilities "
                "and this model decodes with attention; train one with --set model.decoder=ctc"
            )

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        return self.config.model_dump()

    def beam(
        self, words: "NGram | None" = None, characters: "NGram | None" = None, *, closed: bool = False
    ) -> "Decoder":
        if isinstance(self.acoustic_model, EncoderDecoder):
            self.require_ctc_search()
        return super().beam(words, characters, closed=closed)

    @property
    def stride(self) -> int:
        """Samples from the middle of one encoder frame to the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    @torch.inference_mode()
    def frames(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what the model's decoder reads from audio `(B, N)`, lengths `(B,)` in samples.

        Returns CTC's log-probabilities `(B, S, V)`, or for another decoder encoder states `(B, S, D)`, and lengths
        `(B,)` in frames.
        """
        if isinstance(self.acoustic_model, AutoregressiveModel):
            return self.compute(audio, lengths, self.acoustic_model.encode)
        frames, lengths = self.compute(audio, lengths)
        return frames, lengths

    @torch.inference_mode()
    def ctc(self, frames: Tensor) -> Tensor:
        """Return CTC's log-probabilities `(B, S, V)` of `frames`. Raises ConfigError for a model without CTC."""
        if not isinstance(self.acoustic_model, AutoregressiveModel):
            return frames
        self.require_ctc()
        log_probs = self.acoustic_model.log_probs(frames.to(self.device))
        log_probs[~frames.any(dim=-1)] = torch.from_numpy(blank(1, len(self.units))).to(self.device)
        return log_probs

    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities `(B, S, V)` and lengths `(B,)` in frames from audio `(B, N)`, lengths in samples.

        Raises ConfigError for a model without CTC.
        """
        frames, lengths = self.frames(audio, lengths)
        return self.ctc(frames), lengths

    @torch.inference_mode()
    def losses(self, frames: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
        """Compute the loss of each target in nats, `(B,)`, as training does."""
        if isinstance(self.acoustic_model, AutoregressiveModel):
            return self.acoustic_model.losses(frames, lengths, targets)
        return ctc_loss(frames, lengths, targets)

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Compute the `frames` of many waveforms, batched by `asr.batching.read_batches`: `(indices, frames, lengths)`.

        The frames of a steady sound (silence, hum, noise) are set to blank or zero: a model invents words in it.
        """
        for indices, waveforms in read_batches(num_samples, read, sample_rate=self.sample_rate):
            frames, lengths = self.frames(*pad(waveforms))
            for row, waveform in zip(frames, waveforms, strict=True):
                if is_steady(waveform, self.sample_rate):
                    with torch.inference_mode():
                        if isinstance(self.acoustic_model, AutoregressiveModel):
                            row.zero_()
                        else:
                            row.copy_(torch.from_numpy(blank(*row.shape)))
            yield indices, frames, lengths

    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        for indices, frames, lengths in self.batches(num_samples, read):
            require_numbers(frames)
            rows = zip(frames.cpu().numpy(), lengths.tolist(), strict=True)
            yield indices, [row[:length].copy() for row, length in rows]  # a view would keep the padded batch in memory

    def texts(self, frames: Tensor, lengths: Tensor) -> list[str]:
        """Decode `frames`, lengths `(B,)` into texts."""
        return [self.text(hypothesis.units) for hypothesis in self.hypotheses(frames, lengths)]

    def hypotheses(self, frames: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """Decode `frames`, lengths `(B,)` into hypotheses in units, with the model's own decoder."""
        rows = zip(frames.cpu().numpy(), lengths.tolist(), strict=True)
        return self.decode_rows([row[:length] for row, length in rows])

    def decode_rows(self, rows: Sequence[np.ndarray]) -> list[Hypothesis]:
        if not isinstance(self.acoustic_model, EncoderDecoder):
            return super().decode_rows(rows)
        states, lengths = (one.to(self.device) for one in pad(rows))
        return decode(self.acoustic_model, states, lengths, self.ctc(states) if self.has_ctc else None, self.units)

    def joint_network(self) -> "JointNetwork":
        from asr.decoding.transducer import build_joint

        assert isinstance(self.acoustic_model, TransducerModel)
        return build_joint(self.acoustic_model.transducer.arrays(), self.config.model.cell)

    def unit_rows(self, frames: np.ndarray) -> np.ndarray:
        if not isinstance(self.acoustic_model, AutoregressiveModel):
            return frames
        log_probs: np.ndarray = self.ctc(torch.from_numpy(frames)).cpu().numpy()
        return log_probs

    def acoustic_stream(self) -> NetworkStream:
        return NetworkStream(self)

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tensors: dict[str, np.ndarray] = {}
        metadata: dict[str, Any] = {"units": self.units.symbols}
        if self.trained_lengths is not None:
            metadata["lengths"] = self.trained_lengths.model_dump()
        if self.confidence is not None:
            metadata["confidence"] = self.confidence.model_dump()
        if self.rejection is not None:
            metadata["phrases"] = self.rejection.model_dump()
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            tensors = {DECODER_PREFIX + name: array for name, array in self.decoder.to_tensors().items()}
        return tensors, metadata

    @classmethod
    def network_for(cls, num_symbols: int) -> Callable[..., RecognitionNetwork]:
        return partial(recognition_network, num_units=num_symbols + 1)  # the blank

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        recognizer = cls(config, Units(metadata["units"], config.text.units), metadata.get("training"))
        names = [name for name in tensors if name.startswith(DECODER_PREFIX)]
        arrays = {name.removeprefix(DECODER_PREFIX): tensors.pop(name).numpy() for name in names}
        recognizer.restore(arrays, metadata)
        return recognizer


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Load a recogniser from a model file, onto `device` (default: CUDA where there is a GPU).

    Raises ModelFileError that names the file if it is missing, damaged or of another task.
    """
    return Recognizer.from_file(path, device)
