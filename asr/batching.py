"""Which utterances go into which batch, and the padded batch itself."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Joined = tuple[int, ...]  # utterances that follow each other, pauses between, in one recording; mostly it is one

_LENGTH_JITTER = 0.1  # lengths are sorted after a random change of up to this share, so that batches vary


def plan_batches(
    num_samples: Sequence[int] | np.ndarray,
    *,
    max_samples: int,
    max_utterances: int,
    generator: np.random.Generator | None = None,
) -> list[list[int]]:
    """Divides utterances into batches of similar length, at most `max_samples` with padding in each.

    With a `generator` the batches come in random order and differ from epoch to epoch; without one they are
    sorted by length. An utterance longer than `max_samples` is a batch of its own.
    """
    lengths = np.asarray(num_samples)
    jitter = generator.uniform(1 - _LENGTH_JITTER, 1 + _LENGTH_JITTER, len(lengths)) if generator is not None else 1.0
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for index in np.argsort(lengths * jitter, kind="stable").tolist():
        longest_with = max(longest, int(lengths[index]))
        if batch and (len(batch) == max_utterances or longest_with * (len(batch) + 1) > max_samples):
            batches.append(batch)
            batch, longest_with = [], int(lengths[index])
        batch.append(index)
        longest = longest_with
    if batch:
        batches.append(batch)
    if generator is not None:
        generator.shuffle(batches)
    return batches


def plan_joined(
    num_samples: np.ndarray,
    *,
    probability: float,
    pause: int,
    max_samples: int,
    max_utterances: int,
    generator: np.random.Generator,
) -> list[list[Joined]]:
    """Like `plan_batches`, but utterances drawn with a probability are joined in pairs, in batches of their own.

    Each of a pair counts `pause` samples longer than it is; what would exceed `max_samples` as a pair stays alone.
    """
    drawn = generator.permutation(np.flatnonzero(generator.random(len(num_samples)) < probability))
    pairs = drawn[: len(drawn) // 2 * 2].reshape(-1, 2)
    lengths = num_samples[pairs].sum(1) + 2 * pause
    pairs, lengths = pairs[lengths <= max_samples], lengths[lengths <= max_samples]
    single = np.setdiff1d(np.arange(len(num_samples)), pairs)[:, None]
    batches = [
        [tuple(joined) for joined in parts[batch].tolist()]
        for parts, sizes, most in (
            (single, num_samples[single[:, 0]], max_utterances),
            (pairs, lengths, max(1, max_utterances // 2)),
        )
        for batch in plan_batches(sizes, max_samples=max_samples, max_utterances=most, generator=generator)
    ]
    generator.shuffle(batches)
    return batches


def pad(waveforms: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Waveforms `(N,)` -> audio `(B, N)` with zeros at the ends, and lengths `(B,)` in samples."""
    tensors = [torch.from_numpy(waveform) for waveform in waveforms]
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths
