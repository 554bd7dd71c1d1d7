"""Batches: which utterances go into which batch, and padding."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor  # planning needs no torch

_BATCH_SECONDS = 120.0  # seconds of audio in a batch of inference, including padding
_BATCH_UTTERANCES = 32  # in a batch of inference
_LENGTH_JITTER = 0.1  # largest random relative change of a length before sorting, so that batches vary


class Joined(NamedTuple):
    """A recording to train on: the indices of its utterances, mostly one, and whether it keeps the pauses around."""

    parts: tuple[int, ...]
    in_context: bool = False


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
    around: np.ndarray,
    following: np.ndarray,
    most_parts: int,
    max_samples: int,
    max_utterances: int,
    generator: np.random.Generator,
) -> list[list[Joined]]:
    """Plan batches as `plan_batches` does; join some of the `U` utterances, and keep the context of some others.

    `probability` is the share of utterances that are joined, and the share of the others that keep their context.
    `pause` is the most samples that joining adds to each utterance. `around (U,)` is the most samples that the context
    of an utterance has, 0 for an utterance without context. `following (U,)` is the next utterance in the recording, or
    -1. A joined recording has 2 to `most_parts` utterances. Utterances that exceed `max_samples` when they are joined,
    or with their context, stay as they were cut. Each of the three kinds goes to batches of its own.
    """
    groups = _groups(following, round(probability * len(num_samples)), most_parts, generator)
    lengths = np.array([num_samples[group].sum() + pause * len(group) for group in groups], dtype=np.int64)
    groups = [group for group, length in zip(groups, lengths.tolist(), strict=True) if length <= max_samples]
    lengths = lengths[lengths <= max_samples]
    joined = [index for group in groups for index in group]
    single = np.setdiff1d(np.arange(len(num_samples)), joined)
    fits = (around > 0) & (num_samples + around <= max_samples)
    kept = fits[single] & (generator.random(len(single)) < probability)
    apart, in_context = single[~kept].tolist(), single[kept].tolist()
    batches = [
        [recordings[place] for place in batch]
        for recordings, sizes, most in (
            ([Joined((index,)) for index in apart], num_samples[apart], max_utterances),
            ([Joined((index,), True) for index in in_context], (num_samples + around)[in_context], max_utterances),
            (
                [Joined(tuple(group), True) for group in groups],
                lengths,
                max(1, round(max_utterances * len(groups) / max(1, len(joined)))),
            ),
        )
        for batch in plan_batches(sizes, max_samples=max_samples, max_utterances=most, generator=generator)
    ]
    generator.shuffle(batches)
    return batches


def _groups(following: np.ndarray, count: int, most_parts: int, generator: np.random.Generator) -> list[list[int]]:
    """Draw `count` utterances into groups of 2 to `most_parts`; an utterance is followed by its next one, if free."""
    order = iter(generator.permutation(len(following)).tolist())
    free = np.ones(len(following), dtype=bool)
    groups: list[list[int]] = []
    while count > 1:
        size = min(int(generator.integers(2, most_parts + 1)), count)
        group: list[int] = []
        while len(group) < size:
            index = int(following[group[-1]]) if group else -1
            if index < 0 or not free[index]:
                index = next(other for other in order if free[other])
            free[index] = False
            group.append(index)
        groups.append(group)
        count -= size
    return groups


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
