"""Language models inside the beam search, with an open vocabulary: the score of a prefix, also within a word.

A word model has the words of its training text; a character model scores the spelling of any word. Within a word, the
character model scores the units so far. At the end of the word this score is taken back if the word model has the word,
and replaced by the word model's probability. A word that the word model lacks gets the probability of `<unk>` times the
character model's probability of its spelling and its end:

    log p(known | history)        or        log p(<unk> | history) + log p(its characters, end | characters before)

`CERTAIN` stands for a missing model: it gives every token probability 1. With a character model alone, all characters
are scored; with a word model alone, unknown words cost only `<unk>`; without both, the score is exactly 0.

A recurrent character model is independent of both: its log-probabilities of all units, and of the end, are added.
"""

import math
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.decoding.hotwords import Hotwords, no_hotwords
from asr.errors import LanguageModelError
from asr.lm.ngram import END, SPACE, SPECIALS, UNKNOWN, Level, NGram, Tables, advance, find
from asr.text import BLANK, Units

OFF = -1  # as a node of the lexicon: no word begins with these units
NEVER = -1  # as the unit of the space: the units have no space
MOST_WORD = 10_000  # letters of one word or phrase of a lexicon
MOST_LETTERS = 1 << 26  # letters of all words of a lexicon together; each takes up to 60 bytes

CERTAIN = NGram(SPECIALS, [Level(np.zeros(3, np.int64), np.arange(3), np.zeros(3), np.zeros(3))])


class Weights(NamedTuple):
    """Weights of language models beside the acoustic model. All zero is exactly no language model."""

    lm: float = 0.0  # factor of the log-probabilities of n-grams
    word: float = 0.0  # nats added for each word
    unknown: float = 0.0  # nats added for each word that the word model lacks
    blank: float = 0.0  # nats taken from blank in each frame; over a transducer, nats added to each unit
    recurrent: float = 0.0  # factor of the recurrent model's log-probabilities
    unit: float = 0.0  # nats added for each unit, against the cost of a unit in the recurrent model


class Lexicon(NamedTuple):
    """The spellings of words as a trie, numbered breadth first; node 0 is the beginning of a word."""

    first: np.ndarray  # (nodes + 1,) int32; the children of node n are first[n] … first[n + 1] - 1
    unit: np.ndarray  # (nodes,) int32, last unit of the node; sorted among siblings
    word: np.ndarray  # (nodes,) int32, token of the word that ends at the node, or UNKNOWN


class Fusion(NamedTuple):
    """Language models in the form that the compiled search takes."""

    words: Tables
    characters: Tables
    start: tuple[int, int]  # states of words and characters after <s>
    token: np.ndarray  # (V,) int32, the character model's token of each unit
    lexicon: Lexicon
    closed: bool  # if true, only words of the lexicon are allowed
    space: int  # the unit between words, or NEVER
    weights: Weights
    hotwords: Hotwords


# Fields of a node of the search that language models read and write; they also read `unit`, the last of the prefix.
LM_FIELDS = [
    ("words", np.int32),  # state of the word model after the finished words
    ("characters", np.int32),  # state of the character model after all characters
    ("lexicon", np.int32),  # node of the unfinished word, or OFF
    ("in_word", np.int32),  # 1 within a word
    ("spelled", np.float64),  # log-probability of the unfinished word by the character model
    ("finished", np.float64),  # score of the finished words
    ("hotword", np.int32),  # node of the automaton of hotwords
    ("earned", np.float64),  # nats of finished hotwords
    ("row", np.int32),  # row of the search's `RecurrentCache`; 0 until it is computed
    ("recurrent", np.float64),  # score of the recurrent model
    ("score", np.float64),  # score of all language models and hotwords, added to the acoustic score
]


def build_fusion(
    units: Units,
    words: NGram | None = None,
    characters: NGram | None = None,
    *,
    closed: bool = False,
    weights: Weights | None = None,
) -> Fusion:
    """Combine n-gram models for the search (default: weights of zero).

    Raises LanguageModelError for a model of the wrong kind, and for `closed` without a word model.
    """
    if (words and words.units != "words") or (characters and characters.units != "characters"):
        raise LanguageModelError(
            "the first language model must be one of words, the second one of characters; check --lm and --character-lm"
        )
    if closed and words is None:
        raise LanguageModelError("a closed vocabulary needs a model of words; give one")
    words, characters = words or CERTAIN, characters or CERTAIN
    symbols = [SPACE if symbol == " " else symbol for symbol in units.symbols]
    return Fusion(
        words.tables,
        characters.tables,
        (words.start, characters.start),
        np.array([UNKNOWN, *(characters.index.get(symbol, UNKNOWN) for symbol in symbols)], np.int32),
        build_lexicon(words.vocabulary, units),
        closed,
        1 + units.symbols.index(" ") if " " in units.symbols else NEVER,
        Weights(*map(float, weights or Weights())),
        no_hotwords(units),
    )


