"""Recurrent cells from their equations, in float64 numpy, step by step, and backpropagation through time by hand.

One sequence `x (S, D)`; the state starts at 0, or at what is given; every step uses the same weights:

    rnn_tanh, rnn_relu   h[t] = f(W x[t] + b + U h[t-1] + c)                          Elman 1990
    gru                  r = σ(Wr x[t] + br + Ur h[t-1] + cr)        reset gate       Cho et al. 2014
                         z = σ(Wz x[t] + bz + Uz h[t-1] + cz)        update gate
                         n = tanh(Wn x[t] + bn + r (Un h[t-1] + cn))
                         h[t] = (1 - z) n + z h[t-1]
    lstm                 i, f, o = σ(W x[t] + b + U h[t-1] + c)      input, forget,   Hochreiter and Schmidhuber 1997,
                         g = tanh(Wg x[t] + bg + Ug h[t-1] + cg)        output gates     Gers et al. 2000 (forget gate)
                         m[t] = f m[t-1] + i g                       memory
                         h[t] = o tanh(m[t])

PyTorch stacks the gates of a matrix in the orders reset, update, new and input, forget, new, output.
"""

from typing import NamedTuple

import numpy as np
from torch import nn

Step = dict[str, np.ndarray]


class Weights(NamedTuple):
    """The weights of one direction: input matrix `(gates * H, D)`, recurrent matrix `(gates * H, H)`, and biases."""

    W: np.ndarray
    U: np.ndarray
    b: np.ndarray
    c: np.ndarray

    @classmethod
    def of(cls, rnn: nn.RNNBase) -> "Weights":
        return cls(*(getattr(rnn, f"{name}_l0").detach().numpy() for name in NAMES))


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # names in PyTorch, in the order of `Weights`


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def forward_step(cell: str, weights: Weights, x: np.ndarray, h: np.ndarray, m: np.ndarray) -> Step:
    """Compute the state after a step, `h` and for an LSTM the memory `m`, and all values that its derivatives need."""
    gates = {"gru": 3, "lstm": 4}.get(cell, 1)
    from_x = np.split(weights.W @ x + weights.b, gates)
    from_h = np.split(weights.U @ h + weights.c, gates)
    step = {"x": x, "before": h, "memory_before": m, "m": m}
    if cell in ("rnn_tanh", "rnn_relu"):
        total = from_x[0] + from_h[0]
        return step | {"h": np.tanh(total) if cell == "rnn_tanh" else np.maximum(total, 0)}
    if cell == "gru":
        r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
        n = np.tanh(from_x[2] + r * from_h[2])
        return step | {"r": r, "z": z, "n": n, "new_from_h": from_h[2], "h": (1 - z) * n + z * h}
    totals = [a + b for a, b in zip(from_x, from_h, strict=True)]
    i, f, o = sigmoid(totals[0]), sigmoid(totals[1]), sigmoid(totals[3])
    g = np.tanh(totals[2])
    m = f * m + i * g
    return step | {"i": i, "f": f, "g": g, "o": o, "m": m, "h": o * np.tanh(m)}


def unroll(cell: str, weights: Weights, x: np.ndarray) -> list[Step]:
    """Compute all steps over a sequence `(S, D)`; outputs are `step["h"]`, the final state is in the last step."""
    h = m = np.zeros(weights.U.shape[1])
    steps = []
    for frame in x:
        steps.append(forward_step(cell, weights, frame, h, m))
        h, m = steps[-1]["h"], steps[-1]["m"]
    return steps


def gate_gradients(cell: str, step: Step, dh: np.ndarray, dm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of the input sums, of the recurrent sums, and of the state that bypasses the matrices.

    `dh` and `dm` are the gradients of the state after the step. The last result is the gradient of `h` in a GRU, and of
    the memory in an LSTM.
    """
    if cell == "rnn_tanh":
        d = dh * (1 - step["h"] ** 2)
        return d, d, np.zeros_like(dh)
    if cell == "rnn_relu":
        d = dh * (step["h"] > 0)
        return d, d, np.zeros_like(dh)
    if cell == "gru":
        r, z, n = step["r"], step["z"], step["n"]
        dn = dh * (1 - z) * (1 - n**2)
        dz = dh * (step["before"] - n) * z * (1 - z)
        dr = dn * step["new_from_h"] * r * (1 - r)
        return np.concatenate([dr, dz, dn]), np.concatenate([dr, dz, dn * r]), dh * z
    i, f, g, o = step["i"], step["f"], step["g"], step["o"]
    squashed = np.tanh(step["m"])
    dm = dm + dh * o * (1 - squashed**2)
    d = np.concatenate(
        [
            dm * g * i * (1 - i),
            dm * step["memory_before"] * f * (1 - f),
            dm * i * (1 - g**2),
            dh * squashed * o * (1 - o),
        ]
    )
    return d, d, dm * f


def backpropagate(cell: str, weights: Weights, steps: list[Step], d_outputs: np.ndarray) -> tuple[np.ndarray, Weights]:
    """Compute the gradients of inputs `(S, D)` and weights from the gradients of outputs `(S, H)`, last step first.

    The steps share the weights, so the gradients of the weights are sums over the steps (Werbos 1990).
    """
    sums = Weights(*map(np.zeros_like, weights))
    dx = np.zeros((len(steps), weights.W.shape[1]))
    dh = dm = np.zeros(weights.U.shape[1])  # gradients of the state from later steps
    for t in range(len(steps) - 1, -1, -1):
        step = steps[t]
        from_x, from_h, past = gate_gradients(cell, step, dh + d_outputs[t], dm)
        sums.W[:] += np.outer(from_x, step["x"])
        sums.U[:] += np.outer(from_h, step["before"])
        sums.b[:] += from_x
        sums.c[:] += from_h
        dx[t] = weights.W.T @ from_x
        dh = weights.U.T @ from_h + (past if cell == "gru" else 0)
        dm = past
    return dx, sums
