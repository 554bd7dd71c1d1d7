"""The model file, what all models of speech share, and the recogniser: waveforms in, texts out, by one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.log_probs`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.batching import pad, plan_batches
from asr.config import Config, FeaturesConfig, ModelConfig
from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.times import words_on_path
from asr.errors import LanguageModelError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.files import write_whole
from asr.nn.encoder import AcousticModel, Encoder
from asr.steady import is_steady, silence
from asr.text import Units
from asr.transcript import Transcript, Word

if TYPE_CHECKING:
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import Rejection
    from asr.stream import Stream

FORMAT = 1
COMMANDS = {"recognition": "asr transcribe", "classification": "asr classify"}  # that use a model of each task
Network = TypeVar("Network", bound=Encoder)
_METADATA_KEY = "asr"
_DAMAGE = (KeyError, TypeError, ValidationError, RuntimeError, LanguageModelError, safetensors.SafetensorError)
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


class SpeechModel(ABC, Generic[Network]):
    """Features, a network on them, and everything known of its training."""

    task: ClassVar[str]  # as configurations name it
    outputs: ClassVar[str]  # what the network's outputs stand for, in words
    symbols: tuple[str, ...]  # and one by one; an output before them is blank

    def __init__(self, config: Config, network: Callable[..., Network], summary: dict[str, Any] | None = None) -> None:
        """A model with fresh weights. `network` takes the arguments of `Encoder`, `summary` is for `asr info`."""
        self.config = config
        self.summary = summary or {}
        self.normalizer = config.text.normalizer
        self.features = build_features(config.features)
        self._network = network
        self.acoustic_model = self.fresh_network(config.model)
        self.modules = nn.ModuleDict({"features": self.features, "acoustic_model": self.acoustic_model})

    def fresh_network(self, config: ModelConfig) -> Network:
        """A network of any shape for the same features and outputs."""
        return self._network(num_bins=self.features.num_bins, **config.model_dump())

    @property
    def sample_rate(self) -> int:
        return self.config.features.sample_rate

    @property
    def device(self) -> torch.device:
        return self.features.bin_mean.device

    def to(self, device: str | torch.device) -> Self:
        self.modules.to(device)
        return self

    def num_output_frames(self, num_samples: int) -> int:
        """Encoder frames that `num_samples` samples give: the `S` of `S >= L + repeats`."""
        return self.acoustic_model.num_output_frames(self.features.num_frames(num_samples))

    @torch.inference_mode()
    def compute(self, audio: Tensor, lengths: Tensor) -> Any:
        """What the network makes of audio `(B, N)`, lengths `(B,)` in samples."""
        self.acoustic_model.eval()
        return self.acoustic_model(*self.features(audio.to(self.device), lengths.to(self.device)))

    def read_batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Many waveforms in batches of like length: `(indices, waveforms)`.

        `read(index)` gives a waveform of `num_samples[index]` samples when its batch comes.
        """
        plan = plan_batches(
            num_samples,
            max_samples=round(_BATCH_SECONDS * self.sample_rate),
            max_utterances=_BATCH_UTTERANCES,
        )
        for indices in plan:
            yield indices, [read(index) for index in indices]

    @abstractmethod
    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a model file holds beside weights and configuration: tensors, and more for its JSON description."""

    @classmethod
    @abstractmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """A model with fresh weights from what `parts` gave, whose tensors it takes out of `tensors`."""

    def save(self, path: str | Path) -> None:
        """Writes the model file, whole or not at all. The same model gives the same bytes."""
        tensors, metadata = self.parts()
        weights = {name: tensor.cpu().contiguous() for name, tensor in self.modules.state_dict().items()}
        config = self.config.model_dump(mode="json")
        write_model_file(path, {**weights, **tensors}, {"config": config, **metadata, "training": self.summary})

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device | None = None) -> Self:
        """Loads a model file onto `device` (default: CUDA where there is one). Nothing in it is ever executed.

        Raises ModelFileError that names the file if it is missing, damaged, of another task, or not one of ours.
        """
        metadata = read_metadata(path)
        try:
            config = Config.model_validate(metadata["config"])
            if config.task != cls.task:
                raise ModelFileError(f"{path}: was trained for {config.task}; use it with `{COMMANDS[config.task]}`")
            tensors = safetensors.torch.load_file(path)
            model = cls.from_parts(config, tensors, metadata)
            model.modules.load_state_dict(tensors)
        except _DAMAGE as error:
            raise ModelFileError(f"{path}: its parts do not fit together: {error}") from None
        return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


class Recognizer(SpeechModel[AcousticModel]):
    """A speech recogniser: an acoustic model, the units it emits, and the decoder that makes texts of them."""

    task, outputs = "recognition", "units"

    def __init__(self, config: Config, units: Units, summary: dict[str, Any] | None = None) -> None:
        """A recogniser with fresh weights. `summary` is what `asr info` shows of its training."""
        super().__init__(config, partial(AcousticModel, num_units=len(units)), summary)
        self.units = units
        self.symbols = units.symbols
        self.decoder: Decoder | None = None  # best path, unless `asr tune` has found a language model that helps
        self.confidence: Calibration | None = None  # what `asr tune` finds too
        self.rejection: Rejection | None = None

    @property
    def stride(self) -> int:
        """Samples from the middle of an encoder frame to that of the next; the first is centred on the first sample."""
        return self.features.hop * self.config.model.subsampling

    def log_probs(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples -> log-probabilities `(B, S, V)`, lengths `(B,)` in frames."""
        log_probs, frames = self.compute(audio, lengths)
        return log_probs, frames

    def batches(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Log-probabilities of many waveforms, batched by `read_batches`: `(indices, log_probs, lengths)`.

        Those of a steady sound are all blank: a model would guess words in it.
        """
        for indices, waveforms in self.read_batches(num_samples, read):
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

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors: dict[str, Tensor] = {}
        metadata: dict[str, Any] = {"units": self.units.symbols}
        if self.confidence is not None:
            metadata["confidence"] = self.confidence.model_dump()
        if self.rejection is not None:
            metadata["phrases"] = self.rejection.model_dump()
        if self.decoder is not None:
            metadata["decoding"] = self.decoder.to_metadata()
            tensors = {_DECODER_PREFIX + name: torch.tensor(array) for name, array in self.decoder.to_tensors().items()}
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


def write_model_file(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Writes tensors and the JSON description that `read_metadata` reads, whole or not at all."""
    description = json.dumps({"format": FORMAT, **metadata}, ensure_ascii=False)
    write_whole(Path(path), safetensors.torch.save(tensors, {_METADATA_KEY: description}))


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
