"""Closed sets: recognise one phrase of a list, or reject the utterance.

The score of a phrase is its exact log-probability, by CTC's forward algorithm (Graves et al. 2006) over a trie of all
phrases at once. The rejection, "none of these", is scored by the forward algorithm over a loop of all units: any text.
Each unit of the loop costs `Rejection.cost` nats, since otherwise the best spelling would always win over a phrase.
Posteriors are softmax(`Rejection.scale` * scores), since the scores of a CTC model are overconfident.

Sums are sums of probabilities in float64, rescaled when they become small, which is several times as fast as sums of
logarithms. A prefix 1e-260 times as probable as the best one counts as impossible.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from asr.decoding.fusion import build_lexicon
from asr.decoding.hypothesis import Hypothesis
from asr.errors import TextError, raise_problems
from asr.files import named_lines
from asr.lm.ngram import SPECIALS, UNKNOWN
from asr.text import BLANK, Units

MOST = 100_000  # phrases, after slots are filled in
_MOST_CHARACTERS = 20_000_000  # limit for all phrases together, after slots are filled in
_MOST_NESTED = 20  # slots inside each other
_SMALL, _NOTHING = 1e-20, 1e-280  # probabilities: rescaled below the first, zero below the second
_SLOT = re.compile(r"\{([^{}]*)\}")
_DEFINITION = re.compile(r"\s*\{([^{}]*)\}\s*=(.*)")


class Rejection(BaseModel):
    """How sure a phrase must be, set by `asr tune --phrases` and stored in the model file."""

    model_config = ConfigDict(frozen=True)

    cost: float = Field(default=2.0, ge=0, allow_inf_nan=False)  # nats for each unit of a text that is no phrase
    scale: float = Field(default=0.5, gt=0, allow_inf_nan=False)  # factor of log-probabilities
    threshold: float = Field(default=0.5, ge=0, le=1)  # posterior below which a phrase is rejected
    summary: dict[str, str] = {}


class Trie(NamedTuple):
    """Phrases as a trie, numbered breadth first; node 0 is the empty prefix."""

    parent: np.ndarray  # (nodes,) int32
    unit: np.ndarray  # (nodes,) int32, last unit of the node
    reach: np.ndarray  # (depths,) int64, number of nodes with at most 0, 1, 2 … units


@njit(cache=True, nogil=True)
def forward(log_probs: np.ndarray, trie: Trie) -> np.ndarray:
    """Compute the log-probability `(nodes,)` that `log_probs (S, V)` emit the units of each node and nothing else."""
    parent, unit, reach = trie
    blank, label = (
        np.zeros(len(parent)),
        np.zeros(len(parent)),
    )  # probability of the paths that end in blank, or in the last unit
    blank[0] = 1.0
    scale = 0.0
    for t in range(len(log_probs)):
        frame = np.exp(log_probs[t].astype(np.float64))
        top = 0.0
        for node in range(reach[min(t + 1, len(reach) - 1)] - 1, -1, -1):  # children first: they need the old parent
            both = blank[node] + label[node]
            come = 0.0
            if node > 0:
                come = blank[parent[node]]
                if unit[parent[node]] != unit[node]:
                    come += label[parent[node]]
            if both + come == 0.0:
                continue
            blank[node] = both * frame[BLANK]
            label[node] = (label[node] + come) * frame[unit[node]]
            if blank[node] < _NOTHING:
                blank[node] = 0.0
            if label[node] < _NOTHING:
                label[node] = 0.0
            top = max(top, blank[node], label[node])
        if 0.0 < top < _SMALL:
            blank /= top
            label /= top
            scale += np.log(top)
    return np.log(blank + label) + scale


@njit(cache=True, nogil=True)
def forward_any(log_probs: np.ndarray, cost: float) -> float:
    """Compute the log of the summed probability of all texts, each times exp(-cost * its units): `log_probs (S, V)`."""
    label = np.zeros(log_probs.shape[1])  # probability of the paths that end in each unit, or in blank (index 0)
    label[BLANK] = 1.0
    price = np.exp(-cost)
    scale = 0.0
    for t in range(len(log_probs)):
        total = label.sum()
        kept = label + price * (total - label)
        kept[BLANK] = total
        label = kept * np.exp(log_probs[t].astype(np.float64))
        top = label.max()
        if 0.0 < top < _SMALL:
            label /= top
            scale += np.log(top)
    return np.log(label.sum()) + scale


def build_trie(phrases: Sequence[str], units: Units) -> tuple[Trie, np.ndarray]:
    """Build the trie of distinct phrases that `units` can spell; also return the node of each phrase."""
    lexicon = build_lexicon([*SPECIALS, *phrases], units)
    parent = np.concatenate([[0], np.repeat(np.arange(len(lexicon.unit)), np.diff(lexicon.first))]).astype(np.int32)
    ends = np.flatnonzero(lexicon.word != UNKNOWN)
    nodes = np.empty(len(phrases), np.int64)
    nodes[lexicon.word[ends] - len(SPECIALS)] = ends
    reach = [1]
    while reach[-1] < len(parent):  # the first child of the first node of this depth starts the next depth
        reach.append(int(lexicon.first[reach[-1]]))
    return Trie(parent, lexicon.unit, np.array(reach)), nodes


class Phrases:
    """A closed set of distinct normalised phrases, used in place of the decoder of a model."""

    def __init__(self, phrases: Sequence[str], units: Units, rejection: Rejection | None = None) -> None:
        """Build the trie. Raises TextError for a phrase that the units cannot spell."""
        self.phrases = list(phrases)
        self.rejection = rejection or Rejection()
        self._spellings = [tuple(units.encode(phrase)) for phrase in self.phrases]
        self._trie, self._nodes = build_trie(self.phrases, units)

    def scores(self, log_probs: Sequence[np.ndarray]) -> np.ndarray:
        """Score each phrase for each utterance `(S, V)`: log-probabilities `(utterances, phrases)`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(pool.map(lambda one: forward(one, self._trie)[self._nodes], log_probs))
        return np.array(rows).reshape(len(log_probs), len(self.phrases))

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]:
        """Decide on each utterance; return the decision, then other candidates, up to `count` in all.

        Scores are log-posteriors. An empty hypothesis means "none of the phrases". A phrase that needs more frames than
        the utterance has is no candidate.
        """
        anything = none_of_these(log_probs, self.rejection.cost)
        log_posteriors = posteriors(self.scores(log_probs), anything, self.rejection.scale)
        return [self._ranked(row, count) for row in log_posteriors]

    def _ranked(self, log_posteriors: np.ndarray, count: int) -> list[Hypothesis]:
        order = np.argsort(-log_posteriors, kind="stable").tolist()
        none = len(self.phrases)
        best = next(index for index in order if index != none)
        decision = best if np.exp(log_posteriors[best]) >= self.rejection.threshold else none
        order.remove(decision)
        others = [index for index in order if np.isfinite(log_posteriors[index])]
        spellings = [*self._spellings, ()]
        return [
            Hypothesis(spellings[index], float(log_posteriors[index])) for index in [decision, *others[: count - 1]]
        ]


