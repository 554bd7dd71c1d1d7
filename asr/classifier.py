"""The classifier of whole utterances in PyTorch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from torch import Tensor

from asr.batching import pad
from asr.classification import BaseClassifier
from asr.config import Config, ModelConfig
from asr.model import SpeechModel
from asr.nn.classifier import UtteranceClassifier
from asr.nn.rnn import Kernels


def classification_network(
    config: ModelConfig, *, num_bins: int, num_classes: int, kernels: Kernels
) -> UtteranceClassifier:
    """Build the network on top of the features: an encoder, a mean over time, and an output layer."""
    return UtteranceClassifier(num_bins=num_bins, num_classes=num_classes, kernels=kernels, **config.encoder)


class Classifier(SpeechModel[UtteranceClassifier], BaseClassifier):
    """A classifier: features, network, and the names of the classes."""

    task, outputs = "classification", "classes"

    def __init__(self, config: Config, classes: Sequence[str], summary: dict[str, Any] | None = None) -> None:
        """Create a classifier with fresh weights; `asr info` shows `summary`."""
        super().__init__(config, self.network_for(len(classes)), summary)
        self.symbols = self.classes = tuple(classes)

    def batch_log_probs(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        log_probs: np.ndarray = self.compute(*pad(waveforms)).cpu().numpy()
        return log_probs

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"classes": self.classes}

    @classmethod
    def network_for(cls, num_symbols: int) -> Callable[..., UtteranceClassifier]:
        return partial(classification_network, num_classes=num_symbols)

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        return cls(config, metadata["classes"], metadata.get("training"))
