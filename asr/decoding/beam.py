"""CTC prefix beam search: the most probable unit sequences, each summed over all its paths.

Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
https://arxiv.org/abs/1408.2873. Differences, all for speed or for a guarantee:

- Prefixes are nodes of a trie of flat arrays, and equal prefixes are one node, so merging is exact at any beam.
- A frame extends prefixes only by units above `Pruning.min_log_prob`. Where only blank is above it (most frames of a
  trained model), no prefix can be new: one pass over the beam updates the scores and nothing is ranked. That skips
  blank frames without any other approximation.
- The prefix of the best path is never pruned. So at any beam and any pruning the result scores at least as much as
  best path, which is one of the paths summed.

Sums are in float64; compiled functions release the interpreter's lock; the state of a search is in its `BeamSearch`
alone, so that there can be one in each thread.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.decoding.fusion import MEMORY_TYPES, Fusion, Memory, final_score, remember, remember_nothing
from asr.decoding.hypothesis import Hypothesis
from asr.text import BLANK

NONE = 0  # in place of a node: there is none, since the root is nobody's child
OUTSIDE = -1  # in place of an index into the beam: the prefix is not there


class Pruning(NamedTuple):
    """What of the search space is looked at."""

    width: int = 16  # prefixes kept after each frame
    units: int = 16  # units that may extend prefixes in one frame
    min_log_prob: float = -8.0  # of a unit that may extend prefixes
    margin: float = 16.0  # nats by which a kept prefix may score below the best


class Trie(NamedTuple):
    """Every prefix met so far: a node each, an entry a node in every array. Node 0 is the empty prefix."""

    parent: np.ndarray  # int32
    unit: np.ndarray  # int32, the last of the prefix; BLANK at the root
    child: np.ndarray  # int32, one of the prefixes that are a unit longer, or NONE
    sibling: np.ndarray  # int32, the next of the same parent, or NONE
    slot: np.ndarray  # int32, index into the beam, or OUTSIDE


class Beam(NamedTuple):
    """Some prefixes, in no order. Scores are float64, log-probabilities summed over paths up to the current frame."""

    node: np.ndarray  # int32
    blank: np.ndarray  # of the paths that give the prefix and end in blank
    label: np.ndarray  # of those that end in its last unit
    total: np.ndarray  # of both
    score: np.ndarray  # what prefixes are ranked by


class State(NamedTuple):
    """All that a search remembers; compiled functions change it in place."""

    trie: Trie
    memory: Memory  # of the language models, for each node of the trie
    beam: Beam
    draft: Beam  # candidates for the next beam
    chosen: np.ndarray  # int32, units that may extend prefixes in this frame
    count: np.ndarray  # int64, see below


NODES, PREFIXES, BEST_NODE, BEST_UNIT = range(4)  # in `State.count`: of the trie, of the beam; of the best path


@njit(cache=True, nogil=True)
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) in float64."""
    if a < b:
        a, b = b, a
    if not b - a > -40.0:  # below the last bit of the sum; or NaN, as both are -inf
        return a
    return a + math.log1p(math.exp(b - a))


@njit(cache=True, nogil=True)
def in_word(trie: Trie, fusion: Fusion, node: int) -> bool:
    """Whether a prefix ends in a word, not in a space or before everything."""
    return node != 0 and trie.unit[node] != fusion.space


@njit(cache=True, nogil=True)
def extended(state: State, fusion: Fusion, node: int, unit: int) -> int:
    """The node of a prefix with one unit more, made if that was never met.

    The trie also keeps language models from being asked twice for the same prefix.
    """
    trie = state.trie
    found = trie.child[node]
    while found != NONE and trie.unit[found] != unit:
        found = trie.sibling[found]
    if found == NONE:
        found = state.count[NODES]
        state.count[NODES] += 1
        trie.parent[found] = node
        trie.unit[found] = unit
        trie.child[found] = NONE
        trie.sibling[found] = trie.child[node]
        trie.slot[found] = OUTSIDE
        trie.child[node] = found
        remember(fusion, state.memory, node, found, unit, in_word(trie, fusion, node))
    return found


@njit(cache=True, nogil=True)
def choose_units(frame: np.ndarray, best: int, pruning: Pruning, chosen: np.ndarray) -> int:
    """Fills `chosen` with the units that may extend prefixes, most probable first; returns how many there are.

    The `best` of the frame is among them at any probability, unless it is blank.
    """
    floor = min(pruning.min_log_prob, frame[best])
    size = 0
    for unit in range(BLANK + 1, len(frame)):
        value = frame[unit]
        if value < floor or value == -math.inf:
            continue
        if size < len(chosen):
            size += 1
        elif value <= frame[chosen[-1]]:
            continue
        place = size - 1
        while place > 0 and frame[chosen[place - 1]] < value:
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = unit
    return size


@njit(cache=True, nogil=True)
def emitting(state: State, i: int, unit: int) -> float:
    """Log-probability of the paths of prefix `i` that may go on to `unit`: before a repeat there is a blank."""
    repeats = state.trie.unit[state.beam.node[i]] == unit
    return state.beam.blank[i] if repeats else state.beam.total[i]


