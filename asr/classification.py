"""The classification of recordings: what all classifiers share, whatever computes their classes. No torch here."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from asr.audio import load_audio
from asr.batching import read_batches
from asr.config import Config
from asr.equalize import Equalizer, equalize
from asr.errors import AudioError, audio_error
from asr.finite import require_numbers
from asr.text import Normalizer
from asr.utterance import Utterance

_READ_TOGETHER = 64  # recordings held in memory at a time


@dataclass(frozen=True, slots=True)
class Classification:
    """The most probable class of an utterance, and its probability in 0..1."""

    label: str
    probability: float


class BaseClassifier(ABC):
    """A classifier without its network: the names of its classes, its settings, batches of waveforms."""

    classes: tuple[str, ...]
    config: Config
    normalizer: Normalizer

    @abstractmethod
    def batch_log_probs(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """Compute log-probabilities `(B, C)` of waveforms `(N,)` in one batch."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.features.sample_rate

    def log_probs(self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]) -> np.ndarray:
        """Compute log-probabilities `(utterances, C)` of waveforms; the arguments are those of `read_batches`."""
        log_probs = np.empty((len(num_samples), len(self.classes)), np.float32)
        for indices, waveforms in read_batches(num_samples, read, sample_rate=self.sample_rate):
            log_probs[indices] = self.batch_log_probs(waveforms)
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
        best = log_probs.argmax(1)
        probabilities = np.exp(log_probs[np.arange(len(best)), best])
        pairs = zip(best.tolist(), probabilities.tolist(), strict=True)
        return [Classification(self.classes[index], probability) for index, probability in pairs]


def classify(
    classifier: BaseClassifier, utterances: Iterable[Utterance]
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
