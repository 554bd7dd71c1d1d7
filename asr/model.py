"""The base of all speech models: features, a network on them, batches of waveforms, and their model file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from asr.config import Config, FeaturesConfig, ModelConfig
from asr.device import choose_device
from asr.errors import AsrError, ConfigError, ModelFileError
from asr.features import MFCC, LogMel, Spectrogram
from asr.lengths import window_samples
from asr.model_file import COMMANDS, EXPORTED_SUFFIX, read_metadata, task_of, write_model_file
from asr.nn.encoder import Encoder
from asr.nn.weights import TENSORS_PER_LAYER, require_weights

Network = TypeVar("Network", bound=Encoder)
_DAMAGE = (
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError),
    *(AsrError, safetensors.SafetensorError),
)
_MOST_FILTERS = 1 << 24  # numbers in the filter bank of the features; 512 bins of 0.5 s at 48 kHz need 12 million


def build_features(config: FeaturesConfig) -> Spectrogram:
    """Build the features of a configuration. Raises ConfigError if the filter bank takes too much memory."""
    window = window_samples(config.sample_rate, config.window_ms)
    if config.kind != "spectrogram" and window * config.bins > _MOST_FILTERS:
        raise ConfigError(
            f"features.window_ms={config.window_ms} at {config.sample_rate} Hz with {config.bins} bins needs too large "
            "a filter bank; use a shorter window (25 ms is usual) or fewer bins"
        )
    common = config.model_dump(include={"sample_rate", "window_ms", "hop_ms", "level"})
    common["pitch_bins"] = config.pitch
    if config.kind == "log_mel":
        return LogMel(bins=config.bins, **common)
    if config.kind == "mfcc":
        return MFCC(bins=config.bins, coefficients=config.coefficients, **common)
    return Spectrogram(**common)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Disable TF32 in cuDNN: it keeps 10 mantissa bits, and whether it is used depends on the shape."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class SpeechModel(ABC, Generic[Network]):
    """A speech model: features, a network on them, and a summary of its training."""

    task: ClassVar[str]  # name of the task in configurations
    outputs: ClassVar[str]  # name of the outputs of the network for people, such as "units"
    outputs_before: ClassVar[int] = 0  # number of outputs without a symbol before the others, such as the blank
    symbols: tuple[str, ...]  # the units or classes of the outputs

    def __init__(self, config: Config, network: Callable[..., Network], summary: dict[str, Any] | None = None) -> None:
        """Create a model with fresh weights.

        `network` builds the network from a ModelConfig, `num_bins` and `kernels`. `asr info` shows `summary`.
        """
        self.config = config
        self.summary = summary or {}
        self.normalizer = config.text.normalizer
        self.features = build_features(config.features)
        self._network = network
        self.acoustic_model = self.fresh_network(config.model)
        self.modules = nn.ModuleDict({"features": self.features, "acoustic_model": self.acoustic_model})

    def __repr__(self) -> str:
        facts, hours = self.facts(), self.summary.get("training_hours")
        if isinstance(hours, float | int):
            facts.append(f"trained on {hours:.2f} h")
        return f"<{type(self).__name__}: {', '.join(facts)}>"

    def facts(self) -> list[str]:
        """Return what the model is, in words: outputs, sample rate, network, device."""
        model = self.config.model
        shape = f"{model.layers} x {model.hidden} {'bidirectional ' if model.bidirectional else ''}{model.cell}"
        return [f"{len(self.symbols)} {self.outputs}", f"{self.sample_rate} Hz", shape, str(self.device)]

    def fresh_network(self, config: ModelConfig) -> Network:
        """Build a network with the settings of `config`, for the features and outputs of this model."""
        return self._network(config, num_bins=self.features.num_bins, kernels=self.config.training.kernels)

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
        """Return the number of encoder frames of `num_samples` samples: the `S` of `S >= L + repeats`."""
        return self.acoustic_model.num_output_frames(self.features.num_frames(num_samples))

    @torch.inference_mode()
    def compute(self, audio: Tensor, lengths: Tensor, part: Callable[..., Any] | None = None) -> Any:
        """Run the network, or a `part` of it, in evaluation on audio `(B, N)`, lengths `(B,)` in samples."""
        self.acoustic_model.eval()
        with _without_tf32():
            return (part or self.acoustic_model)(*self.features(audio.to(self.device), lengths.to(self.device)))

    @abstractmethod
    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what the model file holds beside weights and configuration: tensors, and fields of its description."""

    @classmethod
    @abstractmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        """Create a model with fresh weights from the result of `parts`; remove its tensors from `tensors`."""

    def save(self, path: str | Path) -> None:
        """Write the model file, whole or not at all. Equal models give equal bytes."""
        weights = {name: tensor.cpu().contiguous().numpy() for name, tensor in self.modules.state_dict().items()}
        write_model_file(path, {**weights, **self.parts()[0]}, self.description())

    def description(self) -> dict[str, Any]:
        """Return what a file says of the model beside its tensors: configuration, units, decoding, training."""
        return {"config": self.config.model_dump(mode="json"), **self.parts()[1], "training": self.summary}

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device | None = None) -> Self:
        """Load a model file onto `device` (default: CUDA if available, else the CPU). Nothing in it is executed.

        Raises ModelFileError, which names the file, if it is missing, damaged, of another task or of another program,
        and AsrError for a device that is not there.
        """
        device = choose_device(device)
        metadata = read_metadata(path)
        if Path(path).suffix == EXPORTED_SUFFIX:
            raise ModelFileError(f"{path}: is an exported model; this needs the file that it was exported from")
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
            raise ModelFileError(f"{path}: is damaged, its parts do not fit together: {_first_line(error)}") from None
        return model.to(device)

    @classmethod
    def _require_shapes(cls, config: Config, num_symbols: int, tensors: Mapping[str, Tensor]) -> None:
        """Raise ModelFileError unless the tensors of a file are finite and have the shapes of the configured network.

        The network is built without memory ("meta" tensors). So a small file cannot ask for a network that is large.
        """
        if config.model.layers * TENSORS_PER_LAYER > len(tensors):
            raise ModelFileError(f"{config.model.layers} layers cannot be in {len(tensors)} tensors")
        features = build_features(config.features)
        with torch.device("meta"):
            network = cls.network_for(num_symbols)(
                config.model, num_bins=features.num_bins, kernels=config.training.kernels
            )
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