def build_lexicon(vocabulary: Sequence[str], units: Units) -> Lexicon:
    """Build the trie of all words of a vocabulary that the units can spell; the first three tokens are `SPECIALS`."""
    tokens = [token for token in range(len(SPECIALS), len(vocabulary)) if not units.unknown(vocabulary[token])]
    longest = max((vocabulary[token] for token in tokens), key=len, default="")
    if len(longest) > MOST_WORD:
        raise LanguageModelError(
            f"the word {longest[:20]}… has {len(longest)} letters, and a word may have {MOST_WORD}; "
            "take it out of the text"
        )
    if (letters := sum(len(vocabulary[token]) for token in tokens)) > MOST_LETTERS:
        raise LanguageModelError(
            f"its {len(tokens)} words have {letters} letters, more than {MOST_LETTERS}; take a smaller vocabulary"
        )
    spelled = array("i")  # the spellings one after the other, so that one long word does not pad the others
    ends = []
    for token in tokens:
        spelled.extend(units.encode(vocabulary[token]))
        ends.append(len(spelled))
    spellings = np.array(spelled, np.int64)
    lengths = np.diff(np.array([0, *ends], np.int64))
    starts = np.array(ends, np.int64) - lengths
    node = np.zeros(len(tokens), np.int64)  # node of each word up to the current letter
    parents, unit_of, word_of = [np.array([-1])], [np.array([BLANK])], [np.array([UNKNOWN])]
    token_of = np.array(tokens, np.int64)
    size = 1
    alive = np.arange(len(tokens))
    for position in range(int(lengths.max(initial=0))):
        alive = alive[lengths[alive] > position]
        letter = spellings[starts[alive] + position]
        keys, place = np.unique(node[alive] * len(units) + letter, return_inverse=True)
        node[alive] = size + place
        words = np.full(len(keys), UNKNOWN)
        finished = alive[lengths[alive] == position + 1]
        words[node[finished] - size] = token_of[finished]
        parents.append(keys // len(units))
        unit_of.append(keys % len(units))
        word_of.append(words)
        size += len(keys)
    children = np.bincount(np.concatenate(parents) + 1, minlength=size + 1)[1:]  # the root is no child
    first = np.concatenate([[1], 1 + np.cumsum(children)])
    return Lexicon(*(column.astype(np.int32) for column in (first, np.concatenate(unit_of), np.concatenate(word_of))))


@njit(cache=True, nogil=True)
def follow(lexicon: Lexicon, node: int, unit: int) -> int:
    """Return the child of `node` by `unit`, or OFF."""
    if node == OFF:
        return OFF
    return find(lexicon.unit, lexicon.first[node], lexicon.first[node + 1], unit)


@njit(cache=True, nogil=True)
def init_node(fusion: Fusion, node: Any) -> None:
    """Write the fields of the empty prefix into its node, which holds zeros."""
    node.words, node.characters = fusion.start
    node.hotword = fusion.hotwords.begin


@njit(cache=True, nogil=True)
def extend_node(fusion: Fusion, parent: Any, node: Any, recurrent: float) -> None:
    """Write the fields of a prefix that is `parent` and one unit more.

    `recurrent` is the log-probability of this unit by the recurrent model.
    """
    log_prob, node.characters = advance(fusion.characters, parent.characters, fusion.token[node.unit])
    node.words = parent.words
    node.spelled = parent.spelled + log_prob
    node.finished = parent.finished
    if node.unit == fusion.space:
        node.lexicon = 0
        node.in_word = False
        if parent.in_word:
            node.finished, node.words = finish_word(fusion, parent, node.spelled)
            node.spelled = 0.0
    else:
        node.lexicon = follow(fusion.lexicon, parent.lexicon, node.unit)
        node.in_word = True
    node.hotword = fusion.hotwords.follow[parent.hotword, node.unit]
    node.earned = parent.earned + fusion.hotwords.gain[node.hotword]
    node.recurrent = parent.recurrent + fusion.weights.recurrent * recurrent + fusion.weights.unit
    node.score = node.finished + fusion.weights.lm * node.spelled + node.earned + fusion.hotwords.credit[node.hotword]
    node.score += node.recurrent
    if fusion.closed and node.lexicon == OFF:
        node.score = -math.inf


@njit(cache=True, nogil=True)
def finish_word(fusion: Fusion, node: Any, spelled: float) -> tuple[float, int]:
    """Return the score of a prefix with its last word finished, and the state of the word model after it.

    `spelled` is the log-probability of the spelling and of the end of the word.
    """
    weights = fusion.weights
    word = UNKNOWN if node.lexicon == OFF else fusion.lexicon.word[node.lexicon]
    log_prob, state = advance(fusion.words, node.words, word)
    score = node.finished + weights.word
    if word != UNKNOWN:
        return score + weights.lm * log_prob, state
    if fusion.closed:
        return -math.inf, state
    return score + weights.lm * (log_prob + spelled) + weights.unknown, state


@njit(cache=True, nogil=True)
def final_score(fusion: Fusion, node: Any, recurrent: float) -> float:
    """Score a prefix as the text of the whole utterance.

    `recurrent` is the log-probability of the end of the text by the recurrent model.
    """
    score, state = node.finished, node.words
    if node.in_word:
        log_prob, _ = advance(fusion.characters, node.characters, END)
        score, state = finish_word(fusion, node, node.spelled + log_prob)
    log_prob, _ = advance(fusion.words, state, END)
    earned = node.earned
    if fusion.space != NEVER:  # the end of the text also ends the last hotword
        earned += fusion.hotwords.gain[fusion.hotwords.follow[node.hotword, fusion.space]]
    return score + fusion.weights.lm * log_prob + earned + node.recurrent + fusion.weights.recurrent * recurrent
