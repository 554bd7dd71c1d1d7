"""Forced alignment: the best CTC path for given units, in memory linear in the length, compiled by numba.

The states are the states of CTC (Graves et al. 2006): a blank before, between and after the units. A text that does not
fit exactly can be aligned too: at a word boundary the blank may stand for any sound, at a cost for each frame, and a
word may be skipped, at a cost for each unit.

The algorithm is Viterbi with checkpoints. A first pass keeps, for each state, only the states of its path at a few
checkpoints. Then the frames between two checkpoints are solved again, among the few states between their states.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from asr.errors import AsrError
from asr.text import BLANK

ANY_SOUND = 2.0  # nats below the best unit of the frame
PASS_WORD, PASS_UNIT = 3.0, 1.0  # nats
_CHECKPOINTS = 64
_TABLE_BYTES = 2**25  # bytes of moves kept at once


@dataclass(frozen=True, slots=True)
class Target:
    """Units to align: `units (M,)` of each state, with blanks between; `skip (M,)` is true if the blank before may go.

    `boundaries` are the states between words, in order; `costs` are the nats for skipping the word before each of them.
    Both are empty if every unit must be aligned.
    """

    units: np.ndarray
    skip: np.ndarray
    boundaries: np.ndarray
    costs: np.ndarray


def exact_target(units: Sequence[int]) -> Target:
    """Build a target of which every unit must be aligned, in order."""
    states = np.zeros(2 * len(units) + 1, np.int32)
    states[1::2] = units
    skip = np.zeros(len(states), np.bool_)
    skip[3::2] = states[3::2] != states[1:-2:2]
    return Target(states, skip, np.zeros(0, np.int32), np.zeros(0, np.float32))


def words_target(words: Sequence[Sequence[int]]) -> Target:
    """Build a target of words. Each word includes the unit between it and the word before, if there is one."""
    exact = exact_target([unit for word in words for unit in word])
    sizes = np.array([len(word) for word in words])
    boundaries = np.concatenate([[0], 2 * np.cumsum(sizes)]).astype(np.int32)
    costs = np.concatenate([[0], PASS_WORD + PASS_UNIT * sizes]).astype(np.float32)
    return Target(exact.units, exact.skip, boundaries, costs)


def best_states(log_probs: np.ndarray, target: Target) -> np.ndarray:
    """Return the state of each frame `(S,)` on the best path through `log_probs (S, V)`, float32; it never decreases.

    Raises AsrError if there are fewer frames than the units need.
    """
    any_sound = log_probs[:, BLANK + 1 :].max(axis=1, initial=-np.inf) - np.float32(ANY_SOUND)
    states = np.empty(len(log_probs), np.int32)
    last = len(target.units)
    _solve(np.ascontiguousarray(log_probs), any_sound, target, 0, last, np.array([last - 1, max(last - 2, 0)]), states)
    return states


def _solve(
    log_probs: np.ndarray, any_sound: np.ndarray, target: Target, low: int, high: int, ends: np.ndarray, out: np.ndarray
) -> None:
    """Fill `out` with the best path from state `low`, before the first frame, to one of `ends`, among low..high-1."""
    inside = slice(*np.searchsorted(target.boundaries, [low, high]))
    arrays = (target.units[low:high], target.skip[low:high], target.boundaries[inside] - low, target.costs[inside])
    frames = len(log_probs)
    if frames * (high - low) <= _TABLE_BYTES or frames < 4:
        scores, moves = _table(log_probs, any_sound, *arrays)
        end = ends[scores[ends - low].argmax()] - low
        if not np.isfinite(scores[end]):
            raise AsrError(f"{(len(target.units) - 1) // 2} units need more frames than the {frames} of the recording")
        _trace(moves, arrays[2], end, out)
        out += low
        return
    stops = np.unique(np.linspace(0, frames, min(_CHECKPOINTS, frames // 2) + 1).round().astype(np.int64))[1:]
    scores, origins = _origins(log_probs, any_sound, *arrays, stops)
    state = int(ends[scores[ends - low].argmax()] - low)
    if not np.isfinite(scores[state]):
        raise AsrError(f"{(len(target.units) - 1) // 2} units need more frames than the {frames} of the recording")
    for number in range(len(stops) - 1, -1, -1):
        start, stop = int(stops[number - 1]) if number else 0, int(stops[number])
        before = int(origins[number, state])
        part = slice(start, stop)
        end = np.array([low + state])
        _solve(log_probs[part], any_sound[part], target, low + before, low + state + 1, end, out[part])
        state = before


@numba.njit(cache=True, nogil=True)
def _step(row, any_sound, units, skip, boundaries, costs, old, new, moves):  # type: ignore[no-untyped-def]
    """Compute the score of each state in one frame, and the move into it (0 stays, 1 and 2 advance, 3 skips a word)."""
    for state in range(len(units)):
        best, move = old[state], 0
        if state > 0 and old[state - 1] > best:
            best, move = old[state - 1], 1
        if skip[state] and state > 1 and old[state - 2] > best:
            best, move = old[state - 2], 2
        new[state] = best + row[units[state]]
        moves[state] = move
    for k in range(len(boundaries)):
        state = boundaries[k]
        if any_sound > row[0]:
            new[state] += any_sound - row[0]
        if k > 0 and new[boundaries[k - 1]] - costs[k] > new[state]:
            new[state] = new[boundaries[k - 1]] - costs[k]
            moves[state] = 3


@numba.njit(cache=True, nogil=True)
def _table(log_probs, any_sound, units, skip, boundaries, costs):  # type: ignore[no-untyped-def]
    """Return the scores `(M,)` after the last frame, and all moves `(S, M)`."""
    frames, states = len(log_probs), len(units)
    moves = np.empty((frames, states), np.uint8)
    old, new = np.full(states, -np.inf, np.float32), np.empty(states, np.float32)
    old[0] = 0.0
    for t in range(frames):
        _step(log_probs[t], any_sound[t], units, skip, boundaries, costs, old, new, moves[t])
        old, new = new, old
    return old, moves


@numba.njit(cache=True, nogil=True)
def _origins(log_probs, any_sound, units, skip, boundaries, costs, stops):  # type: ignore[no-untyped-def]
    """Return the scores `(M,)` after the last frame, and for each stop and state the state one stop before it."""
    states = len(units)
    saved = np.empty((len(stops), states), np.int32)
    moves = np.empty(states, np.uint8)
    old, new = np.full(states, -np.inf, np.float32), np.empty(states, np.float32)
    origin, following = np.arange(states).astype(np.int32), np.empty(states, np.int32)
    old[0] = 0.0
    number = 0
    for t in range(len(log_probs)):
        _step(log_probs[t], any_sound[t], units, skip, boundaries, costs, old, new, moves)
        for state in range(states):
            following[state] = origin[state - moves[state]] if moves[state] < 3 else 0
        for k in range(1, len(boundaries)):
            if moves[boundaries[k]] == 3:
                following[boundaries[k]] = following[boundaries[k - 1]]
        old, new = new, old
        origin, following = following, origin
        if t + 1 == stops[number]:
            saved[number] = origin
            origin[:] = np.arange(states)
            old -= old.max()  # keeps float32 exact enough for hours of audio
            number += 1
    return old, saved


@numba.njit(cache=True, nogil=True)
def _trace(moves, boundaries, end, out):  # type: ignore[no-untyped-def]
    """Follow the moves back from state `end` after the last frame."""
    state = end
    for t in range(len(out) - 1, -1, -1):
        out[t] = state
        while moves[t, state] == 3:
            state = boundaries[np.searchsorted(boundaries, state) - 1]
        state -= moves[t, state]
