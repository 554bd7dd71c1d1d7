"""Storage of the beam search: the trie of prefixes, the beam, and what a recurrent model has read."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from asr.decoding.fusion import LM_FIELDS, Fusion, extend_node
from asr.lm.compiled import Network, read

NONE = 0  # as a node: no such node (the root is never a child); as a row of the cache: not computed yet
OUTSIDE = -1  # as an index into the beam: the prefix is not in the beam

# A prefix seen so far; node 0 is the empty prefix.
NODE = np.dtype(
    [
        ("parent", np.int32),
        ("unit", np.int32),  # last unit of the prefix; BLANK at the root
        ("child", np.int32),  # one of the prefixes with one unit more, or NONE
        ("sibling", np.int32),  # next child of the parent, or NONE
        ("slot", np.int32),  # index into the beam, or OUTSIDE
        *LM_FIELDS,
    ]
)

# A prefix in the beam, with log-probabilities summed over paths up to the current frame.
ENTRY = np.dtype(
    [
        ("node", np.int32),
        ("unit", np.int32),  # last unit of the prefix
        ("blank", np.float64),  # paths that end in blank
        ("label", np.float64),  # paths that end in the last unit
        ("total", np.float64),  # all paths
        ("score", np.float64),  # rank: total plus language models; infinity on the best path
    ]
)


class State(NamedTuple):
    """State of a search; compiled functions change it in place."""

    nodes: np.ndarray  # NODE
    beam: np.ndarray  # (width,) ENTRY
    draft: np.ndarray  # (width,) ENTRY, the next beam while it is built
    chosen: np.ndarray  # int32, units that may extend prefixes in this frame
    counts: np.ndarray  # int64, indexed by the constants below


class RecurrentCache(NamedTuple):
    """A recurrent model, with its state and output after each prefix that it has read.

    Compiled functions that do not need the cache do not take it, to stay fast.
    """

    network: Network
    states: np.ndarray  # (rows, layers, 2, H) float32; row 0 is the state before the first unit
    log_probs: np.ndarray  # (rows, V) float32, of the next unit; at BLANK, of the end of the text


# Indices into `State.counts`: numbers of nodes, prefixes and rows of the cache; node and last unit of the best path.
NODES, PREFIXES, BEST_NODE, BEST_UNIT, ROWS = range(5)


@njit(cache=True, nogil=True)
def recurrent_log_prob(state: State, cache: RecurrentCache, node: int, unit: int) -> float:
    """Return the recurrent model's log-probability of a unit after a prefix; for BLANK, of the end of the text.

    The model reads the prefix at the first call, and the cache keeps the log-probabilities of all units after it. The
    parent of the prefix is in the cache, since it was extended to this prefix.
    """
    prefix = state.nodes[node]
    if prefix.row == NONE:
        before = cache.states[state.nodes[prefix.parent].row]  # row 0 for the root, which is its own parent
        prefix.row = state.counts[ROWS]
        state.counts[ROWS] += 1
        read(cache.network, prefix.unit, before, cache.states[prefix.row], cache.log_probs[prefix.row])
    return cache.log_probs[prefix.row, unit]


@njit(cache=True, nogil=True)
def extended(state: State, fusion: Fusion, parent: int, unit: int, log_prob: float) -> int:
    """Return the node of a prefix with one unit more; make it if it is new.

    `log_prob` is the log-probability of the unit by the recurrent model.
    """
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
        extend_node(fusion, nodes[parent], node, log_prob)
    return found


@njit(cache=True, nogil=True)
def make_heap(entries: np.ndarray, size: int) -> None:
    for i in range(size // 2 - 1, -1, -1):
        sift_down(entries, i, size)


@njit(cache=True, nogil=True)
def sift_down(entries: np.ndarray, i: int, size: int) -> None:
    """Restore the order of a heap, lowest score at index 0, after entry `i` has changed."""
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
def needs_rows(state: State, cache: RecurrentCache) -> bool:
    """Return true if the cache has too few free rows for all prefixes of the beam."""
    return 0 < len(cache.states) < state.counts[ROWS] + state.counts[PREFIXES]


@njit(cache=True, nogil=True)
def mark_alive(state: State) -> np.ndarray:
    """Mark the nodes that the beam still needs, `(nodes,)`: its prefixes and all their ancestors."""
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
    """Set the children and siblings of nodes from their parents."""
    for node in range(size):
        nodes[node].child = NONE
    for node in range(1, size):
        nodes[node].sibling = nodes[nodes[node].parent].child
        nodes[nodes[node].parent].child = node


def free_space(state: State, rows_of: Sequence[np.ndarray], new_nodes: int) -> State:
    """Drop nodes and rows that no prefix of the beam needs; allocate more nodes if fewer than `new_nodes` are free.

    `rows_of` are the arrays of a cache, each with a row for each prefix that it has read.
    """
    nodes, beam, _, _, counts = state
    alive = np.flatnonzero(mark_alive(state))
    index = np.zeros(counts[NODES], np.int32)
    index[alive] = np.arange(len(alive))
    room = max(len(nodes), 2 * (len(alive) + new_nodes)) - len(alive)
    nodes = np.concatenate([nodes[alive], np.zeros(room, NODE)])
    nodes["parent"][: len(alive)] = index[nodes["parent"][: len(alive)]]
    link(nodes, len(alive))
    prefixes = beam["node"][: counts[PREFIXES]] = index[beam["node"][: counts[PREFIXES]]]
    computed = nodes["row"][prefixes] != NONE
    needed = np.unique(np.where(computed, prefixes, nodes["parent"][prefixes]))  # a prefix is read from its parent
    needed = needed[nodes["row"][needed] != NONE]
    rows = slice(1, 1 + len(needed))
    for array in rows_of:
        array[rows] = array[nodes["row"][needed]]
    nodes["row"] = NONE
    nodes["row"][needed] = np.arange(rows.start, rows.stop)
    counts[NODES], counts[BEST_NODE], counts[ROWS] = len(alive), index[counts[BEST_NODE]], rows.stop
    return state._replace(nodes=nodes)


def units_of(state: State, entry: int) -> tuple[int, ...]:
    """Return the units of the prefix in entry `entry` of the beam."""
    node, units = int(state.beam["node"][entry]), []
    while node:
        units.append(int(state.nodes["unit"][node]))
        node = state.nodes["parent"][node]
    return tuple(reversed(units))
