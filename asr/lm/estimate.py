"""Estimation of n-gram models: interpolated Kneser-Ney, or Witten-Bell where the text is too small for it.

Both take a share of the counts after a history h, and give it to the distribution after the shorter history h':

    p(w | h) = (c(h w) - D) / N(h) + g(h) p(w | h')

Counts c of the highest order are counts in the text. Counts of a lower order are the numbers of distinct tokens seen
before the n-gram; n-grams that begin with `<s>` keep their count, since no token stands before `<s>`. g(h) is the share
taken. The empty history backs off to the uniform distribution over the vocabulary with `<unk>`, as in KenLM. Each order
takes the first of these methods that its counts of counts allow:

- modified Kneser-Ney (Chen and Goodman 1998): N(h) is the sum of c(h ·), D one of three, for counts 1, 2, 3 and more;
- Kneser-Ney with one D for all counts (Ney, Essen and Kneser 1994);
- Witten-Bell: D = 0, and the number of distinct tokens after h is added to N(h).
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asr.errors import LanguageModelError
from asr.lm.ngram import BEGIN, SPECIALS, Kind, Level, NGram, split_tokens

# KenLM reads no more than 6, unless compiled for more.
DEFAULT_ORDER: dict[Kind, int] = {"words": 4, "characters": 6}
_CHUNK = 1 << 22  # tokens counted at a time
_NEVER = -99 * np.log(10)  # nats, of <s>, which is never predicted: the usual number in ARPA files


@dataclass(frozen=True, slots=True)
class Estimate:
    """An n-gram model with the size of its text, and the smoothing of each order with the reason for it."""

    model: NGram
    sentences: int
    tokens: int  # without sentence ends
    smoothing: tuple[str, ...]

    def __str__(self) -> str:
        sizes = [len(level.token) for level in self.model.levels]
        return "\n".join(
            [
                f"{self.sentences} sentences, {self.tokens} {self.model.units}, "
                f"{len(self.model.vocabulary) - len(SPECIALS)} of them different",
                *self.smoothing,
                f"{self.model.order}-gram model with {' + '.join(map(str, sizes))} = {sum(sizes)} n-grams",
            ]
        )


class _Counts(NamedTuple):
    """The distinct n-grams of one order in the text, sorted by parent, then token."""

    parent: np.ndarray  # int32, index, in the order below, of the n-gram without its last token
    token: np.ndarray  # int32
    suffix: np.ndarray  # int32, index, in the order below, of the n-gram without its first token
    occurrences: np.ndarray  # int32, count in the text
    begins: np.ndarray  # bool, true if the first token is <s>


def estimate(
    sentences: Iterable[str], *, order: int | None = None, units: Kind = "words", prune: Sequence[int] = (0,)
) -> Estimate:
    """Estimate a model from normalised sentences; blank sentences are left out.

    - `order`: length of the longest n-grams (default: 4 words or 6 characters)
    - `prune`: a threshold for each order, the last for all higher orders; n-grams with this count or less are left out
      of the model, but not out of the counts

    Takes about 100 bytes of memory for each distinct n-gram. Raises LanguageModelError for an empty text, for `<unk>`,
    `<s>` or `</s>` in the text, and for options out of range.
    """
    order = DEFAULT_ORDER[units] if order is None else order
    if not 1 <= order <= 20:
        raise LanguageModelError(f"the order of an n-gram model must be 1 to 20, not {order}")
    thresholds = [*prune, *[prune[-1]] * order][:order]
    if thresholds[0] != 0 or thresholds != sorted(thresholds):
        raise LanguageModelError(f"pruning thresholds must begin with 0 and never fall, as in 0,0,1,1; found {prune}")
    vocabulary, stream, count = _encode(sentences, units)
    counts = _count(stream, order, len(vocabulary))
    levels: list[Level] = []
    smoothing = []
    kept = np.ones(1, dtype=bool)  # n-grams of the order below that are not pruned
    lower = np.array([1 / (len(vocabulary) - 1)])  # probabilities of the order below; at first uniform, without <s>
    for number, (level, threshold) in enumerate(zip(counts, thresholds, strict=False), start=1):
        adjusted = _adjusted_counts(counts, number)
        discounts, reason = _discounts(adjusted)
        smoothing.append(f"{number}-grams: {reason}")
        keep = (level.occurrences > threshold) | (number == 1)
        share, left = _discounted(level, adjusted, discounts, keep, len(kept))
        lower = share + left[level.parent] * lower[level.suffix]
        if levels:
            levels[-1] = levels[-1]._replace(backoff=np.log(left[kept]).astype(np.float32))
        parent = (np.cumsum(kept, dtype=np.int32) - 1)[level.parent[keep]]
        log_prob = np.minimum(np.log(lower[keep]), 0).astype(np.float32)
        levels.append(Level(parent, level.token[keep], log_prob, np.zeros_like(log_prob)))
        kept = keep
    levels[0].log_prob[BEGIN] = _NEVER
    while not len(levels[-1].token):
        levels.pop()
    return Estimate(NGram(vocabulary, levels, units), count, len(stream) - 2 * count, tuple(smoothing))


def _encode(sentences: Iterable[str], units: Kind) -> tuple[list[str], np.ndarray, int]:
    """Return the vocabulary, all sentences as one stream of indices with `<s>` and `</s>`, and their number."""
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__  # numbers new tokens in order
    begin, end = [index[special] for special in SPECIALS][BEGIN:]
    stream = array("i")
    count = 0
    for sentence in sentences:
        tokens = [index[token] for token in split_tokens(sentence, units)]
        if not tokens:
            continue
        if min(tokens) <= end:
            reserved = SPECIALS[min(tokens)]
            raise LanguageModelError(f"{sentence!r} holds {reserved}, which only the model may use; take it out")
        stream.append(begin)
        stream.extend(tokens)
        stream.append(end)
        count += 1
    if not count:
        raise LanguageModelError("the text is empty; a language model needs sentences, one a line")
    return list(index), np.frombuffer(stream, dtype=np.int32), count


def _count(stream: np.ndarray, order: int, size: int) -> list[_Counts]:
    """Count the n-grams of all orders up to `order`, or up to the length of the longest sentence.

    The number of an n-gram is its place among the n-grams of its order. One integer names an n-gram: the number of its
    parent (the n-gram without its last token) times `size`, plus its last token. Sorting these integers counts them.
    """
    token = np.arange(size, dtype=np.int32)
    none = np.zeros_like(token)
    levels = [_Counts(none, token, none, np.bincount(stream, minlength=size).astype(np.int32), token == BEGIN)]
    key = token.astype(np.int64)
    ids = stream  # number of the n-gram that ends at each token; -1 if it would begin before the sentence
    while len(levels) < order:
        below = levels[-1]
        shorter, (key, occurrences) = key, _distinct(keys for _, keys in _keys(ids, stream, size))
        if not len(key):
            break
        parent, token = (part.astype(np.int32) for part in np.divmod(key, size))
        suffix = np.searchsorted(shorter, below.suffix[parent] * np.int64(size) + token).astype(np.int32)
        levels.append(_Counts(parent, token, suffix, occurrences, below.begins[parent]))
        if len(levels) < order:
            longer = np.full(len(stream), -1, dtype=np.int32)
            for positions, keys in _keys(ids, stream, size):
                longer[positions] = np.searchsorted(key, keys)
            ids = longer
    return levels


def _keys(ids: np.ndarray, stream: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions and keys of the n-grams within sentences that are one token longer than the n-grams of `ids`."""
    for start in range(0, len(stream) - 1, _CHUNK):
        history, token = ids[start : start + _CHUNK][: len(stream) - 1 - start], stream[start + 1 : start + 1 + _CHUNK]
        inside = np.flatnonzero((history >= 0) & (token != BEGIN))
        yield start + 1 + inside, history[inside].astype(np.int64) * size + token[inside]


