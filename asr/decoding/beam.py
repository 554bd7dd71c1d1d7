"""CTC prefix beam search: the most probable unit sequences, each summed over all its paths.

Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
https://arxiv.org/abs/1408.2873. Differences, all for speed or for a guarantee:

- Prefixes are nodes of one trie, and equal prefixes are one node, so merging is exact at any beam. The node of a prefix
  keeps the scores of the language models, so each score is computed once.
- A frame extends prefixes only by units above `Pruning.min_log_prob`. In most frames of a trained model only blank is
  above it: then one pass over the beam updates the scores, and nothing is ranked. Blank frames are skipped without any
  other approximation.
- The prefix of the best path is never pruned. The best path is one of the paths summed. So without a language model the
  result scores at least as high as best path, at any beam and any pruning.

Sums are in float64. Compiled functions release the interpreter's lock, and only `BeamSearch` holds the state of a
search, so each thread can have its own. Arrays of records keep numbers that are read together side by side. There are
few arrays, since passing an array to a compiled function costs more than reading a number from it.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.decoding.fusion import Fusion, final_score, init_node
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.prefixes import (
    BEST_NODE,
    BEST_UNIT,
    ENTRY,
    NODE,
    NODES,
    OUTSIDE,
    PREFIXES,
    RecurrentCache,
    State,
    extended,
    free_space,
    make_heap,
    needs_rows,
    recurrent_log_prob,
    sift_down,
    units_of,
)
from asr.lm.compiled import Network, no_network
from asr.nn.kernels.lattice import log_add
from asr.text import BLANK


class Pruning(NamedTuple):
    """Limits of the search."""

    width: int = 16  # prefixes kept after each frame
    units: int = 8  # units that may extend prefixes in a frame
    min_log_prob: float = -6.0  # least log-probability of a unit that may extend prefixes
    margin: float = 12.0  # nats that a kept prefix may score below the best


@njit(cache=True, nogil=True)
def choose_units(frame: np.ndarray, best: int, pruning: Pruning, chosen: np.ndarray) -> int:
    """Fill `chosen` with the units that may extend prefixes, most probable first; return their number.

    The `best` unit of the frame is always one of them, unless it is blank.
    """
    floor = min(pruning.min_log_prob, frame[best])
    size = 0
    for unit in range(BLANK + 1, len(frame)):
        value = frame[unit]
        if value < floor or value == -math.inf:
            continue
        if size < len(chosen):
            size += 1
        elif value <= frame[chosen[size - 1]]:
            continue
        place = size - 1
        while place > 0 and frame[chosen[place - 1]] < value:
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = unit
    return size


@njit(cache=True, nogil=True)
def emitting(entry: Any, unit: int) -> float:
    """Return the log-probability of the paths of a prefix that `unit` may extend: a repeat needs a blank before it."""
    return entry.blank if entry.unit == unit else entry.total


@njit(cache=True, nogil=True)
def write_entry(state: State, i: int, node: int, blank: float, label: float) -> float:
    """Write entry `i` of the draft; return its score, which is finite also on the best path."""
    entry = state.draft[i]
    entry.node = node
    entry.unit = state.nodes[node].unit
    entry.blank = blank
    entry.label = label
    entry.total = log_add(blank, label)
    score = entry.total + state.nodes[node].score
    entry.score = math.inf if node == state.counts[BEST_NODE] else score
    return score


@njit(cache=True, nogil=True)
def draft_stays(state: State, frame: np.ndarray) -> float:
    """Write each prefix of the beam to the draft, one frame later; return the best score.

    Its paths continue with a blank or with its last unit. Paths of its parent join them by emitting its last unit.
    """
    beam = state.beam
    top = -math.inf
    for i in range(state.counts[PREFIXES]):
        entry = beam[i]
        label = entry.label
        parent = state.nodes[state.nodes[entry.node].parent].slot
        if entry.node != 0 and parent != OUTSIDE:
            label = log_add(label, emitting(beam[parent], entry.unit))
        top = max(top, write_entry(state, i, entry.node, entry.total + frame[BLANK], label + frame[entry.unit]))
    return top


@njit(cache=True, nogil=True)
def draft_extensions(
    state: State,
    fusion: Fusion,
    cache: RecurrentCache,
    frame: np.ndarray,
    num_chosen: int,
    pruning: Pruning,
    top: float,
) -> tuple[int, float]:
    """Write prefixes that are new to the beam to the draft; return the size of the draft and the best score.

    A full draft is a heap with the lowest score at index 0, which the next prefix replaces.
    """
    nodes, beam, draft = state.nodes, state.beam, state.draft
    best_node = nodes[state.counts[BEST_NODE]]
    most_gain = fusion.hotwords.step + max(fusion.weights.unit, 0.0)
    size = state.counts[PREFIXES]
    if size == pruning.width:
        make_heap(draft, size)
    for i in range(state.counts[PREFIXES] - 1, -1, -1):
        entry = beam[i]
        score = nodes[entry.node].score
        for unit in state.chosen[:num_chosen]:
            label = emitting(entry, unit) + frame[unit]
            floor = max(top - pruning.margin, draft[0].score if size == pruning.width else -math.inf)
            on_best_path = entry.node == best_node.parent and unit == best_node.unit
            # Within a word n-grams only lower the score; at its end they may raise it. Hotwords and the bonus of a unit
            # may raise the score anywhere, by at most `most_gain`.
            if label + score + most_gain < floor and unit != fusion.space and not on_best_path:
                continue
            log_prob = recurrent_log_prob(state, cache, entry.node, unit) if len(cache.states) > 0 else 0.0
            node = extended(state, fusion, entry.node, unit, log_prob)
            if nodes[node].slot != OUTSIDE or not (label + nodes[node].score > floor or on_best_path):
                continue  # `draft_stays` has counted these paths, or they are too improbable
            if size < pruning.width:
                top = max(top, write_entry(state, size, node, -math.inf, label))
                size += 1
                if size == pruning.width:
                    make_heap(draft, size)
            else:
                top = max(top, write_entry(state, 0, node, -math.inf, label))
                sift_down(draft, 0, size)
    return size, top


@njit(cache=True, nogil=True)
def adopt_draft(state: State, size: int, floor: float) -> None:
    """Make the draft the beam, without entries that score less than `floor`."""
    for i in range(state.counts[PREFIXES]):
        state.nodes[state.beam[i].node].slot = OUTSIDE
    kept = 0
    for i in range(size):
        if state.draft[i].score >= floor and state.draft[i].score > -math.inf:
            state.beam[kept] = state.draft[i]
            state.nodes[state.beam[kept].node].slot = kept
            kept += 1
    state.counts[PREFIXES] = kept


@njit(cache=True, nogil=True)
def step(state: State, fusion: Fusion, cache: RecurrentCache, frame: np.ndarray, pruning: Pruning) -> None:
    """Search one frame of log-probabilities `(V,)`."""
    best = int(np.argmax(frame))
    if best != BLANK and best != state.counts[BEST_UNIT]:
        node = state.counts[BEST_NODE]
        log_prob = recurrent_log_prob(state, cache, node, best) if len(cache.states) > 0 else 0.0
        state.counts[BEST_NODE] = extended(state, fusion, node, best, log_prob)
    state.counts[BEST_UNIT] = best
    size = state.counts[PREFIXES]
    top = draft_stays(state, frame)
    num_chosen = choose_units(frame, best, pruning, state.chosen)
    if num_chosen > 0:
        size, top = draft_extensions(state, fusion, cache, frame, num_chosen, pruning, top)
    adopt_draft(state, size, top - pruning.margin)


@njit(cache=True, nogil=True)
def search(
    state: State, fusion: Fusion, cache: RecurrentCache, log_probs: np.ndarray, begin: int, pruning: Pruning
) -> int:
    """Search `log_probs (S, V)` from frame `begin` on; return the first frame for which there is no space."""
    for t in range(begin, len(log_probs)):
        if state.counts[NODES] + state.counts[PREFIXES] * len(state.chosen) + 1 > len(state.nodes):
            return t
        if needs_rows(state, cache):
            return t
        step(state, fusion, cache, log_probs[t], pruning)
    return len(log_probs)


@njit(cache=True, nogil=True)
def final_scores(state: State, fusion: Fusion, cache: RecurrentCache) -> np.ndarray:
    """Score each prefix of the beam as the text of the whole utterance, `(prefixes,)`."""
    scores = np.empty(state.counts[PREFIXES])
    for i in range(len(scores)):
        node = state.beam[i].node
        log_prob = recurrent_log_prob(state, cache, node, BLANK) if len(cache.states) > 0 else 0.0
        scores[i] = state.beam[i].total + final_score(fusion, state.nodes[node], log_prob)
    return scores


class BeamSearch:
    """A search that takes log-probabilities in chunks; the result does not depend on the size of the chunks."""

    def __init__(
        self,
        fusion: Fusion,
        pruning: Pruning | None = None,
        network: Network | None = None,
        *,
        nodes: int = 1 << 13,
        rows: int = 1 << 10,
    ) -> None:
        """Begin a search. `nodes` are allocated at first, and more as needed; `rows` is the size of the cache."""
        self.fusion = fusion
        width, units, min_log_prob, margin = pruning or Pruning()
        units = min(units, len(fusion.token) - 1)
        self.pruning = Pruning(int(width), int(units), float(min_log_prob), float(margin))  # one type, compiled once
        self._state = State(
            nodes=np.zeros(nodes, NODE),
            beam=np.zeros(width, ENTRY),
            draft=np.zeros(width, ENTRY),
            chosen=np.zeros(units, np.int32),
            counts=np.zeros(5, np.int64),
        )
        if network is None or not fusion.weights.recurrent:
            network, rows = no_network(), 0
        else:
            rows = max(rows, 2 * width + 1)  # row 0, and two for each prefix: its parent and itself
        layers, hidden = len(network.recurrent), network.embedding.shape[1]
        self._cache = RecurrentCache(
            network,
            states=np.zeros((rows, layers, 2, hidden), np.float32),
            log_probs=np.zeros((rows, len(network.token)), np.float32),
        )
        self.reset()

    def reset(self) -> None:
        """Return to the empty prefix, for the next utterance."""
        self._state.nodes[0] = np.zeros((), NODE)
        init_node(self.fusion, self._state.nodes[0])
        self._state.beam[0] = (0, BLANK, 0.0, -np.inf, 0.0, 0.0)
        self._state.counts[:] = 1, 1, 0, BLANK, 1

    def feed(self, log_probs: np.ndarray) -> None:
        """Continue the search with `log_probs (S, V)`, blank at index 0."""
        log_probs = np.array(log_probs, np.float32, order="C")
        log_probs[:, BLANK] -= self.fusion.weights.blank
        done = search(self._state, self.fusion, self._cache, log_probs, 0, self.pruning)
        while done < len(log_probs):
            self._free_space()
            done = search(self._state, self.fusion, self._cache, log_probs, done, self.pruning)

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """Return up to `count` hypotheses, best first, as if the utterance ended here."""
        if needs_rows(self._state, self._cache):
            self._free_space()
        scores = final_scores(self._state, self.fusion, self._cache)
        order = np.argsort(-scores, kind="stable")[:count]
        return [Hypothesis(units_of(self._state, i), float(scores[i])) for i in order]

    def _free_space(self) -> None:
        new_nodes = len(self._state.beam) * len(self._state.chosen) + 1
        self._state = free_space(self._state, [self._cache.states, self._cache.log_probs], new_nodes)
