"""The pre-trained model: features and an encoder that learned from recordings without texts."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from torch import Tensor

from asr.config import Config, ModelConfig
from asr.errors import ModelFileError
from asr.model import SpeechModel
from asr.nn.reconstruction import Reconstruction
from asr.nn.rnn import Kernels


def reconstruction_network(config: ModelConfig, *, num_bins: int, num_values: int, kernels: Kernels) -> Reconstruction:
    """Build the network on top of the features: an encoder, and an output layer that reconstructs its features."""
    return Reconstruction(num_bins=num_bins, num_values=num_values, kernels=kernels, **config.encoder)


class Pretrained(SpeechModel[Reconstruction]):
    """A pre-trained model; its outputs are the features of one encoder frame, and training starts from its encoder."""

    task, outputs = "pretraining", "values"

    def __init__(self, config: Config, num_values: int, summary: dict[str, Any] | None = None) -> None:
        """Create a model with fresh weights; `asr info` shows `summary`."""
        super().__init__(config, self.network_for(num_values), summary)
        self.symbols = tuple(map(str, range(num_values)))

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"values": self.symbols}

    @classmethod
    def network_for(cls, num_symbols: int) -> Callable[..., Reconstruction]:
        return partial(reconstruction_network, num_values=num_symbols)

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        model = cls(config, len(metadata["values"]), metadata.get("training"))
        if len(model.symbols) != model.features.num_bins * config.model.subsampling:
            raise ModelFileError(f"{len(model.symbols)} values are not those of an encoder frame")
        return model