@njit(cache=True, nogil=True)
def propose(state: State, i: int, node: int, blank: float, label: float) -> None:
    """Writes candidate `i` for the next beam."""
    draft = state.draft
    draft.node[i] = node
    draft.blank[i] = blank
    draft.label[i] = label
    draft.total[i] = log_add(blank, label)
    draft.score[i] = draft.total[i] + state.memory.score[node]


@njit(cache=True, nogil=True)
def draft_stays(state: State, frame: np.ndarray) -> None:
    """Drafts each prefix of the beam one frame on, at the same index.

    Its paths go on by a blank or by its last unit again; paths of its parent join them by emitting that unit.
    """
    trie, beam = state.trie, state.beam
    for i in range(state.count[PREFIXES]):
        node = beam.node[i]
        unit = trie.unit[node]
        label = beam.label[i]
        parent = trie.slot[trie.parent[node]]
        if node != 0 and parent != OUTSIDE:
            label = log_add(label, emitting(state, parent, unit))
        propose(state, i, node, beam.total[i] + frame[BLANK], label + frame[unit])


@njit(cache=True, nogil=True)
def draft_extensions(
    state: State, fusion: Fusion, frame: np.ndarray, num_chosen: int, best: int, floor: float
) -> int:
    """Drafts prefixes that are new to the beam and may score `floor` or more; returns the size of the draft.

    The prefix of the best path, whose unit here is `best`, is drafted at any score.
    """
    trie, beam = state.trie, state.beam
    size = state.count[PREFIXES]
    for i in range(state.count[PREFIXES]):
        leads = beam.node[i] == state.count[BEST_NODE]
        bonus = state.memory.score[beam.node[i]]
        for unit in state.chosen[:num_chosen]:
            total = emitting(state, i, unit) + frame[unit]
            # Within a word language models only take away; at its end they may give back.
            if total + bonus < floor and unit != fusion.space and not (leads and unit == best):
                continue
            node = extended(state, fusion, beam.node[i], unit)
            if trie.slot[node] == OUTSIDE:  # else `draft_stays` has counted these paths
                propose(state, size, node, -math.inf, total)
                size += 1
    return size


@njit(cache=True, nogil=True)
def keep(state: State, slot: int, i: int) -> None:
    """Puts drafted prefix `i` into a slot of the beam."""
    beam, draft = state.beam, state.draft
    beam.node[slot] = draft.node[i]
    beam.blank[slot] = draft.blank[i]
    beam.label[slot] = draft.label[i]
    beam.total[slot] = draft.total[i]
    state.trie.slot[draft.node[i]] = slot


@njit(cache=True, nogil=True)
def keep_best(state: State, size: int, pruning: Pruning) -> None:
    """Makes the beam of the best `size` drafted prefixes, the one of the best path among them."""
    trie, beam, draft = state.trie, state.beam, state.draft
    scores = draft.score[:size]
    lowest = scores.max() - pruning.margin
    for i in range(size):
        if draft.node[i] == state.count[BEST_NODE]:
            scores[i] = math.inf
    if size > pruning.width:
        lowest = max(lowest, np.partition(scores, size - pruning.width)[size - pruning.width])
    for i in range(state.count[PREFIXES]):
        trie.slot[beam.node[i]] = OUTSIDE
    kept = 0
    for ties in (False, True):
        for i in range(size):
            if (scores[i] == lowest > -math.inf) if ties else (scores[i] > lowest):
                if kept == pruning.width:
                    break
                keep(state, kept, i)
                kept += 1
    state.count[PREFIXES] = kept


@njit(cache=True, nogil=True)
def follow_best_path(state: State, fusion: Fusion, best: int) -> None:
    """Moves the prefix of the best path on by the most probable unit of a frame."""
    if best not in (BLANK, state.count[BEST_UNIT]):
        state.count[BEST_NODE] = extended(state, fusion, state.count[BEST_NODE], best)
    state.count[BEST_UNIT] = best


@njit(cache=True, nogil=True)
def step(state: State, fusion: Fusion, frame: np.ndarray, pruning: Pruning) -> None:
    """One frame of log-probabilities `(V,)`."""
    best = np.argmax(frame)
    num_chosen = choose_units(frame, best, pruning, state.chosen)
    size = state.count[PREFIXES]
    draft_stays(state, frame)
    if num_chosen > 0:
        stays = state.draft.score[:size]
        floor = stays.max() - pruning.margin
        if size == pruning.width:
            floor = max(floor, stays.min())
        size = draft_extensions(state, fusion, frame, num_chosen, best, floor)
        follow_best_path(state, fusion, best)
        keep_best(state, size, pruning)
    else:
        follow_best_path(state, fusion, best)
        for i in range(size):
            keep(state, i, i)


