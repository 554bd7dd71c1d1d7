"""Beam search over a transducer: the most probable unit sequences, each summed over all its alignments.

The search goes frame by frame (time-synchronous: Saon, Tüske and Audhkhasi 2020). In a frame it treats prefixes in the
order of their lengths, so each prefix has all its paths before units extend it, and is extended once. A frame whose
encoder state is all zero contains no speech, and changes nothing.

A greedy search, which takes the best unit of each place, is no substitute. The probability of a text may be spread
over many alignments, each less probable than one alignment of a wrong text (docs/experiments/transducer.md).

Prefixes, language models and hotwords are those of the search over CTC (`prefixes.py`, `fusion.py`).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.decoding.beam import Pruning, choose_units
from asr.decoding.fusion import Fusion, final_score, init_node
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.prefixes import (
    NODE,
    NODES,
    NONE,
    OUTSIDE,
    PREFIXES,
    ROWS,
    State,
    extended,
    free_space,
    units_of,
)
from asr.decoding.transducer import JointNetwork, write_log_probs
from asr.lm.compiled import Network, outputs_after
from asr.nn.kernels.lattice import log_add
from asr.text import BLANK

MOST_UNITS = 5  # units that a frame may add to the longest prefix, so that every frame ends
_CANDIDATES = 4  # prefixes of a frame, for each prefix that the beam keeps

# A prefix in a frame, with log-probabilities summed over paths.
ENTRY = np.dtype(
    [
        ("node", np.int32),
        ("length", np.int32),  # units
        ("total", np.float64),  # paths to the prefix in this frame
        ("ended", np.float64),  # paths that a blank has ended, or -inf as long as the prefix is not treated
        ("treated", np.int32),  # 1 if the prefix has been extended
        ("score", np.float64),  # rank: total plus language models
    ]
)


class Predictions(NamedTuple):
    """The prediction network, with its state and output after each prefix that it has read."""

    network: Network
    states: np.ndarray  # (rows, layers, 2, H); row 0 is the state before a text
    outputs: np.ndarray  # (rows, J)


@njit(cache=True, nogil=True)
def predict(state: State, predictions: Predictions, node: int) -> np.ndarray:
    """Return the output `(J,)` of the prediction network after a prefix; its parent has been read before."""
    prefix = state.nodes[node]
    if prefix.row == NONE:
        before = predictions.states[0 if node == 0 else state.nodes[prefix.parent].row]
        prefix.row = state.counts[ROWS]
        state.counts[ROWS] += 1
        after = predictions.states[prefix.row]
        predictions.outputs[prefix.row] = outputs_after(predictions.network, prefix.unit, before, after)
    return predictions.outputs[prefix.row]


@njit(cache=True, nogil=True)
def shortest(draft: np.ndarray, size: int) -> int:
    """Return the shortest prefix that has not been treated, or -1."""
    found = -1
    for i in range(size):
        if not draft[i].treated and (found < 0 or draft[i].length < draft[found].length):
            found = i
    return found


@njit(cache=True, nogil=True)
def lowest(draft: np.ndarray, size: int) -> int:
    """Return the prefix with the lowest score that has not been treated, or -1."""
    found = -1
    for i in range(size):
        if not draft[i].treated and (found < 0 or draft[i].score < draft[found].score):
            found = i
    return found


@njit(cache=True, nogil=True)
def add_paths(state: State, size: int, node: int, length: int, paths: float) -> int:
    """Add paths to a prefix of the draft; return the size of the draft, in which the prefix may be new.

    A full draft loses the lowest prefix that has not been treated, if its score is lower.
    """
    draft, prefix = state.draft, state.nodes[node]
    place = prefix.slot
    if place == OUTSIDE:
        score = paths + prefix.score
        if size < len(draft):
            place = size
            size += 1
        else:
            place = lowest(draft, size)
            if place < 0 or draft[place].score >= score:
                return size
            state.nodes[draft[place].node].slot = OUTSIDE
        draft[place].node = node
        draft[place].length = length
        draft[place].total = paths
        draft[place].ended = -math.inf
        draft[place].treated = 0
        prefix.slot = place
    else:
        draft[place].total = log_add(draft[place].total, paths)
    draft[place].score = draft[place].total + prefix.score
    return size


@njit(cache=True, nogil=True)
def step(
    state: State,
    fusion: Fusion,
    predictions: Predictions,
    output: np.ndarray,
    frame: np.ndarray,
    pruning: Pruning,
    log_probs: np.ndarray,
) -> None:
    """Search one frame, `frame (J,)` of the joint network."""
    nodes, beam, draft = state.nodes, state.beam, state.draft
    size, longest, top = 0, 0, -math.inf
    for i in range(state.counts[PREFIXES]):
        size = add_paths(state, size, beam[i].node, beam[i].length, beam[i].total)
        longest = max(longest, beam[i].length)
        top = max(top, beam[i].score)
    place = shortest(draft, size)
    while place >= 0:
        entry = draft[place]
        entry.treated = 1
        if entry.score >= top - pruning.margin:
            top = max(top, entry.score)
            write_log_probs(output, frame, predict(state, predictions, entry.node), log_probs)
            log_probs[BLANK + 1 :] += fusion.weights.blank  # all alignments have equally many blanks
            entry.ended = entry.total + log_probs[BLANK]
            if entry.length < longest + MOST_UNITS:
                best = BLANK + 1 + int(np.argmax(log_probs[BLANK + 1 :]))
                is_likely = log_probs[best] >= pruning.min_log_prob
                count = choose_units(log_probs, best, pruning, state.chosen) if is_likely else 0
                for unit in state.chosen[:count]:
                    paths = entry.total + log_probs[unit]
                    node = extended(state, fusion, entry.node, unit, 0.0)
                    if paths + nodes[node].score >= top - pruning.margin:
                        size = add_paths(state, size, node, entry.length + 1, paths)
        place = shortest(draft, size)
    adopt(state, size, pruning)


@njit(cache=True, nogil=True)
def adopt(state: State, size: int, pruning: Pruning) -> None:
    """Make the best prefixes of the draft the beam, best first."""
    draft, kept, top = state.draft, 0, -math.inf
    for i in range(size):
        state.nodes[draft[i].node].slot = OUTSIDE
        draft[i].score = draft[i].ended + state.nodes[draft[i].node].score
    while kept < pruning.width:
        best = -1
        for i in range(size):
            if draft[i].score > -math.inf and (best < 0 or draft[i].score > draft[best].score):
                best = i
        if best < 0 or draft[best].score < top - pruning.margin:
            break
        top = max(top, draft[best].score)
        entry = state.beam[kept]
        entry.node = draft[best].node
        entry.length = draft[best].length
        entry.total = draft[best].ended
        entry.score = draft[best].score
        draft[best].score = -math.inf
        kept += 1
    if kept > 0:  # else no prefix has a number as its score: the beam stays
        state.counts[PREFIXES] = kept


@njit(cache=True, nogil=True)
def search(
    state: State,
    fusion: Fusion,
    predictions: Predictions,
    output: np.ndarray,
    frames: np.ndarray,
    speech: np.ndarray,
    begin: int,
    pruning: Pruning,
) -> int:
    """Search `frames (S, J)` with `speech (S,)` from `begin` on; return the first frame for which there is no space."""
    log_probs = np.empty(output.shape[1], np.float32)
    for s in range(begin, len(frames)):
        if state.counts[NODES] + len(state.draft) * len(state.chosen) + 1 > len(state.nodes):
            return s
        if state.counts[ROWS] + len(state.draft) > len(predictions.states):
            return s
        if speech[s]:
            step(state, fusion, predictions, output, frames[s], pruning, log_probs)
    return len(frames)


@njit(cache=True, nogil=True)
def final_scores(state: State, fusion: Fusion) -> np.ndarray:
    """Score each prefix of the beam as the text of the whole utterance, `(prefixes,)`."""
    scores = np.empty(state.counts[PREFIXES])
    for i in range(len(scores)):
        scores[i] = state.beam[i].total + final_score(fusion, state.nodes[state.beam[i].node], 0.0)
    return scores


class TransducerSearch:
    """A search that takes encoder states in chunks; the result does not depend on the size of the chunks."""

    def __init__(self, joint: JointNetwork, fusion: Fusion, pruning: Pruning, *, nodes: int = 1 << 13) -> None:
        """Begin a search. `nodes` are allocated at first, and more as needed."""
        self.joint, self.fusion = joint, fusion
        width, units, min_log_prob, margin = pruning
        units = min(units, len(fusion.token) - 1)
        self.pruning = Pruning(int(width), int(units), float(min_log_prob), float(margin))  # one type, compiled once
        self._state = State(
            nodes=np.zeros(nodes, NODE),
            beam=np.zeros(width, ENTRY),
            draft=np.zeros(_CANDIDATES * width, ENTRY),
            chosen=np.zeros(units, np.int32),
            counts=np.zeros(5, np.int64),
        )
        rows, network = 2 * (_CANDIDATES + 1) * width + 2, joint.prediction
        layers, hidden = len(network.recurrent), network.embedding.shape[1]
        self._predictions = Predictions(
            network,
            np.zeros((rows, layers, 2, hidden), np.float32),
            np.zeros((rows, network.output.shape[1]), np.float32),
        )
        self.reset()

    def reset(self) -> None:
        """Return to the empty prefix, for the next utterance."""
        self._state.nodes[0] = np.zeros((), NODE)
        init_node(self.fusion, self._state.nodes[0])
        self._state.nodes[0]["slot"] = OUTSIDE
        self._state.beam[0] = np.zeros((), ENTRY)
        self._state.counts[:] = 1, 1, 0, BLANK, 1

    def feed(self, states: np.ndarray) -> None:
        """Continue the search with encoder states `(S, D)`."""
        states = np.ascontiguousarray(states, np.float32)
        speech = np.asarray(states.any(axis=1))
        frames = states @ self.joint.frames[:-1] + self.joint.frames[-1]  # (S, J)
        done = self._search(frames, speech, 0)
        while done < len(frames):
            new_nodes = len(self._state.draft) * len(self._state.chosen) + 1
            self._state = free_space(self._state, self._predictions[1:], new_nodes)
            done = self._search(frames, speech, done)

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """Return up to `count` hypotheses, best first, as if the utterance ended here."""
        scores = final_scores(self._state, self.fusion)
        order = np.argsort(-scores, kind="stable")[:count]
        return [Hypothesis(units_of(self._state, i), float(scores[i])) for i in order]

    def _search(self, frames: np.ndarray, speech: np.ndarray, begin: int) -> Any:
        return search(
            self._state, self.fusion, self._predictions, self.joint.output, frames, speech, begin, self.pruning
        )
