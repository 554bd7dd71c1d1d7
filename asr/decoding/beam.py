"""CTC prefix beam search: the most probable unit sequences, each summed over all its paths.

Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
https://arxiv.org/abs/1408.2873. Differences, all for speed or for a guarantee:

- Prefixes are nodes of one trie, and equal prefixes are one node, so merging is exact at any beam. What language models
  said of a prefix is kept at its node, so they are asked once.
- A frame extends prefixes only by units above `Pruning.min_log_prob`. Where only blank is above it (most frames of a
  trained model), one pass over the beam updates the scores and nothing is ranked. That skips blank frames without any
  other approximation.
- The prefix of the best path is never pruned. So without a language model the result scores at least as much as best
  path, which is one of the paths summed, at any beam and any pruning.

Sums are in float64; compiled functions release the interpreter's lock; the state of a search is in its `BeamSearch`
alone, so that there can be one in each thread. Arrays of records keep what is read together side by side, and are few:
passing an array to a compiled function costs more than reading a number from it.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.decoding.fusion import MEMORY, Fusion, final_score, remember, start
from asr.decoding.hypothesis import Hypothesis
from asr.lm.compiled import Network, no_network, read
from asr.text import BLANK

NONE = 0  # in place of a node: there is none, since the root is nobody's child; in place of a row: not read yet
OUTSIDE = -1  # in place of an index into the beam: the prefix is not there

# Every prefix met so far; node 0 is the empty one.
NODE = np.dtype(
    [
        ("parent", np.int32),
        ("unit", np.int32),  # the last of the prefix; BLANK at the root
        ("child", np.int32),  # one of the prefixes that are a unit longer, or NONE
        ("sibling", np.int32),  # the next of the same parent, or NONE
        ("slot", np.int32),  # index into the beam, or OUTSIDE
        *MEMORY,
    ]
)

# A prefix in the beam, with log-probabilities summed over paths up to the current frame.
ENTRY = np.dtype(
    [
        ("node", np.int32),
        ("unit", np.int32),  # its last
        ("blank", np.float64),  # of the paths that end in blank
        ("label", np.float64),  # of those that end in the last unit
        ("total", np.float64),  # of both
        ("score", np.float64),  # what it is ranked by: that and the language models, or infinity on the best path
    ]
)


class Pruning(NamedTuple):
    """What of the search space is looked at."""

    width: int = 16  # prefixes kept after each frame
    units: int = 8  # units that may extend prefixes in one frame
    min_log_prob: float = -6.0  # of a unit that may extend prefixes
    margin: float = 12.0  # nats by which a kept prefix may score below the best


class State(NamedTuple):
    """All that a search remembers; compiled functions change it in place."""

    nodes: np.ndarray  # of NODE
    beam: np.ndarray  # (width,) of ENTRY
    draft: np.ndarray  # (width,) of ENTRY, the next beam while it is being made
    chosen: np.ndarray  # int32, units that may extend prefixes in this frame
    counts: np.ndarray  # int64, see below


class Reader(NamedTuple):
    """A recurrent model, and what it has read. Compiled functions that need it not do not take it, to stay fast."""

    network: Network
    memory: np.ndarray  # (rows, layers, 2, H) float32, its states; row 0 is the one before everything
    follows: np.ndarray  # (rows, V) float32, log-probability of each unit after the same; at BLANK of the end


NODES, PREFIXES, BEST_NODE, BEST_UNIT, ROWS = range(5)  # in `State.counts`: how many there are; where the best path is


@njit(cache=True, nogil=True)
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)) in float64."""
    if a < b:
        a, b = b, a
    if not b - a > -40.0:  # below the last bit of the sum; or NaN, as both are -inf
        return a
    return a + math.log1p(math.exp(b - a))


@njit(cache=True, nogil=True)
def expect(state: State, reader: Reader, node: int, unit: int) -> float:
    """The recurrent model's log-probability of a unit after a prefix, at BLANK of the end.

    It reads a prefix when this is first asked, and then knows all that may follow. It has read the parent, which was
    extended to get here.
    """
    prefix = state.nodes[node]
    if prefix.row == NONE:
        before = reader.memory[state.nodes[prefix.parent].row]  # row 0 for the root, which is its own parent
        prefix.row = state.counts[ROWS]
        state.counts[ROWS] += 1
        read(reader.network, prefix.unit, before, reader.memory[prefix.row], reader.follows[prefix.row])
    return reader.follows[prefix.row, unit]


@njit(cache=True, nogil=True)
def extended(state: State, fusion: Fusion, parent: int, unit: int, log_prob: float) -> int:
    """The node of a prefix with one unit more, made if that was never met; `log_prob` is the recurrent model's."""
    nodes = state.nodes
    found = nodes[parent].child
    while found != NONE and nodes[found].unit != unit:
        found = nodes[found].sibling
    if found == NONE:
        found = state.counts[NODES]
        state.counts[NODES] += 1
        node = nodes[found]
        node.parent = parent
        node.unit = unit
        node.child = NONE
        node.sibling = nodes[parent].child
        node.slot = OUTSIDE
        node.row = NONE
        nodes[parent].child = found
        remember(fusion, nodes[parent], node, log_prob)
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
    """Log-probability of the paths of a prefix that may go on to `unit`: before a repeat there is a blank."""
    return entry.blank if entry.unit == unit else entry.total


@njit(cache=True, nogil=True)
def write(state: State, i: int, node: int, blank: float, label: float) -> float:
    """Writes entry `i` of the draft; returns its score without regard to the best path."""
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
    """Drafts each prefix of the beam one frame on; returns the best score.

    Its paths go on by a blank or by its last unit again; paths of its parent join them by emitting that unit.
    """
    beam = state.beam
    top = -math.inf
    for i in range(state.counts[PREFIXES]):
        entry = beam[i]
        label = entry.label
        parent = state.nodes[state.nodes[entry.node].parent].slot
        if entry.node != 0 and parent != OUTSIDE:
            label = log_add(label, emitting(beam[parent], entry.unit))
        top = max(top, write(state, i, entry.node, entry.total + frame[BLANK], label + frame[entry.unit]))
    return top


@njit(cache=True, nogil=True)
def draft_extensions(
    state: State, fusion: Fusion, reader: Reader, frame: np.ndarray, num_chosen: int, pruning: Pruning, top: float
) -> tuple[int, float]:
    """Drafts prefixes that are new to the beam in place of the worst; returns the size of the draft and the best score.

    Once the draft is full it is a heap, with its lowest score at index 0.
    """
    nodes, beam, draft = state.nodes, state.beam, state.draft
    leader = nodes[state.counts[BEST_NODE]]
    given = fusion.hotwords.step + max(fusion.weights.unit, 0.0)
    size = state.counts[PREFIXES]
    if size == pruning.width:
        make_heap(draft, size)
    for i in range(state.counts[PREFIXES] - 1, -1, -1):
        entry = beam[i]
        score = nodes[entry.node].score
        for unit in state.chosen[:num_chosen]:
            label = emitting(entry, unit) + frame[unit]
            floor = max(top - pruning.margin, draft[0].score if size == pruning.width else -math.inf)
            leads = entry.node == leader.parent and unit == leader.unit
            # Within a word language models only take away; at its end they may give back. Others may give anywhere.
            if label + score + given < floor and unit != fusion.space and not leads:
                continue
            log_prob = expect(state, reader, entry.node, unit) if len(reader.memory) > 0 else 0.0
            node = extended(state, fusion, entry.node, unit, log_prob)
            if nodes[node].slot != OUTSIDE or not (label + nodes[node].score > floor or leads):
                continue  # `draft_stays` has these paths already, or they are too improbable
            if size < pruning.width:
                top = max(top, write(state, size, node, -math.inf, label))
                size += 1
                if size == pruning.width:
                    make_heap(draft, size)
            else:
                top = max(top, write(state, 0, node, -math.inf, label))
                sift_down(draft, 0, size)
    return size, top


