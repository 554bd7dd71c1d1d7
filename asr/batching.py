"""Batches: which utterances go into which batch, and padding."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor  # planning needs no torch

Joined = tuple[int, ...]  # indices of utterances joined into one recording, with pauses; mostly a single utterance

_BATCH_SECONDS = 120.0  # seconds of audio in a batch of inference, including padding
_BATCH_UTTERANCES = 32  # in a batch of inference
_LENGTH_JITTER = 0.1  # largest random relative change of a length before sorting, so that batches vary


def plan_batches(
    num_samples: Sequence[int] | np.ndarray,
    *,
    max_samples: int,
    max_utterances: int,
    generator: np.random.Generator | None = None,
) -> list[list[int]]:
    """Divide utterances into batches of similar length, of at most `max_samples` samples with padding.

    With a `generator`, the batches come in random order and differ from epoch to epoch. Without a generator, the
    batches are sorted by length. An utterance longer than `max_samples` is a batch of its own. Returns the indices of
    the utterances of each batch.
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
    """Plan batches as `plan_batches` does, and join some utterances in pairs, in batches of their own.

    `probability` is the probability that an utterance is joined. `pause` is the number of samples added to each
    utterance of a pair. A pair that would exceed `max_samples` is not joined.
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


def read_batches(
    num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray], *, sample_rate: int
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Read many waveforms in batches of similar length, as inference computes them; yield `(indices, waveforms)`.

    `read(index)` is called when the batch is needed, and returns a waveform of `num_samples[index]` samples.
    """
    most = round(_BATCH_SECONDS * sample_rate)
    for indices in plan_batches(num_samples, max_samples=most, max_utterances=_BATCH_UTTERANCES):
        yield indices, [read(index) for index in indices]


def pad(waveforms: Iterable[np.ndarray]) -> "tuple[Tensor, Tensor]":
    """Pad waveforms `(N,)` with zeros at their ends: return audio `(B, N)` and lengths `(B,)` in samples."""
    import torch

    tensors = [torch.from_numpy(waveform) for waveform in waveforms]
    lengths = torch.tensor([len(tensor) for tensor in tensors])
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths
