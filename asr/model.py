"""What all models of speech share: features, a network on them, batches of waveforms, and the model file of both."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.batching import plan_batches
from asr.config import Config, FeaturesConfig, ModelConfig
from asr.errors import AsrError, ConfigError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.lengths import window_samples
from asr.model_file import COMMANDS, read_metadata, task_of, write_model_file
from asr.nn.encoder import Encoder
from asr.nn.weights import TENSORS_PER_LAYER, require_weights

Network = TypeVar("Network", bound=Encoder)
_DAMAGE = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError),
    *(AsrError, safetensors.SafetensorError),
)
_MOST_FILTERS = 1 << 24  # numbers in the filter bank of the features; 512 bins of 0.5 s at 48 kHz need 12 million
_BATCH_SECONDS = 120.0
_BATCH_UTTERANCES = 32


def build_features(config: FeaturesConfig) -> Spectrogram:
    """Build the front end that a configuration describes. Raises ConfigError if its filters take too much memory."""
    window = window_samples(config.sample_rate, config.window_ms)
    if config.kind != "spectrogram" and window * config.bins > _MOST_FILTERS:
        raise ConfigError(
            f"features.window_ms={config.window_ms} at {config.sample_rate} Hz with {config.bins} bins needs too large "
            "a filter bank; use a shorter window (25 ms is usual) or fewer bins"
        )
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
        """Build a network of any shape for the features and outputs of this model."""
        return self._network(config, num_bins=self.features.num_bins)

    @classmethod
    @abstractmethod
    def network_for(cls, num_symbols: int) -> Callable[..., Network]:
        """Return the function that builds a network for so many units or classes, from a ModelConfig and `num_bins`."""

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
    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What a model file holds beside weights and configuration: tensors, and more for its JSON description."""

    @classmethod
    @abstractmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """A model with fresh weights from what `parts` gave, whose tensors it takes out of `tensors`."""

    def save(self, path: str | Path) -> None:
        """Writes the model file, whole or not at all. The same model gives the same bytes."""
        tensors, metadata = self.parts()
        weights = {name: tensor.cpu().contiguous().numpy() for name, tensor in self.modules.state_dict().items()}
        config = self.config.model_dump(mode="json")
        write_model_file(path, {**weights, **tensors}, {"config": config, **metadata, "training": self.summary})

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device | None = None) -> Self:
        """Loads a model file onto `device` (default: CUDA where there is one). Nothing in it is ever executed.

        Raises ModelFileError that names the file if it is missing, damaged, of another task, or not one of ours.
        """
        metadata = read_metadata(path)
        if (task := task_of(metadata)) != cls.task:
            raise ModelFileError(f"{path}: was trained for {task}; use it with `{COMMANDS[task]}`")
        try:
            config = Config.model_validate(metadata["config"])
            tensors = safetensors.torch.load_file(path)
            if not isinstance(symbols := metadata[cls.outputs], list):
                raise TypeError(f"{cls.outputs} must be a list")
            cls._require_shapes(config, len(symbols), tensors)
            model = cls.from_parts(config, tensors, metadata)
            model.modules.load_state_dict(tensors)
        except _DAMAGE as error:
            raise ModelFileError(f"{path}: its parts do not fit together: {_first_line(error)}") from None
        return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @classmethod
    def _require_shapes(cls, config: Config, num_symbols: int, tensors: Mapping[str, Tensor]) -> None:
        """Raise ModelFileError unless the tensors of a file are finite and have the shapes of the configured network.

        The network is built without memory ("meta" tensors). So a small file cannot ask for a network that is large.
        """
        if config.model.layers * TENSORS_PER_LAYER > len(tensors):
            raise ModelFileError(f"{config.model.layers} layers cannot be in {len(tensors)} tensors")
        features = build_features(config.features)
        with torch.device("meta"):
            network = cls.network_for(num_symbols)(config.model, num_bins=features.num_bins)
        modules = nn.ModuleDict({"features": features, "acoustic_model": network})
        require_weights(modules.state_dict(), tensors)
        if not (tensors["features.bin_deviation"] > 0).all():
            raise ModelFileError("features.bin_deviation must be positive")


def _first_line(error: BaseException) -> str:
    """Return the first line of a message, short enough for one line of a terminal."""
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"[:200]
    line = str(error).partition("\n")[0]
    return f"{type(error).__name__} {line[:200]}" if isinstance(error, LookupError) else line[:200]
