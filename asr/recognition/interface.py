"""The methods that transcription needs of a recogniser, so that it knows none in particular."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from asr.transcript import Word


class FrameModel(Protocol):
    """A model that turns waveforms into frames: arrays of log-probabilities `(S, V)`, or of encoder states `(S, D)`."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def stride(self) -> int:
        """Samples from one encoder frame to the next."""

    @property
    def equalizes(self) -> bool:
        """Return True if the model was trained on equalised recordings, so that it needs them equalised."""

    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Compute the frames of many waveforms, in batches: indices, and the frames `(S, V)` or `(S, D)` of each.

        `read(index)` is called when the batch is needed, and returns a waveform of `num_samples[index]` samples.
        """


class DecodingModel(FrameModel, Protocol):
    """A model that also decodes its frames into text and words."""

    def decode_segment(self, frames: np.ndarray, start: int = 0) -> tuple[str, tuple[Word, ...]]:
        """Decode the frames of a segment that begins at frame `start`: its text, and its words if it can time them."""

    def words(self, frames: np.ndarray, start: int = 0, units: Sequence[int] | None = None) -> tuple[Word, ...]:
        """Time the words of a segment, decoded to `units` if that has been done."""

    def text(self, units: Sequence[int]) -> str:
        """Spell units as normalised text."""
