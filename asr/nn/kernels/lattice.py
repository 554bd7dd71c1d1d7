"""The lattice of a transducer on a CPU, compiled by numba: forward and backward over frames and units, in float64.

One call computes one utterance after the other on one thread, so the result does not depend on the number of threads.
Code is compiled without `fastmath`, for the reason in `lstm_kernel.py`.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def log_add(a: float, b: float) -> float:
    """Return log(exp(a) + exp(b)) in float64."""
    if a < b:
        a, b = b, a
    if not b - a > -40.0:  # below the last bit of the sum; or NaN, as both are -inf
        return a
    return a + math.log1p(math.exp(b - a))


@njit(cache=True, nogil=True)
def occupy(
    blank: np.ndarray, label: np.ndarray, lengths: np.ndarray, sizes: np.ndarray, losses: np.ndarray,
    by_blank: np.ndarray, by_label: np.ndarray,
) -> None:  # fmt: skip
    """Compute the loss of each utterance, and the probability of each move in its lattice.

    `blank` and `label`, both `(B, S, M)`, are the log-probabilities of the two moves from `s` frames and `u` units: to
    the next frame, and to the next unit. `lengths (B,)` are in frames, `sizes (B,)` in units, without blanks. The
    function writes `losses (B,)` in nats, and the posterior of each move to `by_blank` and `by_label (B, S, M)`, which
    must hold zeros.
    """
    for row in range(len(blank)):
        frames, units = lengths[row], sizes[row]
        before = np.empty((frames, units + 1))  # log-probability of reaching a place
        for s in range(frames):
            for u in range(units + 1):
                reached = 0.0 if s == 0 and u == 0 else -math.inf
                if s > 0:
                    reached = before[s - 1, u] + blank[row, s - 1, u]
                if u > 0:
                    reached = log_add(reached, before[s, u - 1] + label[row, s, u - 1])
                before[s, u] = reached
        total = before[frames - 1, units] + blank[row, frames - 1, units]
        losses[row] = -total
        after = np.full(units + 1, -math.inf)  # log-probability of the end from the places of the next frame
        after[units] = 0.0
        for s in range(frames - 1, -1, -1):
            for u in range(units, -1, -1):
                ends = blank[row, s, u] + after[u]
                by_blank[row, s, u] = math.exp(before[s, u] + ends - total)
                if u < units:
                    spelled = label[row, s, u] + after[u + 1]
                    by_label[row, s, u] = math.exp(before[s, u] + spelled - total)
                    ends = log_add(ends, spelled)
                after[u] = ends
