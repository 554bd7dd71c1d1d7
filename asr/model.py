"""The model file, and the recogniser it holds: waveforms in, texts out, by the one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.log_probs`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.batching import pad, plan_batches
from asr.config import Config, FeaturesConfig
from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.times import words_on_path
from asr.errors import LanguageModelError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.files import write_whole
from asr.nn.encoder import AcousticModel
from asr.steady import is_steady, silence
from asr.text import Units
from asr.transcript import Transcript, Word

if TYPE_CHECKING:
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import Rejection
    from asr.stream import Stream

FORMAT = 1
_METADATA_KEY = "asr"
_DECODER_PREFIX = "decoder."  # of the tensors that are language models, not weights
_BATCH_SECONDS = 120.0
_BATCH_UTTERANCES = 32


def build_features(config: FeaturesConfig) -> Spectrogram:
    """The front end that a configuration describes."""
    common = config.model_dump(include={"sample_rate", "window_ms", "hop_ms", "level"})
    if config.kind == "log_mel":
        return LogMel(bins=config.bins, **common)
    if config.kind == "mfcc":
        return MFCC(bins=config.bins, coefficients=config.coefficients, **common)
    return Spectrogram(**common)


class Recognizer:
    """Features, acoustic model, units and normaliser of one model, and everything known of its training."""

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """A recogniser with fresh weights. `summary` is what `asr info` shows of its training."""
        self.config = config
        self.units = units
        self.summary = summary or {}
        self.decoder: Decoder | None = None  # best path, unless `asr tune` has found a language model that helps
        self.confidence: Calibration | None = None  # what `asr tune` finds too
        self.rejection: Rejection | None = None
        self.normalizer = config.text.normalizer
        self.features = build_features(config.features)
        self.acoustic_model = AcousticModel(
            num_bins=self.features.num_bins,
            num_units=len(units),
            **config.model.model_dump(),
        )
        self.modules = nn.ModuleDict({"features": self.features, "acoustic_model": self.acoustic_model})

    @property
    def sample_rate(self) -> int:
        return self.config.features.sample_rate

    @property
    def stride(self) -> int:
        """Samples from the middle of an encoder frame to that of the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    @property
    def device(self) -> torch.device:
        return self.acoustic_model.output.weight.device

    def to(self, device: str | torch.device) -> "Recognizer":
        self.modules.to(device)
        return self

    def num_output_frames(self, num_samples: int) -> int:
        """Encoder frames that `num_samples` samples give: the `S` of `S >= L + repeats`."""
        return self.acoustic_model.num_output_frames(self.features.num_frames(num_samples))

    @torch.inference_mode()
    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> log-probabilities `(B, S, V)`, lengths `(B,)` in frames."""
        self.acoustic_model.eval()
        features, frames = self.features(audio.to(self.device), lengths.to(self.device))
        log_probs, frames = self.acoustic_model(features, frames)
        return log_probs, frames

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Log-probabilities of many waveforms, in batches of like length: `(indices, log_probs, lengths)`.

        Those of a steady sound are all blank: a model would guess words in it.

        `read(index)` gives a waveform of `num_samples[index]` samples when its batch comes.
        """
        plan = plan_batches(
            num_samples,
            max_samples=round(_BATCH_SECONDS * self.sample_rate),
            max_utterances=_BATCH_UTTERANCES,
        )
        for indices in plan:
            waveforms = [read(index) for index in indices]
            log_probs, lengths = self.log_probs(*pad(waveforms))
            for row, waveform in zip(log_probs, waveforms, strict=True):
                if is_steady(waveform, self.sample_rate):
                    silence(row)
            yield indices, log_probs, lengths

    def texts(self, log_probs: Tensor, lengths: Tensor) -> list[str]:
        """The transcripts that log-probabilities `(B, S, V)` decode to."""
        if self.decoder is None:
            hypotheses = best_path(log_probs, lengths)
        else:
            rows = zip(log_probs.cpu().numpy(), lengths.tolist(), strict=True)
            hypotheses = self.decoder.decode([row[:length] for row, length in rows])
        return [self.text(hypothesis.units) for hypothesis in hypotheses]

    def text(self, units: Sequence[int]) -> str:
        """The text of a unit sequence, normalised."""
        return self.normalizer(self.units.decode(units))

    def words(self, log_probs: Tensor, start: int = 0, units: Sequence[int] | None = None) -> tuple[Word, ...]:
        """The words of one utterance's `log_probs (S, V)`, with times and confidence; its first frame is `start`.

        `units` are what it was decoded to, if that has been done.
        """
        rows = log_probs.cpu().numpy()
        path = rows.argmax(axis=1)
        if units is None and self.decoder is not None:
            units = self.decoder.decode([rows])[0].units
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
        texts = [""] * len(waveforms)
        for indices, log_probs, lengths in self.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, text in zip(indices, self.texts(log_probs, lengths), strict=True):
                texts[index] = text
        return texts

    def transcribe(self, source: Any, sample_rate: int | None = None) -> Transcript:
        """Transcribes one recording: a path, or an array or tensor with its `sample_rate` in Hz.

        Raises AudioError if it holds no usable audio.
        """
        from asr.transcribe import transcribe_one

        return transcribe_one(self, source, sample_rate)

    def stream(self, sample_rate: int | None = None) -> "Stream":
        """Speech recognised while it is spoken: `feed` it samples at `sample_rate` Hz (the model's), `finish` it.

        Raises ConfigError for a model that needs whole utterances.
        """
        from asr.stream import Stream

        return Stream(self, sample_rate)

    def save(self, path: str | Path) -> None:
        """Writes the model file, whole or not at all. The same model gives the same bytes."""
        metadata = {
            "config": self.config.model_dump(mode="json"),
            "units": self.units.symbols,
            "training": self.summary,
        }
        if self.confidence is not None:
            metadata["confidence"] = self.confidence.model_dump()
        if self.rejection is not None:
            metadata["phrases"] = self.rejection.model_dump()
        state = self.modules.state_dict()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            for name, array in self.decoder.to_tensors().items():
                tensors[_DECODER_PREFIX + name] = torch.tensor(array)
        write_model_file(path, tensors, metadata)


