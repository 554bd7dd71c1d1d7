"""The LSTM that trains on a CPU: both directions at once, each step at the rate of a large matrix product.

`nn.LSTM` multiplies a handful of rows with the recurrent matrix in each step, far below what the processor can do, and
its threads meet in each step. Here the inputs of all frames and both directions are one product, as are the gradients
of the weights, and the steps in between (`asr/nn/lstm_kernel.py`) run on as many threads as there are directions and
parts of the batch, which never wait for each other. Under autocast, products are of bfloat16 where the processor has
them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_LANES = 16  # the kernel's, which is not imported before it is needed, as numba takes a while
_LEAST_ROWS = 4  # utterances that are worth a thread of their own: fewer take as long


def can_train(rnn: nn.RNNBase, x: Tensor) -> bool:
    """Whether `train_lstm` takes this layer: an LSTM of a multiple of 16 units, on a CPU, that learns from `x`."""
    learns = rnn.training and torch.is_grad_enabled()
    whole = isinstance(rnn, nn.LSTM) and rnn.hidden_size % _LANES == 0
    return learns and whole and x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def train_lstm(x: Tensor, lengths: Tensor, rnns: Sequence[nn.LSTM]) -> Tensor:
    """Runs a forward LSTM, or a forward and a backward one, over `x (B, S, I)`, lengths `(B,)` of at least one frame.

    Gives outputs `(B, S, directions * H)`, zeros in padding. Gradients can be taken once.
    """
    weights = [
        weight for rnn in rnns for weight in (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0)
    ]
    outputs: Tensor = _TrainLSTM.apply(x, lengths, *weights)
    return outputs


class _TrainLSTM(torch.autograd.Function):
    """`G` is 4 gates; `D * G * H` and `D * H` hold the directions side by side."""

    @staticmethod
    def forward(context: Any, x: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        from asr.nn import lstm_kernel as kernel

        bf16 = torch.is_autocast_enabled("cpu") and kernel.HAS_BF16
        dtype = torch.bfloat16 if bf16 else torch.float32
        matrices = [weight.detach() for weight in weights[1::4]]  # each (G * H, H)
        biases = [(one + other).detach().numpy() for one, other in zip(weights[2::4], weights[3::4], strict=True)]
        input_matrix = torch.cat([weight.detach().to(dtype) for weight in weights[0::4]])  # (D * G * H, I)
        inputs = x.to(dtype).contiguous()
        gates = _product(inputs, input_matrix.t())  # (B, S, D * G * H), to become the gates
        hidden = torch.empty(*x.shape[:2], len(matrices) * matrices[0].shape[1], dtype=dtype)  # (B, S, D * H)
        cells = torch.empty_like(hidden)
        calls = []
        for direction, rows in _shares(lengths, len(matrices)):
            part = partial(_part, direction=direction, directions=len(matrices))
            room = _room(matrices[direction].t(), dtype)
            calls.append(
                partial(
                    kernel.forward, part(gates), biases[direction], matrices[direction].numpy(), lengths.numpy(), rows,
                    direction == 1, room, part(cells), part(hidden),
                )
            )  # fmt: skip
        _run(calls)
        context.save_for_backward(inputs, lengths, input_matrix, cells, hidden, *matrices)
        context.gates, context.input_dtype = gates, x.dtype
        return hidden

    @staticmethod
    @once_differentiable
    def backward(context: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        from asr.nn import lstm_kernel as kernel

        inputs, lengths, input_matrix, cells, hidden, *matrices = context.saved_tensors
        gates, context.gates = context.gates, None  # which turn into their gradients
        if gates is None:
            raise RuntimeError("gradients of train_lstm can be taken once only")
        directions, size = len(matrices), matrices[0].shape[1]
        above = above.to(gates.dtype).contiguous()
        shares = _shares(lengths, directions)
        biases = torch.zeros(len(shares), 4 * size)
        calls = []
        for (direction, rows), bias in zip(shares, biases, strict=True):
            part = partial(_part, direction=direction, directions=directions)
            room = _room(matrices[direction], gates.dtype)
            calls.append(
                partial(
                    kernel.backward, part(gates), matrices[direction].numpy(), lengths.numpy(), rows, direction == 1,
                    room, part(cells), part(above), bias.numpy(),
                )
            )  # fmt: skip
        _run(calls)
        flat = gates.flatten(0, 1)  # (B * S, D * G * H)
        from_inputs = _product(flat.t(), inputs.flatten(0, 1)).float().chunk(directions)
        gradients: list[Tensor] = []
        for direction in range(directions):
            before = torch.zeros(*hidden.shape[:2], size, dtype=hidden.dtype)  # the hidden numbers of the step before
            if direction == 0:
                before[:, 1:] = hidden[:, :-1, :size]
            else:
                before[:, :-1] = hidden[:, 1:, size:]
            recurrent = _product(flat.chunk(directions, dim=1)[direction].t(), before.flatten(0, 1)).float()
            bias = biases.chunk(directions)[direction].sum(0)
            gradients += [from_inputs[direction], recurrent, bias, bias]
        return _product(gates, input_matrix).to(context.input_dtype), None, *gradients


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, in float32 too by oneDNN where there is AVX-512, which MKL leaves idle on processors of AMD.

    Elsewhere MKL, which PyTorch has for float32, is as fast, and copies no transposed matrix.
    """
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if a.dtype == torch.float32 and has_avx512 and torch.backends.mkldnn.is_available():
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
        return product
    with torch.autocast("cpu", enabled=False):  # which would make it bfloat16, also where the kernel has none
        return a @ b


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
    return _numbers(torch.empty(columns // _LANES, rows // in_step, _LANES * in_step, dtype=dtype))


def _numbers(x: Tensor) -> np.ndarray:
    """The same memory; bfloat16, which numpy lacks, as uint16."""
    array: np.ndarray = x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return array


def _run(calls: Sequence[Callable[[], None]]) -> None:
    threads = _threads(torch.get_num_threads())
    for call in [threads.submit(call) for call in calls]:
        call.result()


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Like the others they count denormals as 0: see `steady_numbers`."""
    return ThreadPoolExecutor(number, "lstm", initializer=torch.set_flush_denormal, initargs=(True,))
