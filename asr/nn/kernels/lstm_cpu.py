"""The steps of an LSTM on a CPU: each direction, and parts of the batch, on threads that never wait for each other."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from asr.nn.kernels import lstm_kernel as kernel
from asr.nn.kernels.amx import permitted
from asr.nn.kernels.lstm_gates import HAS_BF16 as HAS_BF16  # which `asr/nn/lstm.py` asks of the steps of each device

_LEAST_ROWS = 4  # utterances that are worth a thread of their own: fewer take as long


def forward_steps(gates: Tensor, biases: Tensor, matrices: list[Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Memory cells and outputs `(B, S, D * H)` of all directions, zeros in padding.

    `gates (B, S, D * G * H)` hold what the inputs give, and become the gates; `biases (D, G * H)` and the recurrent
    `matrices (G * H, H)`, one of each direction, are float32.
    """
    directions, size = len(matrices), matrices[0].shape[1]
    hidden = torch.empty(*gates.shape[:2], directions * size, dtype=gates.dtype)
    cells = torch.empty_like(hidden)
    calls = []
    for direction, rows in _shares(lengths, directions):
        part = partial(_part, direction=direction, directions=directions)
        room = _room(matrices[direction].t(), gates.dtype)
        calls.append(
            partial(
                kernel.forward, part(gates), biases[direction].numpy(), matrices[direction].numpy(), lengths.numpy(),
                rows, direction == 1, room, permitted(), part(cells), part(hidden),
            )
        )  # fmt: skip
    _run(calls)
    return cells, hidden


def backward_steps(gates: Tensor, matrices: list[Tensor], lengths: Tensor, cells: Tensor, above: Tensor) -> Tensor:
    """Turns `gates` into the gradients of what the inputs give; those of the biases `(D, G * H)`, float32.

    `above (B, S, D * H)` are the gradients of the outputs; the rest is as in `forward_steps`.
    """
    directions, size = len(matrices), matrices[0].shape[1]
    shares = _shares(lengths, directions)
    biases = torch.zeros(len(shares), 4 * size)
    calls = []
    for (direction, rows), bias in zip(shares, biases, strict=True):
        part = partial(_part, direction=direction, directions=directions)
        room = _room(matrices[direction], gates.dtype)
        calls.append(
            partial(
                kernel.backward, part(gates), matrices[direction].numpy(), lengths.numpy(), rows, direction == 1,
                room, permitted(), part(cells), part(above), bias.numpy(),
            )
        )  # fmt: skip
    _run(calls)
    return biases.unflatten(0, (directions, -1)).sum(1)


def _shares(lengths: Tensor, directions: int) -> list[tuple[int, np.ndarray]]:
    """What each thread computes: a direction, and utterances, the longest first. Directions have equally many."""
    order = np.argsort(-lengths.numpy(), kind="stable")
    parts = max(1, min(torch.get_num_threads() // directions, len(order) // _LEAST_ROWS))
    return [(direction, order[part::parts]) for direction in range(directions) for part in range(parts)]


def _part(x: Tensor, direction: int, directions: int) -> np.ndarray:
    """What belongs to one direction."""
    return _numbers(x.chunk(directions, dim=2)[direction])


def _room(matrix: Tensor, dtype: torch.dtype) -> np.ndarray:
    """Room for the panels of a matrix `(rows, columns)`."""
    rows, columns = matrix.shape
    in_step = 2 if dtype == torch.bfloat16 else 1
    return _numbers(torch.empty(columns // kernel.LANES, rows // in_step, kernel.LANES * in_step, dtype=dtype))


def _numbers(x: Tensor) -> np.ndarray:
    """The same memory; bfloat16, which numpy lacks, as uint16."""
    array: np.ndarray = x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return array


def _run(calls: Sequence[Callable[[], None]]) -> None:
    first, *others = calls
    running = [_threads(torch.get_num_threads()).submit(call) for call in others]
    first()
    for call in running:
        call.result()


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Like the others they count denormals as 0: see `steady_numbers`."""
    return ThreadPoolExecutor(number, "lstm", initializer=torch.set_flush_denormal, initargs=(True,))
