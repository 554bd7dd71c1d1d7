"""Back-off n-gram models in flat arrays, for use inside compiled code.

All n-grams of all orders are nodes of one trie, numbered breadth first: node 0 is the empty history, nodes 1 to V are
the unigrams in the order of the vocabulary, and the children of a node, which add one token to it, lie side by side,
sorted by that token. A state of the model is the node of the longest history that changes any probability.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numba
import numpy as np

from asr.errors import LanguageModelError

Kind = Literal["words", "characters"]

SPECIALS = ("<unk>", "<s>", "</s>")
UNKNOWN, BEGIN, END = range(3)
SPACE = "<space>"  # the token of character models between words
ROOT = 0
MOST_ORDER = 100  # the time to link n-grams grows with the square of the order
_TYPES = {  # type of each tensor in a file; compiled code reads these types only
    "token": np.int32,
    "log_prob": np.float32,
    "backoff": np.float32,
    "first": np.int32,
    "vocabulary": np.uint8,
    "units": np.uint8,
}


class Level(NamedTuple):
    """The n-grams of one order, sorted by parent, then token. Logarithms are natural."""

    parent: np.ndarray  # (n,) index, in the level below, of the n-gram without its last token
    token: np.ndarray  # (n,)
    log_prob: np.ndarray  # (n,) of the last token after the tokens before it
    backoff: np.ndarray  # (n,) log of the weight of shorter histories after this n-gram


class Tables(NamedTuple):
    """The trie of `M` nodes, in the form that compiled functions take."""

    token: np.ndarray  # (M,) int32
    log_prob: np.ndarray  # (M,) float32
    backoff: np.ndarray  # (M,) float32
    first: np.ndarray  # (M + 1,) int32; the children of node n are first[n] … first[n + 1] - 1
    suffix: np.ndarray  # (M,) int32; the next state, if the n-gram is not a state


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Perplexity of a text; the end of each sentence counts as a token."""

    log_prob: float  # nats, of all tokens
    log_prob_known: float  # nats, of the tokens in the vocabulary
    tokens: int
    unknown: int  # tokens outside the vocabulary

    @classmethod
    def of(cls, sentences: Sequence[np.ndarray], log_probs: Iterable[np.ndarray]) -> "Perplexity":
        """Sum the log-probabilities of the tokens of sentences. Raises LanguageModelError without sentences."""
        if not sentences:
            raise LanguageModelError("there is no text to compute a perplexity of; give sentences, one a line")
        known = np.concatenate(sentences) != UNKNOWN
        nats = np.concatenate(list(log_probs))
        return cls(float(nats.sum()), float(nats[known].sum()), len(known), int(np.count_nonzero(~known)))

    @property
    def value(self) -> float:
        return float(np.exp(-self.log_prob / self.tokens))

    def __str__(self) -> str:
        known = self.tokens - self.unknown
        return (
            f"perplexity {self.value:.2f} over {self.tokens} tokens with sentence ends; "
            f"{self.unknown} unknown ({100 * self.unknown / self.tokens:.1f} %), "
            f"{np.exp(-self.log_prob_known / known):.2f} without them"
        )


