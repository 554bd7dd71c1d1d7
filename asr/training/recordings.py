"""The recordings that a run trains on: utterances as they were cut, in their context, or joined with pauses."""

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from asr.batching import Joined, plan_batches, plan_joined
from asr.corpus.context import REACH
from asr.corpus.corpus import Corpus
from asr.training.pauses import make_pause

_SHORTEST, _LONGEST = 0.2, 1.5  # seconds of a pause between joined utterances
_SHARES = 0.25, 1.0  # most seconds of these two pauses, as shares of the mean length of an utterance
_GAP = 2.0  # seconds; longest real pause between two utterances that are joined
_ROUNDING = 0.005  # seconds
_JOINED = 6.0  # seconds; short utterances are joined up to about this length


class Recordings:
    """The utterances of a corpus, and how they are joined.

    A recording of several utterances has a pause between them, and one pause that is divided between its start and its
    end. If an utterance follows another one in their recording after a pause, the real pause stands between them. All
    other pauses begin and end with the context of the utterances, and are filled up with pauses made of their quiet
    frames. The logarithm of their length is uniform, so short pauses are more frequent.
    """

    def __init__(self, corpus: Corpus, *, shortest_pause: int) -> None:
        """`shortest_pause` is the fewest samples that keep the text of joined utterances feasible."""
        self.corpus = corpus
        rate, mean = corpus.sample_rate, corpus.total_samples / len(corpus)
        low, high = (
            max(shortest_pause, round(min(seconds * rate, share * mean)))
            for seconds, share in zip((_SHORTEST, _LONGEST), _SHARES, strict=True)
        )
        self.pause = low, high  # samples of the shortest and the longest pause
        if corpus.is_streamed:  # no pause is known; an array of one number takes no memory
            self.around = self.gaps = corpus.num_before
            self.following = np.broadcast_to(np.int64(-1), (len(corpus),))
        else:
            self.around = corpus.num_before + corpus.num_after
            self.following, self.gaps = _neighbours(corpus, shortest_pause)
        self._longest_pause = max(self.pause[1], int(self.gaps.max(initial=0)))
        self.most_parts = max(2, int(_JOINED * rate / (mean + self.mean_pause)))

    @property
    def mean_pause(self) -> float:
        """Samples of a pause that is drawn, on average."""
        low, high = self.pause
        return (high - low) / math.log(high / low) if high > low else float(low)

    def plan(
        self,
        join: float,
        *,
        max_samples: int,
        max_utterances: int,
        generator: np.random.Generator,
        lines: np.ndarray | None = None,
    ) -> list[list[Joined]]:
        """Plan batches of all utterances, or of the utterances `lines (n,)`, each of which may occur several times.

        `join` is the share of utterances that are joined, or else in context.
        """
        chosen = slice(None) if lines is None else lines
        num_samples = self.corpus.num_samples[chosen].astype(np.int64, copy=False)
        limits = {"max_samples": max_samples, "max_utterances": max_utterances}
        if join:
            batches = plan_joined(
                num_samples,
                probability=join,
                pause=self._longest_pause,
                around=self.around[chosen],
                following=self.following if lines is None else _places(self.following[lines], lines),
                most_parts=self.most_parts,
                generator=generator,
                **limits,
            )
        else:
            planned = plan_batches(num_samples, generator=generator, **limits)
            batches = [[Joined((index,)) for index in batch] for batch in planned]
        if lines is None:
            return batches
        numbers = lines.tolist()
        return [[Joined(tuple(numbers[at] for at in one.parts), one.in_context) for one in batch] for batch in batches]

    def state(self) -> bytes:
        """Return what decides joined recordings beside the utterances: pauses, context, and who follows whom."""
        if self.corpus.is_streamed:
            return repr(self.pause).encode()
        arrays = np.array(self.pause), self.corpus.num_before, self.corpus.num_after, self.following, self.gaps
        return b"".join(array.astype(np.int64).tobytes() for array in arrays)

    def most_samples(self, joined: Joined) -> int:
        """Return the most samples that `read` may return."""
        return self._samples(joined, self._longest_pause, 1.0)

    def usual_samples(self, joined: Joined) -> int:
        """Return about as many samples as `read` returns on average."""
        return self._samples(joined, self.mean_pause, 0.5)

    def _samples(self, joined: Joined, pause: float, share: float) -> int:
        """Count the samples of a recording with pauses of `pause` samples, or with a share of the context of one."""
        parts = list(joined.parts)
        added = pause * len(parts) if parts[1:] else share * self.around[parts].sum() * joined.in_context
        return int(self.corpus.num_samples[parts].sum() + added)

    def read(self, joined: Joined) -> np.ndarray:
        """Return the samples `(N,)` of a recording; pauses and context are drawn from torch's default generator."""
        first, *others = joined.parts
        if not joined.in_context:
            return self.corpus.audio(first)
        if not others:
            numbers = (int(self.corpus.num_before[first]), int(self.corpus.num_after[first]))
            before, after = (int(torch.randint(number + 1, ())) for number in numbers)
            return np.concatenate([self._before(first, before), self.corpus.audio(first), self._after(first, after)])
        low, high = self.pause
        *between, around = (low * (high / low) ** torch.rand(len(joined.parts))).round().int().tolist()
        start = int(torch.randint(around + 1, ()))
        pieces = [self._before(first, start), self.corpus.audio(first)]
        for (left, right), pause in zip(pairwise(joined.parts), between, strict=True):
            pieces += [*self._between(left, right, pause), self.corpus.audio(right)]
        return np.concatenate([*pieces, self._after(joined.parts[-1], around - start)])

    def _between(self, left: int, right: int, length: int) -> list[np.ndarray]:
        """Return the real pause between two utterances of a recording, or else a pause of `length` samples."""
        if self.following[left] == right:
            gap = int(self.gaps[left])
            begun = self.corpus.after(left)[:gap]
            return [begun, self._before(right, gap - len(begun))]
        split = int(torch.randint(length + 1, ()))
        return [self._after(left, split), self._before(right, length - split)]

    def _before(self, index: int, length: int) -> np.ndarray:
        """Return a pause of `length` samples that ends with the context before an utterance."""
        context = self.corpus.before(index)
        if length <= len(context):
            return context[len(context) - length :]
        return np.concatenate([self._made(index, length - len(context)), context])

    def _after(self, index: int, length: int) -> np.ndarray:
        """Return a pause of `length` samples that begins with the context after an utterance."""
        context = self.corpus.after(index)[:length]
        if len(context) == length:
            return context
        return np.concatenate([context, self._made(index, length - len(context))])

    def _made(self, index: int, length: int) -> np.ndarray:
        return make_pause(self.corpus.audio(index), length, self.corpus.sample_rate)

    def __str__(self) -> str:
        """Describe how utterances are joined, in one line."""
        low, high = (seconds / self.corpus.sample_rate for seconds in self.pause)
        return (
            f"recordings of up to {self.most_parts} joined utterances, with pauses of {low:.2f} to {high:.2f} s; "
            f"{int((self.around > 0).sum())} utterances have pauses around them in their recordings, "
            f"{int((self.following >= 0).sum())} are followed by another one after a pause"
        )