def none_of_these(log_probs: Sequence[np.ndarray], cost: float) -> np.ndarray:
    """Compute `forward_any` of each utterance, `(utterances,)`."""
    return np.array([forward_any(one, cost) for one in log_probs])


def posteriors(scores: np.ndarray, anything: np.ndarray, scale: float) -> np.ndarray:
    """Compute log-posteriors `(utterances, phrases + 1)` from scores `(utterances, phrases)`; last, "none of these"."""
    scaled = scale * np.concatenate([scores, anything[:, None]], axis=1)
    return scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def read_phrases(source: str | Path | Sequence[str], units: Units, normalizer: Callable[[str], str]) -> list[str]:
    """Read one phrase from each line of a file or a list; a line `{digit} = zero | one` fills in the slot `{digit}`.

    Raises TextError that lists every faulty line: a slot that is not defined, defined twice or by itself; a phrase that
    is empty or that the units cannot spell; more than `MOST` phrases or 20 million characters, which are counted before
    the slots are filled in; slots nested more than 20 deep.
    """
    slots: dict[str, list[str]] = {}
    templates: list[tuple[int, str]] = []
    problems = []
    path, lines = named_lines(source, "phrases", TextError)
    for number, line in enumerate(lines, start=1):
        if definition := _DEFINITION.fullmatch(line):
            name, alternatives = definition[1].strip(), definition[2].split("|")
            if name in slots:
                problems.append(f"{path}:{number}: {{{name}}} is defined above already; write all of it in one line")
            slots.setdefault(name, alternatives)
        elif line.strip():
            templates.append((number, line))
    found: dict[str, None] = {}
    sizes: dict[str, _Size | TextError] = {}
    characters = 0
    for number, template in templates:
        try:
            size = _measure(template, slots, sizes, ())
            characters += size.characters
            if size.phrases > MOST:
                raise TextError(f"{_shortened(template)!r} makes more than {MOST} phrases; use slots of fewer words")
            if characters > _MOST_CHARACTERS:
                raise TextError(
                    f"{_shortened(template)!r} brings the phrases to more than {_MOST_CHARACTERS} characters; "
                    "use fewer or shorter slots"
                )
            for filled in _fill(template, slots):
                phrase = normalizer(filled)
                if not phrase:
                    raise TextError(
                        f"{_shortened(template)!r} can be empty; write at least one word (rejection needs no line)"
                    )
                if phrase not in found:
                    units.encode(phrase)
                found[phrase] = None
                if len(found) > MOST:
                    raise TextError(
                        f"{_shortened(template)!r} makes more than {MOST} phrases; use slots of fewer words"
                    )
        except TextError as error:
            problems.append(f"{path}:{number}: {error}")
            if characters > _MOST_CHARACTERS or len(found) > MOST:
                break
    raise_problems(problems, TextError)
    if not found:
        raise TextError(f"{path}: holds no phrases; give one a line")
    return list(found)