@njit(cache=True, nogil=True)
def make_heap(entries: np.ndarray, size: int) -> None:
    for i in range(size // 2 - 1, -1, -1):
        sift_down(entries, i, size)


@njit(cache=True, nogil=True)
def sift_down(entries: np.ndarray, i: int, size: int) -> None:
    """Restores the order of a heap, lowest score at index 0, after entry `i` has changed."""
    while True:
        lowest = i
        for child in (2 * i + 1, 2 * i + 2):
            if child < size and entries[child].score < entries[lowest].score:
                lowest = child
        if lowest == i:
            return
        swap(entries[i], entries[lowest])
        i = lowest


@njit(cache=True, nogil=True)
def swap(a: Any, b: Any) -> None:
    a.node, b.node = b.node, a.node
    a.unit, b.unit = b.unit, a.unit
    a.blank, b.blank = b.blank, a.blank
    a.label, b.label = b.label, a.label
    a.total, b.total = b.total, a.total
    a.score, b.score = b.score, a.score


@njit(cache=True, nogil=True)
def adopt_draft(state: State, size: int, floor: float) -> None:
    """Makes the draft the beam, without what scores less than `floor`."""
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
def step(state: State, fusion: Fusion, reader: Reader, frame: np.ndarray, pruning: Pruning) -> None:
    """One frame of log-probabilities `(V,)`."""
    best = int(np.argmax(frame))
    if best != BLANK and best != state.counts[BEST_UNIT]:
        node = state.counts[BEST_NODE]
        log_prob = expect(state, reader, node, best) if len(reader.memory) > 0 else 0.0
        state.counts[BEST_NODE] = extended(state, fusion, node, best, log_prob)
    state.counts[BEST_UNIT] = best
    size = state.counts[PREFIXES]
    top = draft_stays(state, frame)
    num_chosen = choose_units(frame, best, pruning, state.chosen)
    if num_chosen > 0:
        size, top = draft_extensions(state, fusion, reader, frame, num_chosen, pruning, top)
    adopt_draft(state, size, top - pruning.margin)


@njit(cache=True, nogil=True)
def lacks_rows(state: State, reader: Reader) -> bool:
    """Whether the recurrent model has no room to read every prefix of the beam."""
    return 0 < len(reader.memory) < state.counts[ROWS] + state.counts[PREFIXES]


@njit(cache=True, nogil=True)
def search(state: State, fusion: Fusion, reader: Reader, log_probs: np.ndarray, begin: int, pruning: Pruning) -> int:
    """Goes through `log_probs (S, V)` from frame `begin` on; returns the first frame that there is no room for."""
    for t in range(begin, len(log_probs)):
        if state.counts[NODES] + state.counts[PREFIXES] * len(state.chosen) + 1 > len(state.nodes):
            return t
        if lacks_rows(state, reader):
            return t
        step(state, fusion, reader, log_probs[t], pruning)
    return len(log_probs)


@njit(cache=True, nogil=True)
def mark_alive(state: State) -> np.ndarray:
    """Which nodes the beam still needs, `(nodes,)`: its prefixes and the beginnings of those."""
    alive = np.zeros(state.counts[NODES], np.bool_)
    alive[0] = True
    for i in range(state.counts[PREFIXES]):
        node = state.beam[i].node
        while not alive[node]:
            alive[node] = True
            node = state.nodes[node].parent
    return alive


@njit(cache=True, nogil=True)
def link(nodes: np.ndarray, size: int) -> None:
    """Sets the children and siblings of nodes that know their parents."""
    for node in range(size):
        nodes[node].child = NONE
    for node in range(1, size):
        nodes[node].sibling = nodes[nodes[node].parent].child
        nodes[nodes[node].parent].child = node


@njit(cache=True, nogil=True)
def final_scores(state: State, fusion: Fusion, reader: Reader) -> np.ndarray:
    """Score of each prefix of the beam as a whole utterance, `(prefixes,)`."""
    scores = np.empty(state.counts[PREFIXES])
    for i in range(len(scores)):
        node = state.beam[i].node
        log_prob = expect(state, reader, node, BLANK) if len(reader.memory) > 0 else 0.0
        scores[i] = state.beam[i].total + final_score(fusion, state.nodes[node], log_prob)
    return scores


class BeamSearch:
    """A search that takes its log-probabilities in chunks of any size: the result is the same."""

    def __init__(
        self,
        fusion: Fusion,
        pruning: Pruning | None = None,
        network: Network | None = None,
        *,
        nodes: int = 1 << 13,
        rows: int = 1 << 10,
    ) -> None:
        """`nodes` are allocated at first; more come as needed. So many `rows` hold what the network remembers."""
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
            rows = max(rows, 2 * width + 1)  # one each to begin with, to come from, and to read
        layers, hidden = len(network.recurrent), network.embedding.shape[1]
        self._reader = Reader(
            network,
            memory=np.zeros((rows, layers, 2, hidden), np.float32),
            follows=np.zeros((rows, len(network.token)), np.float32),
        )
        self.reset()

    def reset(self) -> None:
        """Forgets everything heard: back to the empty prefix."""
        self._state.nodes[0] = np.zeros((), NODE)
        start(self.fusion, self._state.nodes[0])
        self._state.beam[0] = (0, BLANK, 0.0, -np.inf, 0.0, 0.0)
        self._state.counts[:] = 1, 1, 0, BLANK, 1

    def feed(self, log_probs: np.ndarray) -> None:
        """Searches on through `log_probs (S, V)`, blank at index 0."""
        log_probs = np.array(log_probs, np.float32, order="C")
        log_probs[:, BLANK] -= self.fusion.weights.blank
        done = search(self._state, self.fusion, self._reader, log_probs, 0, self.pruning)
        while done < len(log_probs):
            self._make_room()
            done = search(self._state, self.fusion, self._reader, log_probs, done, self.pruning)

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """The best `count` hypotheses if the utterance ends here, best first; fewer if there are fewer."""
        if lacks_rows(self._state, self._reader):
            self._make_room()
        scores = final_scores(self._state, self.fusion, self._reader)
        order = np.argsort(-scores, kind="stable")[:count]
        return [Hypothesis(self._units(int(self._state.beam["node"][i])), float(scores[i])) for i in order]

    def _units(self, node: int) -> tuple[int, ...]:
        parents, last_units = self._state.nodes["parent"], self._state.nodes["unit"]
        units = []
        while node:
            units.append(int(last_units[node]))
            node = parents[node]
        return tuple(reversed(units))

    def _make_room(self) -> None:
        """Drops nodes and rows that no living prefix needs, and takes more nodes where that gives too little room."""
        nodes, beam, _, chosen, counts = self._state
        _, memory, follows = self._reader
        alive = np.flatnonzero(mark_alive(self._state))
        index = np.zeros(counts[NODES], np.int32)
        index[alive] = np.arange(len(alive))
        step_needs = len(beam) * len(chosen) + 1
        room = max(len(nodes), 2 * (len(alive) + step_needs)) - len(alive)
        nodes = np.concatenate([nodes[alive], np.zeros(room, NODE)])
        nodes["parent"][: len(alive)] = index[nodes["parent"][: len(alive)]]
        link(nodes, len(alive))
        prefixes = beam["node"][: counts[PREFIXES]] = index[beam["node"][: counts[PREFIXES]]]
        read = nodes["row"][prefixes] != NONE
        needed = np.unique(np.where(read, prefixes, nodes["parent"][prefixes]))  # to read what is not read yet
        needed = needed[nodes["row"][needed] != NONE]
        rows = slice(1, 1 + len(needed))
        memory[rows], follows[rows] = memory[nodes["row"][needed]], follows[nodes["row"][needed]]
        nodes["row"] = NONE
        nodes["row"][needed] = np.arange(rows.start, rows.stop)
        counts[NODES], counts[BEST_NODE], counts[ROWS] = len(alive), index[counts[BEST_NODE]], rows.stop
        self._state = self._state._replace(nodes=nodes)
