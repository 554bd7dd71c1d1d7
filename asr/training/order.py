"""The order of lines in keyed epochs: a pure function of the seed and the number of the epoch.

The lines of a corpus come in blocks of neighbours. Each pass over the corpus has the blocks in another order, and an
epoch continues the pass where the epoch before it ended. Neighbouring blocks of this order make a window, and lines are
mixed inside a window only. Reading is therefore local: a window reads 16 ranges of a manifest or of shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

BLOCK = 512  # lines
WINDOW = 16 * BLOCK  # lines, about
_PASS, _CUT, _BATCHES = range(3)  # what random numbers are for, so that no two uses draw equal numbers


@dataclass(frozen=True)
class Part:
    """A corpus in an order: its first line and number of lines, and the lines that an epoch takes of it, on average."""

    first: int
    lines: int
    per_epoch: float


class KeyedOrder:
    """The lines of each epoch, in windows. Any epoch is computed without the epochs before it."""

    def __init__(self, parts: Sequence[Part], *, seed: int) -> None:
        self.parts = list(parts)
        self.seed = seed
        self._blocks = lru_cache(2 * len(self.parts))(self._order_blocks)

    def windows(self, epoch: int) -> list[np.ndarray]:
        """Return the lines `(n,)` of each window of an epoch, counted from 0."""
        pieces = self._pieces(epoch)
        sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
        ends = np.cumsum(sizes)
        count = max(1, round(int(ends[-1]) / WINDOW))
        window = (2 * ends - sizes) * count // (2 * int(ends[-1]))  # window of the middle of each piece
        borders = np.searchsorted(window, np.arange(count + 1))
        groups = (pieces[begin:end] for begin, end in pairwise(borders))
        return [np.concatenate(group) for group in groups if group]

    def generator(self, epoch: int, window: int) -> np.random.Generator:
        """Return the random numbers that divide a window into batches."""
        return np.random.default_rng([_BATCHES, self.seed, epoch, window])

    def _pieces(self, epoch: int) -> list[np.ndarray]:
        """Return the blocks of an epoch, of all corpora in turn; the first and the last of a corpus may be cut."""
        placed: list[tuple[float, int, np.ndarray]] = []
        for number, part in enumerate(self.parts):
            start, end = (round(bound * part.per_epoch) for bound in (epoch, epoch + 1))
            done = 0
            for piece in self._lines(number, start, end):
                placed.append(((done + len(piece) / 2) / (end - start), number, piece))
                done += len(piece)
        return [piece for _, _, piece in sorted(placed, key=lambda place: place[:2])]

    def _lines(self, number: int, start: int, end: int) -> list[np.ndarray]:
        """Return the lines at the places from `start` to `end` in the endless order of a corpus, block by block."""
        part = self.parts[number]
        pieces = []
        while start < end:
            turn, place = divmod(start, part.lines)
            blocks, ends = self._blocks(number, turn)
            last = min(part.lines, place + end - start)
            for at in range(int(np.searchsorted(ends, place, side="right")), len(blocks)):
                block = int(blocks[at])
                lines = np.arange(block * BLOCK, min((block + 1) * BLOCK, part.lines))
                begin = int(ends[at]) - len(lines)
                if begin >= last:
                    break
                if begin < place or last < int(ends[at]):  # an epoch ends in it: the other epoch gets the other lines
                    lines = np.random.default_rng([_CUT, self.seed, number, turn, block]).permutation(lines)
                    lines = np.sort(lines[max(0, place - begin) : last - begin])
                pieces.append(part.first + lines)
            start += last - place
        return pieces

    def _order_blocks(self, number: int, turn: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the blocks of a corpus in the order of pass `turn`, and the lines up to the end of each."""
        lines = self.parts[number].lines
        count = -(-lines // BLOCK)
        blocks = np.random.default_rng([_PASS, self.seed, number, turn]).permutation(count)
        sizes = np.full(count, BLOCK)
        sizes[blocks == count - 1] = lines - (count - 1) * BLOCK
        return blocks, np.cumsum(sizes)


def divide(sizes: Sequence[int], seconds: Sequence[float], shares: Sequence[float], lines: int) -> list[Part]:
    """Return the parts of corpora whose audio has these `shares` of epochs of about `lines` lines.

    `sizes` and `seconds` are the lines and the audio of each corpus, in the order of their lines.
    """
    counts = np.array(shares) / (np.array(seconds) / np.array(sizes))  # lines in proportion to the shares of audio
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    per_epoch = (lines * counts / counts.sum()).tolist()
    return [Part(first, size, each) for first, size, each in zip(firsts, sizes, per_epoch, strict=True)]


def shares_of(
    seconds: Sequence[float], *, weights: Sequence[float] | None = None, temperature: float | None = None
) -> list[float]:
    """Return the share of each corpus in the audio of an epoch: by `weights`, or by hours to the power `temperature`.

    Without both, corpora have shares in proportion to their audio.
    """
    found = np.array(seconds) ** (1.0 if temperature is None else temperature) if weights is None else np.array(weights)
    return (found / found.sum()).tolist()