def write_model_file(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Writes tensors and the JSON description that `read_metadata` reads, whole or not at all."""
    description = json.dumps({"format": FORMAT, **metadata}, ensure_ascii=False)
    write_whole(Path(path), safetensors.torch.save(tensors, {_METADATA_KEY: description}))


def load(path: str | Path, device: str | torch.device | None = None) -> Recognizer:
    """Loads a model file onto `device` (default: CUDA where there is one). Nothing in it is ever executed.

    Raises ModelFileError that names the file if it is missing, damaged, or not one of ours.
    """
    metadata = read_metadata(path)
    try:
        config = Config.model_validate(metadata["config"])
        recognizer = Recognizer(config, Units(metadata["units"], config.text.units), metadata.get("training"))
        tensors = safetensors.torch.load_file(path)
        arrays = {
            name.removeprefix(_DECODER_PREFIX): tensors.pop(name).numpy()
            for name in list(tensors)
            if name.startswith(_DECODER_PREFIX)
        }
        recognizer.modules.load_state_dict(tensors)
        if "decoding" in metadata:
            from asr.decoding.decoder import Decoder  # brings numba, which best path needs not

            recognizer.decoder = Decoder.from_parts(recognizer.units, arrays, metadata["decoding"])
        if "confidence" in metadata:
            recognizer.confidence = Calibration.model_validate(metadata["confidence"])
        if "phrases" in metadata:
            from asr.decoding.phrases import Rejection

            recognizer.rejection = Rejection.model_validate(metadata["phrases"])
    except (KeyError, ValidationError, RuntimeError, LanguageModelError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{path}: its parts do not fit together: {error}") from None
    return recognizer.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The JSON description inside a model file. Raises ModelFileError as `load` does."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; training leaves one in runs/NAME/model.safetensors")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA_KEY])
    except (safetensors.SafetensorError, json.JSONDecodeError):
        raise ModelFileError(f"{path}: is damaged or no safetensors file; copy it again") from None
    except KeyError:
        raise ModelFileError(f"{path}: is a safetensors file of another program; train one with `asr train`") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: has format {metadata.get('format')}, this version reads {FORMAT}; update asr")
    return metadata
