"""The recurrent steps of an LSTM on a CPU: each direction and each part of a batch runs on a thread of its own.

The threads never wait for each other.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from asr.nn.kernels import LANES
from asr.nn.kernels import lstm_kernel as kernel
from asr.nn.kernels.amx import permitted
from asr.nn.kernels.processor import HAS_BF16 as HAS_BF16  # part of the interface of steps, see `asr/nn/lstm.py`

_LEAST_UTTERANCES = 4  # per thread; fewer utterances take as long as four


def forward_steps(gates: Tensor, biases: Tensor, matrices: list[Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the memory cells and outputs `(B, S, D * H)` of all directions, with zeros in padding.

    `gates (B, S, D * G * H)` contain the products of the inputs; the function overwrites them with the gates.
    `biases (D, G * H)` and the recurrent `matrices (G * H, H)`, one for each direction, are float32.
    """
    directions, size = len(matrices), matrices[0].shape[1]
    hidden = torch.empty(*gates.shape[:2], directions * size, dtype=gates.dtype)
    cells = torch.empty_like(hidden)
    calls = []
    for direction, rows in _shares(lengths, directions):
        part = partial(_part, direction=direction, directions=directions)
        panels = _empty_panels(matrices[direction].t(), gates.dtype)
        calls.append(
            partial(
                kernel.forward, part(gates), biases[direction].numpy(), matrices[direction].numpy(), lengths.numpy(),
                rows, direction == 1, panels, permitted(), part(cells), part(hidden),
            )
        )  # fmt: skip
    _run(calls)
    return cells, hidden


def backward_steps(gates: Tensor, matrices: list[Tensor], lengths: Tensor, cells: Tensor, above: Tensor) -> Tensor:
    """Overwrite `gates` with the gradients of the products of the inputs; return the gradients of the biases.

    `above (B, S, D * H)` are the gradients of the outputs. The gradients of the biases are `(D, G * H)`, float32. All
    other arguments are as in `forward_steps`.
    """
    directions, size = len(matrices), matrices[0].shape[1]
    shares = _shares(lengths, directions)
    biases = torch.zeros(len(shares), 4 * size)
    calls = []
    for (direction, rows), bias in zip(shares, biases, strict=True):
        part = partial(_part, direction=direction, directions=directions)
        panels = _empty_panels(matrices[direction], gates.dtype)
        calls.append(
            partial(
                kernel.backward, part(gates), matrices[direction].numpy(), lengths.numpy(), rows, direction == 1,
                panels, permitted(), part(cells), part(above), bias.numpy(),
            )
        )  # fmt: skip
    _run(calls)
    return biases.unflatten(0, (directions, -1)).sum(1)


def _shares(lengths: Tensor, directions: int) -> list[tuple[int, np.ndarray]]:
    """Divide the work among threads: a direction, and the indices of utterances with the longest utterance first.

    Each direction has the same number of shares.
    """
    order = np.argsort(-lengths.numpy(), kind="stable")
    parts = max(1, min(torch.get_num_threads() // directions, len(order) // _LEAST_UTTERANCES))
    return [(direction, order[part::parts]) for direction in range(directions) for part in range(parts)]


def _part(x: Tensor, direction: int, directions: int) -> np.ndarray:
    """Return the columns of one direction."""
    return _as_array(x.chunk(directions, dim=2)[direction])


def _empty_panels(matrix: Tensor, dtype: torch.dtype) -> np.ndarray:
    """Allocate the panels of a matrix `(rows, columns)`; the kernel fills them."""
    rows, columns = matrix.shape
    in_step = 2 if dtype == torch.bfloat16 else 1
    return _as_array(torch.empty(columns // LANES, rows // in_step, LANES * in_step, dtype=dtype))


def _as_array(x: Tensor) -> np.ndarray:
    """View a tensor as an array; bfloat16 becomes uint16, because numpy has no bfloat16."""
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
    """Create a thread pool whose threads treat denormals as 0, as `asr.training.hardware.steady_numbers` does."""
    return ThreadPoolExecutor(number, "lstm", initializer=torch.set_flush_denormal, initargs=(True,))
