"""The model file, what all models of speech share, and the recogniser: waveforms in, texts out, by one inference path.

Training's evaluation, `asr transcribe` and the library all go through `Recognizer.frames`, in float32, so
the validation score in a training log is what `asr transcribe` and `asr score` give.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from asr.decoding.attention import decode
from asr.decoding.confidence import Calibration
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.times import words_on_path
from asr.equalize import equalize
from asr.errors import ConfigError, LanguageModelError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.files import write_whole
from asr.nn.attention import EncoderDecoder
from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel, Encoder
from asr.recognition.steady import blank, is_steady, silence
from asr.text import Units
from asr.transcript import Transcript, Word, spoken

if TYPE_CHECKING:
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import Rejection
    from asr.recognition.stream import Stream

FORMAT = 1
COMMANDS = {  # that use a model of each task
    "recognition": "asr transcribe",
    "classification": "asr classify",
    "language model": "asr lm generate",
}
RecognitionNetwork = AcousticModel | EncoderDecoder
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


@contextmanager
def _all_digits() -> Iterator[None]:
    """Has cuDNN compute in float32, where it would round what it multiplies to TF32: 10 bits, by shape another way."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class SpeechModel(ABC, Generic[Network]):
    """Features, a network on them, and everything known of its training."""

    task: ClassVar[str]  # as configurations name it
    outputs: ClassVar[str]  # what the network's outputs stand for, in words
    outputs_before: ClassVar[int] = 0  # outputs before those: the blank
    symbols: tuple[str, ...]  # and one by one

    def __init__(self, config: Config, network: Callable[..., Network], summary: dict[str, Any] | None = None) -> None:
        """A model with fresh weights. `network` takes a ModelConfig and `num_bins`, `summary` is for `asr info`."""
        self.config = config
        self.summary = summary or {}
        self.normalizer = config.text.normalizer
        self.features = build_features(config.features)
        self._network = network
        self.acoustic_model = self.fresh_network(config.model)
        self.modules = nn.ModuleDict({"features": self.features, "acoustic_model": self.acoustic_model})

    def fresh_network(self, config: ModelConfig) -> Network:
        """A network of any shape for the same features and outputs."""
        return self._network(config, num_bins=self.features.num_bins)

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
    def compute(self, audio: Tensor, lengths: Tensor, part: Callable[..., Any] | None = None) -> Any:
        """What the network, or a `part` of it, makes of audio `(B, N)`, lengths `(B,)` in samples."""
        self.acoustic_model.eval()
        with _all_digits():
            return (part or self.acoustic_model)(*self.features(audio.to(self.device), lengths.to(self.device)))

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
            if (task := task_of(metadata)) != cls.task:
                raise ModelFileError(f"{path}: was trained for {task}; use it with `{COMMANDS[task]}`")
            metadata["config"]["model"].setdefault("projection", True)  # every model had one before this was a setting
            config = Config.model_validate(metadata["config"])
            tensors = safetensors.torch.load_file(path)
            model = cls.from_parts(config, tensors, metadata)
            model.modules.load_state_dict(tensors)
        except _DAMAGE as error:
            raise ModelFileError(f"{path}: its parts do not fit together: {error}") from None
        return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def recognition_network(config: ModelConfig, *, num_bins: int, num_units: int) -> RecognitionNetwork:
    """What stands on top of the features: an encoder with CTC, with an attention decoder, or with both."""
    if config.decoder == "ctc":
        return AcousticModel(num_bins=num_bins, num_units=num_units, **config.encoder)
    ctc_weight, _ = config.loss_weights
    return EncoderDecoder(num_bins=num_bins, num_units=num_units, ctc_weight=ctc_weight, **config.encoder)


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


def task_of(metadata: dict[str, Any]) -> str:
    """What the model file with these metadata was trained for: a key of COMMANDS.

    The first files do not say: they are all recognisers.
    """
    return str(metadata["task"] if "task" in metadata else metadata["config"].get("task", Recognizer.task))


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