class TokenModel:
    """Base of language models: probabilities of tokens, and a vocabulary that begins with `<unk>`, `<s>`, `</s>`."""

    def __init__(self, vocabulary: Sequence[str], units: Kind) -> None:
        self.vocabulary = tuple(vocabulary)
        self.index = {token: number for number, token in enumerate(self.vocabulary)}
        self.units = units

    def tokens(self, text: str) -> list[str]:
        """Split a normalised text into tokens."""
        return split_tokens(text, self.units)

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Return the indices of tokens, int32; tokens outside the vocabulary become `<unk>`."""
        return np.array([self.index.get(token, UNKNOWN) for token in tokens], dtype=np.int32)

    def encode_sentences(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Return the indices of normalised sentences, each with `</s>` at its end; blank sentences are left out."""
        return [self.encode([*tokens, SPECIALS[END]]) for tokens in filter(None, map(self.tokens, texts))]

    def log_probs(self, sentences: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        """Return the log-probability of each token, in nats, of sentences from `encode_sentences`."""
        raise NotImplementedError

    def perplexity(self, texts: Iterable[str]) -> Perplexity:
        """Compute the perplexity of normalised sentences, without blank ones. Raises LanguageModelError if all are."""
        sentences = self.encode_sentences(texts)
        return Perplexity.of(sentences, self.log_probs(sentences))


class NGram(TokenModel):
    """An n-gram model."""

    empty = ROOT  # the state without history

    def __init__(self, vocabulary: Sequence[str], levels: Sequence[Level], units: Kind = "words") -> None:
        """Build a model from its n-grams, shortest first; the first level is the whole vocabulary, in order."""
        super().__init__(vocabulary, units)
        children = [
            np.bincount(level.parent, minlength=len(below.token)) for below, level in itertools.pairwise(levels)
        ]
        first = np.cumsum(np.concatenate([[1, len(vocabulary)], *children, np.zeros(len(levels[-1].token), int)]))
        root = Level(*np.zeros((4, 1), np.int8))
        token, log_prob, backoff = (np.concatenate(column) for column in list(zip(root, *levels, strict=True))[1:])
        self.tables = _tables(token, log_prob, backoff, first)

    @property
    def order(self) -> int:
        return len(self._bounds()) - 1

    @property
    def start(self) -> int:
        """State after `<s>`."""
        return int(advance(self.tables, ROOT, BEGIN)[1])

    @property
    def levels(self) -> list[Level]:
        """N-grams of each order, as the constructor takes them."""
        bounds = [0, *self._bounds()]
        levels = []
        for below, start, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
            parent = np.repeat(np.arange(start - below), np.diff(self.tables.first[below : start + 1]))
            levels.append(Level(parent, *(column[start:end] for column in self.tables[:3])))
        return levels

    def _bounds(self) -> list[int]:
        """Return the first node of each order, then the number of nodes."""
        bounds = [1, 1 + len(self.vocabulary)]
        while (end := int(self.tables.first[bounds[-1]])) > bounds[-1]:
            bounds.append(end)
        return bounds

    def score(self, tokens: Sequence[str], *, start: bool = True, end: bool = True) -> float:
        """Return the log-probability of a sentence in nats; without `start` or `end`, of a part of a sentence."""
        indices = self.encode([*tokens, SPECIALS[END]] if end else tokens)
        return float(_log_probs(self.tables, self.start if start else self.empty, indices).sum())

    def log_probs(self, sentences: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        return (_log_probs(self.tables, self.start, sentence) for sentence in sentences)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the model as arrays, for a safetensors file."""
        tensors = {name: getattr(self.tables, name) for name in ("token", "log_prob", "backoff", "first")}
        for name, text in (("vocabulary", "\n".join(self.vocabulary)), ("units", self.units)):
            tensors[name] = np.frombuffer(text.encode(), dtype=np.uint8)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "NGram":
        """Build a model from `to_tensors`. Raises LanguageModelError if the parts do not fit together."""
        model = cls.__new__(cls)
        try:
            # Types come first: a comparison of unsigned numbers, or of numbers of another type, can hide damage.
            token, log_prob, backoff, first, words, units = (_typed(tensors, name) for name in _TYPES)
            nodes = len(token)
            if int(np.count_nonzero(words == ord("\n"))) + 1 >= nodes:
                raise ValueError("it has more words than n-grams")
            model.vocabulary = tuple(words.tobytes().decode().split("\n"))
            model.units = units[:20].tobytes().decode()  # type: ignore[assignment]
            size = len(model.vocabulary)
        except (KeyError, TypeError, ValueError) as error:
            raise LanguageModelError(f"the stored language model is damaged: {type(error).__name__}: {error}") from None
        model.index = {word: number for number, word in enumerate(model.vocabulary)}
        # Compiled code does not check indices, so all arrays are checked here.
        sound = (
            model.units in ("words", "characters")
            and model.vocabulary[:3] == SPECIALS
            and len(model.index) == size
            and token.shape == log_prob.shape == backoff.shape == (nodes,)
            and first.shape == (nodes + 1,)
            and nodes > size
            and (token[1 : size + 1] == np.arange(size)).all()
            and ((token >= 0) & (token < size)).all()
            and (first[0], first[1], first[-1]) == (1, size + 1, nodes)
            and (np.diff(first) >= 0).all()
            and (first[:-1] > np.arange(nodes)).all()
            and np.isfinite(log_prob).all()
            and np.isfinite(backoff).all()
            and _orders(first, size) <= MOST_ORDER
        )
        if sound:
            siblings = np.ones(nodes, dtype=bool)  # true if a node has the parent of the node before it
            siblings[first[first < nodes]] = siblings[0] = False
            sound = bool((np.diff(token.astype(np.int64)) > 0)[siblings[1:]].all())
        if not sound:
            raise LanguageModelError("the stored language model is damaged: its parts do not fit together")
        model.tables = _tables(token, log_prob, backoff, first)
        return model


def _typed(tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return a tensor. Raises KeyError if it is missing, TypeError if it is no vector of its type."""
    tensor = tensors[name]
    if tensor.dtype != _TYPES[name] or tensor.ndim != 1:
        raise TypeError(f"{name} is {tensor.dtype} {tensor.shape}, not a vector of {np.dtype(_TYPES[name])}")
    return tensor


def _orders(first: np.ndarray, size: int) -> int:
    """Return the order of a trie with sound `first` and a vocabulary of `size`, or one more than `MOST_ORDER`."""
    end, order = 1 + size, 1
    while order <= MOST_ORDER and (following := int(first[end])) > end:
        end, order = following, order + 1
    return order


def split_tokens(text: str, units: Kind) -> list[str]:
    """Split a normalised text into words, or into characters with `<space>` for the space between words."""
    return text.split() if units == "words" else [SPACE if character == " " else character for character in text]


def join_tokens(tokens: Iterable[str], units: Kind) -> str:
    """Join tokens into a text."""
    return " ".join(tokens) if units == "words" else "".join(tokens).replace(SPACE, " ")


@numba.njit(cache=True, nogil=True)
def advance(tables: Tables, state: int, token: int) -> tuple[float, int]:
    """Return the log-probability of `token` after `state` in nats, and the next state.

    `state` and `token` are not checked: they must belong to the model.
    """
    log_prob = 0.0
    node = _child(tables, state, token)
    while node < 0:
        log_prob += tables.backoff[state]
        state = tables.suffix[state]
        node = _child(tables, state, token)
    return log_prob + tables.log_prob[node], _state(tables, node)


@numba.njit(cache=True, nogil=True)
def find(values: np.ndarray, low: int, end: int, value: int) -> int:
    """Return the index of `value` in the sorted `values[low:end]`, or -1."""
    high = end
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < end and values[low] == value else -1


@numba.njit(cache=True, nogil=True)
def _child(tables: Tables, node: int, token: int) -> int:
    """Return the child of `node` by `token`, or -1. The root has a child for every token."""
    if node == ROOT:
        return 1 + token
    return find(tables.token, tables.first[node], tables.first[node + 1], token)


@numba.njit(cache=True, nogil=True)
def _state(tables: Tables, node: int) -> int:
    """Return the state of a node: its suffix, if the node has no children and its back-off weight is 1."""
    is_state = tables.first[node] < tables.first[node + 1] or tables.backoff[node] != 0
    return node if is_state else tables.suffix[node]


@numba.njit(cache=True, nogil=True)
def _link(tables: Tables) -> None:
    """Fill in `suffix`. Suffixes are shorter, so breadth first each suffix is filled in before it is used."""
    for node in range(1, len(tables.token)):
        for child in range(tables.first[node], tables.first[node + 1]):
            history = tables.suffix[node]
            suffix = _child(tables, history, tables.token[child])
            while suffix < 0:
                history = tables.suffix[history]
                suffix = _child(tables, history, tables.token[child])
            tables.suffix[child] = _state(tables, suffix)


@numba.njit(cache=True, nogil=True)
def _log_probs(tables: Tables, state: int, tokens: np.ndarray) -> np.ndarray:
    log_probs = np.empty(len(tokens))
    for position in range(len(tokens)):
        log_probs[position], state = advance(tables, state, tokens[position])
    return log_probs


def _tables(token: np.ndarray, log_prob: np.ndarray, backoff: np.ndarray, first: np.ndarray) -> Tables:
    # Writable and contiguous, so that functions are compiled for one type of array.
    types = (np.int32, np.float32, np.float32, np.int32, np.int32)
    columns = zip((token, log_prob, backoff, first, np.zeros(len(token))), types, strict=True)
    tables = Tables(*(np.require(column, kind, ["C_CONTIGUOUS", "WRITEABLE"]) for column, kind in columns))
    _link(tables)
    return tables
