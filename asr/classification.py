"""The classifier of whole utterances, and the classification of many recordings."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from asr.audio import load_audio
from asr.batching import pad, read_batches
from asr.config import Config, ModelConfig
from asr.equalize import Equalizer, equalize
from asr.errors import AudioError, audio_error
from asr.finite import require_numbers
from asr.model import SpeechModel
from asr.nn.classifier import UtteranceClassifier
from asr.nn.rnn import Kernels
from asr.utterance import Utterance

_READ_TOGETHER = 64  # recordings held in memory at a time


@dataclass(frozen=True, slots=True)
class Classification:
    """The most probable class of an utterance, and its probability in 0..1."""

    label: str
    probability: float


def classification_network(
    config: ModelConfig, *, num_bins: int, num_classes: int, kernels: Kernels
) -> UtteranceClassifier:
    """Build the network on top of the features: an encoder, a mean over time, and an output layer."""
    return UtteranceClassifier(num_bins=num_bins, num_classes=num_classes, kernels=kernels, **config.encoder)


class Classifier(SpeechModel[UtteranceClassifier]):
    """A classifier: features, network, and the names of the classes."""

    task, outputs = "classification", "classes"

    def __init__(self, config: Config, classes: Sequence[str], summary: dict[str, Any] | None = None) -> None:
        """Create a classifier with fresh weights; `asr info` shows `summary`."""
        super().__init__(config, self.network_for(len(classes)), summary)
        self.symbols = self.classes = tuple(classes)

    def log_probs(self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]) -> Tensor:
        """Compute log-probabilities `(utterances, C)` of waveforms; the arguments are those of `read_batches`."""
        log_probs = torch.empty(len(num_samples), len(self.classes))
        for indices, waveforms in read_batches(num_samples, read, sample_rate=self.sample_rate):
            log_probs[indices] = self.compute(*pad(waveforms)).cpu()
        return log_probs

    def classify(self, waveforms: Sequence[np.ndarray]) -> list[Classification]:
        """Classify waveforms `(N,)`, float32 at the sample rate of the model; the results are in their order."""
        if self.config.features.equalize:
            waveforms = equalize(waveforms, self.sample_rate)
        return self.decide(waveforms)

    def decide(self, waveforms: Sequence[np.ndarray]) -> list[Classification]:
        """Classify waveforms as `classify` does, but without equalising them first."""
        log_probs = self.log_probs([len(waveform) for waveform in waveforms], waveforms.__getitem__)
        require_numbers(log_probs)
        best = log_probs.exp().max(1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [Classification(self.classes[index], probability) for index, probability in pairs]

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"classes": self.classes}

    @classmethod
    def network_for(cls, num_symbols: int) -> Callable[..., UtteranceClassifier]:
        return partial(classification_network, num_classes=num_symbols)

    @classmethod
    def from_parts(cls, config: Config, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Self:
        return cls(config, metadata["classes"], metadata.get("training"))


def classify(
    classifier: Classifier, utterances: Iterable[Utterance]
) -> Iterator[tuple[Utterance, Classification | AudioError]]:
    """Classify utterances in their order; yield each with its result, or with an AudioError if it cannot be read."""
    utterances = list(utterances)
    rate = classifier.sample_rate
    equalizer = Equalizer.of_files(utterances, rate) if classifier.config.features.equalize else None

    def read(index: int) -> np.ndarray | AudioError:
        one = utterances[index]
        try:
            samples = load_audio(one.audio, rate, offset=one.offset, duration=one.duration, channel="mix")
        except Exception as error:
            return audio_error(error, str(one.audio))
        return samples if equalizer is None else equalizer(index, samples)

    remaining = iter(range(len(utterances)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while group := list(islice(remaining, _READ_TOGETHER)):
            read_all = list(pool.map(read, group))
            found = iter(classifier.decide([samples for samples in read_all if not isinstance(samples, AudioError)]))
            for index, samples in zip(group, read_all, strict=True):
                yield utterances[index], samples if isinstance(samples, AudioError) else next(found)
