"""The interface of a training corpus: packed before training, or streamed, which is read during training."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from asr.utterance import Utterance


class Corpus(Protocol):
    """Utterances with their audio; the text of an utterance is its normalised transcript, or its class.

    `num_samples`, `num_before` and `num_after`, `(U,)` each, count the samples of an utterance and of the pauses around
    it. They are integers of any size.
    """

    sample_rate: int
    num_samples: np.ndarray
    num_before: np.ndarray
    num_after: np.ndarray

    def __len__(self) -> int: ...

    @property
    def utterances(self) -> Sequence[Utterance]: ...

    @property
    def total_samples(self) -> int:
        """Return the number of samples of all utterances."""

    @property
    def seconds(self) -> float: ...

    @property
    def is_equalized(self) -> bool: ...

    @property
    def is_streamed(self) -> bool:
        """Return True for a streamed corpus, which has no pauses around its utterances."""

    def state(self) -> bytes:
        """Return bytes that differ for corpora with other audio or texts."""

    def audio(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of utterance `index`, float32. Raises AudioError if they cannot be read."""

    def before(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of the pause before utterance `index`."""

    def after(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of the pause after utterance `index`."""

    def expect(self, indices: Sequence[int]) -> None:
        """Take note that the audio of these utterances is needed soon."""