def in_order(corpus: Corpus) -> Iterator[tuple[int, int, int]]:
    """Yield each utterance, the next one of its recording, and the samples from its end to the start of the next.

    Nothing is yielded for a corpus that is streamed.
    """
    if corpus.is_streamed:
        return
    recordings: dict[Path, list[int]] = defaultdict(list)
    for index, utterance in enumerate(corpus.utterances):
        recordings[utterance.audio].append(index)
    starts = np.array([round(utterance.offset * corpus.sample_rate) for utterance in corpus.utterances], dtype=np.int64)
    ends = starts + corpus.num_samples
    for indices in recordings.values():
        for left, right in pairwise(sorted(indices, key=starts.__getitem__)):
            yield left, right, int(starts[right] - ends[left])


def _neighbours(corpus: Corpus, shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the utterance that follows each one after nothing but a pause, or -1, and the samples of that pause, or 0.

    The pause has at least `shortest` samples and at most 2 s. All of it is in the context of the two utterances.
    """
    rate = corpus.sample_rate
    following, gaps = np.full(len(corpus), -1), np.zeros(len(corpus), dtype=np.int64)
    for left, right, gap in in_order(corpus):
        needed = min(gap, REACH * rate) - _ROUNDING * rate
        is_pause = corpus.num_after[left] >= needed and corpus.num_before[right] >= needed
        if shortest <= gap <= _GAP * rate and is_pause:
            following[left], gaps[left] = right, gap
    return following, gaps


def _places(lines: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return where each of `lines (n,)` is in `among (n,)`, or -1."""
    order = np.argsort(among, kind="stable")
    places = order[np.searchsorted(among[order], lines).clip(max=len(among) - 1)]
    return np.where(among[places] == lines, places, -1)