def _distinct(chunks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct keys of all chunks, sorted, and their counts."""
    parts = [np.unique(keys, return_counts=True) for keys in chunks]
    keys = np.concatenate([keys for keys, _ in parts])
    counts = np.concatenate([counts.astype(np.int32) for _, counts in parts])
    if len(parts) > 1:
        order = np.argsort(keys, kind="stable")  # merges sorted runs
        keys, counts = keys[order], counts[order]
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        keys, counts = keys[starts], np.add.reduceat(counts, starts) if len(starts) else counts
    return keys, counts


def _adjusted_counts(counts: Sequence[_Counts], order: int) -> np.ndarray:
    """Return the counts of the highest order; for a lower order, the numbers of distinct tokens before each n-gram."""
    level = counts[order - 1]
    adjusted = level.occurrences
    if order < len(counts):
        before = np.bincount(counts[order].suffix, minlength=len(level.token))
        adjusted = np.where(level.begins, level.occurrences, before)
    if order == 1:
        adjusted = np.where(level.begins, 0, adjusted)  # <s> is never predicted
    return adjusted


def _discounts(adjusted: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Return the discounts of counts 0, 1, 2, and 3 or more (None for Witten-Bell), and the choice in words."""
    once, twice, thrice, four = counts = np.bincount(np.minimum(adjusted, 5), minlength=6)[1:5].tolist()
    found = f"counts 1, 2, 3, 4 occur {', '.join(map(str, counts))} times"
    if not (once and twice):
        return None, f"Witten-Bell; for Kneser-Ney, too few n-grams of low count: {found}"
    share = once / (once + 2 * twice)
    if thrice and four:
        discounts = np.array(  # Chen and Goodman, eq. 26
            [0, 1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four / thrice]
        )
        if (discounts[1:] > 0).all():
            return discounts, "modified Kneser-Ney, discounts {:.2f}, {:.2f}, {:.2f}".format(*discounts[1:])
    reason = f"for three, too few n-grams of low count: {found}"
    return np.array([0, share, share, share]), f"Kneser-Ney, one discount {share:.2f}; {reason}"


def _discounted(
    level: _Counts, adjusted: np.ndarray, discounts: np.ndarray | None, keep: np.ndarray, histories: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the discounted relative frequency of each n-gram, and the share left for shorter histories."""
    total = np.bincount(level.parent, adjusted, histories)
    if discounts is None:
        total += np.bincount(level.parent, adjusted > 0, histories)
        discounts = np.zeros(4)
    share = np.where(keep, adjusted - discounts[np.minimum(adjusted, 3)], 0) / total[level.parent]
    return share, 1 - np.bincount(level.parent, share, histories)
