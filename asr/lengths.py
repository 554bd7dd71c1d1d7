"""Lengths: from samples to feature frames to encoder frames, and the frames that a text needs under CTC.

This module does not import torch. The modules of the network and the check of a corpus use the same functions.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Count = TypeVar("Count", int, "np.ndarray", "Tensor")


def resampled_length(num_samples: int, source_rate: int, sample_rate: int) -> int:
    """Return the number of samples after `asr.audio.load_audio` has resampled `num_samples`, rounded as soxr does."""
    return num_samples if source_rate == sample_rate else int(num_samples / (source_rate / sample_rate) + 0.5)


def hop_samples(sample_rate: int, hop_ms: float) -> int:
    """Return the number of samples from one feature frame to the next."""
    return max(1, round(sample_rate * hop_ms / 1000))


def window_samples(sample_rate: int, window_ms: float) -> int:
    """Return the samples that one feature frame sees."""
    return max(2, round(sample_rate * window_ms / 1000))


def num_frames(num_samples: Count, hop: int) -> Count:
    """Return the number of feature frames of `N` samples: exactly `T = 1 + floor(N / hop)`."""
    return 1 + num_samples // hop


def subsampled_length(lengths: Count, factor: int) -> Count:
    """Return the number of encoder frames of `T` feature frames: exactly `S = ceil(T / factor)`."""
    return (lengths + factor - 1) // factor


def required_frames(target: Sequence[Any]) -> int:
    """Return the fewest encoder frames that can emit `target`: one per unit, and a blank between equal neighbours."""
    return len(target) + sum(a == b for a, b in pairwise(target))


def time_strides(factor: int) -> tuple[int, int]:
    """Return the strides in time of the two convolutions that subsample by `factor`."""
    return {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}[factor]


def subsampling_look_ahead(frontend: str, factor: int) -> int:
    """Return how many feature frames after its own an encoder frame sees, with a `conv` or a `stack` front end."""
    return 1 + time_strides(factor)[0] if frontend == "conv" else factor - 1