@njit(cache=True, nogil=True)
def search(state: State, fusion: Fusion, log_probs: np.ndarray, start: int, pruning: Pruning) -> int:
    """Goes through the frames of `log_probs (S, V)` from `start` on; returns the first that the trie lacks room for."""
    for t in range(start, len(log_probs)):
        if state.count[NODES] + state.count[PREFIXES] * len(state.chosen) + 1 > len(state.trie.parent):
            return t
        step(state, fusion, log_probs[t], pruning)
    return len(log_probs)


@njit(cache=True, nogil=True)
def mark_alive(state: State) -> np.ndarray:
    """Which nodes of the trie the beam still needs, `(nodes,)`: its prefixes and the beginnings of those."""
    alive = np.zeros(state.count[NODES], np.bool_)
    alive[0] = True
    for node in state.beam.node[: state.count[PREFIXES]]:
        while not alive[node]:
            alive[node] = True
            node = state.trie.parent[node]
    return alive


@njit(cache=True, nogil=True)
def link(trie: Trie, size: int) -> None:
    """Sets the children and siblings of nodes that know their parents."""
    trie.child[:size] = NONE
    for node in range(1, size):
        trie.sibling[node] = trie.child[trie.parent[node]]
        trie.child[trie.parent[node]] = node


@njit(cache=True, nogil=True)
def final_scores(state: State, fusion: Fusion) -> np.ndarray:
    """Score of each prefix of the beam as a whole utterance, `(prefixes,)`."""
    scores = state.beam.total[: state.count[PREFIXES]].copy()
    for i in range(len(scores)):
        node = state.beam.node[i]
        scores[i] += final_score(fusion, state.memory, node, in_word(state.trie, fusion, node))
    return scores


class BeamSearch:
    """A search that takes its log-probabilities in chunks of any size: the result is the same."""

    def __init__(self, fusion: Fusion, pruning: Pruning | None = None, *, nodes: int = 1 << 14) -> None:
        """`nodes` of the trie are allocated at first; more come as needed."""
        self.fusion = fusion
        width, units, min_log_prob, margin = pruning or Pruning()
        units = min(units, len(fusion.token) - 1)
        self.pruning = Pruning(int(width), int(units), float(min_log_prob), float(margin))  # one type, compiled once
        self._state = State(
            trie=Trie(*(np.zeros(nodes, np.int32) for _ in Trie._fields)),
            memory=Memory(*(np.zeros(nodes, kind) for kind in MEMORY_TYPES)),
            beam=_empty_beam(width),
            draft=_empty_beam(width * (1 + units)),
            chosen=np.zeros(units, np.int32),
            count=np.zeros(4, np.int64),
        )
        self.reset()

    def reset(self) -> None:
        """Forgets everything heard: back to the empty prefix."""
        trie, memory, beam, _, _, count = self._state
        for column in trie:
            column[0] = 0
        remember_nothing(self.fusion, memory)
        count[:] = 1, 1, 0, BLANK
        beam.node[0], beam.blank[0], beam.label[0], beam.total[0] = 0, 0.0, -np.inf, 0.0

    def feed(self, log_probs: np.ndarray) -> None:
        """Searches on through `log_probs (S, V)`, blank at index 0."""
        log_probs = np.array(log_probs, np.float32, order="C")
        log_probs[:, BLANK] -= self.fusion.weights.blank
        done = search(self._state, self.fusion, log_probs, 0, self.pruning)
        while done < len(log_probs):
            self._make_room()
            done = search(self._state, self.fusion, log_probs, done, self.pruning)

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """The best `count` hypotheses if the utterance ends here, best first; fewer if there are fewer."""
        scores = final_scores(self._state, self.fusion)
        order = np.argsort(-scores, kind="stable")[:count]
        return [Hypothesis(self._units(self._state.beam.node[i]), float(scores[i])) for i in order]

    def _units(self, node: int) -> tuple[int, ...]:
        trie = self._state.trie
        units = []
        while node:
            units.append(int(trie.unit[node]))
            node = trie.parent[node]
        return tuple(reversed(units))

    def _make_room(self) -> None:
        """Drops the nodes that no living prefix needs, and doubles the trie where that gives too little room."""
        trie, memory, beam, _, chosen, count = self._state
        alive = np.flatnonzero(mark_alive(self._state))
        index = np.zeros(count[NODES], np.int32)
        index[alive] = np.arange(len(alive))
        step_needs = len(beam.node) * len(chosen) + 1
        room = np.zeros(max(len(trie.parent), 2 * (len(alive) + step_needs)) - len(alive), np.int32)
        trie = Trie(*(np.concatenate([column[alive], room]) for column in trie))
        memory = Memory(*(np.concatenate([column[alive], room.astype(column.dtype)]) for column in memory))
        trie.parent[: len(alive)] = index[trie.parent[: len(alive)]]
        link(trie, len(alive))
        beam.node[: count[PREFIXES]] = index[beam.node[: count[PREFIXES]]]
        count[NODES], count[BEST_NODE] = len(alive), index[count[BEST_NODE]]
        self._state = self._state._replace(trie=trie, memory=memory)


def _empty_beam(size: int) -> Beam:
    return Beam(np.zeros(size, np.int32), *(np.zeros(size) for _ in Beam._fields[1:]))