class _Size(NamedTuple):
    """The size of a filled template, known before it is filled; numbers above the limits are cut off there."""

    phrases: int
    characters: int  # sum over all phrases
    depth: int  # slots inside each other


def _measure(
    template: str, slots: Mapping[str, Sequence[str]], sizes: dict[str, _Size | TextError], within: tuple[str, ...]
) -> _Size:
    """Measure the texts of a template, an alternative of the slots `within`; `sizes` keeps the size of each slot.

    Raises TextError for a wrong slot.
    """
    texts, names = _parts(template)
    if any(brace in text for text in texts for brace in "{}"):
        raise TextError(f"{_shortened(template)!r} has a brace that belongs to no {{slot}}")
    if len(within) > _MOST_NESTED:
        raise TextError(f"slots are nested more than {_MOST_NESTED} deep; write the inner ones out")
    inner = []
    for name in names:
        if name not in slots:
            raise TextError(f"{{{name}}} is not defined; add a line `{{{name}}} = one | two`")
        if name in within:
            raise TextError(f"{{{name}}} is defined by itself; write its words out")
        if name not in sizes:
            sizes[name] = _measure_slot(name, slots, sizes, within)
        if isinstance(size := sizes[name], TextError):
            raise size
        inner.append(size)
    depth = max((size.depth for size in inner), default=0) + 1
    if depth > _MOST_NESTED:
        raise TextError(f"slots are nested more than {_MOST_NESTED} deep; write the inner ones out")
    phrases, characters = 1, sum(map(len, texts))
    for size in inner:
        # Each phrase so far is joined with each text of the slot.
        characters = min(characters * size.phrases + size.characters * phrases, _MOST_CHARACTERS + 1)
        phrases = min(phrases * size.phrases, MOST + 1)
    return _Size(phrases, characters, depth)


def _measure_slot(
    name: str, slots: Mapping[str, Sequence[str]], sizes: dict[str, _Size | TextError], within: tuple[str, ...]
) -> _Size | TextError:
    """Measure all alternatives of a slot; return the error of a faulty slot, so that it is looked for only once."""
    try:
        each = [_measure(text, slots, sizes, (*within, name)) for text in slots[name]]
    except TextError as error:
        return error
    return _Size(
        min(sum(size.phrases for size in each), MOST + 1),
        min(sum(size.characters for size in each), _MOST_CHARACTERS + 1),
        max(size.depth for size in each),
    )


def _fill(template: str, slots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the texts of a template that `_measure` accepts."""
    texts, names = _parts(template)
    fillings = [[text.strip() for one in slots[name] for text in _fill(one, slots)] for name in names]
    for chosen in product(*fillings):
        yield "".join(part for pair in zip(texts, (*chosen, ""), strict=True) for part in pair)


def _parts(template: str) -> tuple[list[str], list[str]]:
    """Split a template into the texts around its slots, and the names of the slots."""
    parts = _SLOT.split(template)
    return parts[::2], [name.strip() for name in parts[1::2]]


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 80 else f"{text[:80]}…"
