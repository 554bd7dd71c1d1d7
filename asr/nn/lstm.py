"""The LSTM that trains: both directions at once, and as much as can be in large matrix products.

`nn.LSTM` multiplies a handful of rows with the recurrent matrix in each step, far below what a processor can do: on a
CPU its threads meet in each step, on a GPU each step starts kernels of its own. Here the inputs of all frames and both
directions are one product, as are the gradients of the weights, and the steps in between are programs that never wait
for each other, on threads (`asr/nn/kernels/lstm_cpu.py`) or on a GPU (`asr/nn/kernels/lstm_cuda.py`). Under autocast,
products are of bfloat16 where the processor has them.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LANES = 16  # units that the steps on a CPU take at a time: 512 bits of float32, which smaller machines divide


def can_train(rnn: nn.RNNBase, x: Tensor) -> bool:
    """Whether `train_lstm` takes this layer: an LSTM of a multiple of 16 units, on a CPU or CUDA, learning from `x`."""
    learns = rnn.training and torch.is_grad_enabled()
    whole = isinstance(rnn, nn.LSTM) and rnn.hidden_size % LANES == 0
    there = x.device.type == "cpu"
    if x.device.type == "cuda":  # whose kernels count in 32 bits
        there = _has_triton(x.device) and x.shape[0] * x.shape[1] * 8 * rnn.hidden_size < 2**31
    return learns and whole and there and x.dtype in (torch.float32, torch.bfloat16)


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
        steps = _steps(x.device)
        bf16 = torch.is_autocast_enabled(x.device.type) and steps.HAS_BF16
        dtype = torch.bfloat16 if bf16 else torch.float32
        matrices = [weight.detach() for weight in weights[1::4]]  # (G * H, H) of each direction
        biases = torch.stack([one + other for one, other in zip(weights[2::4], weights[3::4], strict=True)])
        input_matrix = x.new_empty(biases.numel(), x.shape[2], dtype=dtype)  # (D * G * H, I)
        for part, weight in zip(input_matrix.chunk(len(matrices)), weights[0::4], strict=True):
            part.copy_(weight)
        inputs = x.to(dtype).contiguous()
        gates = _product(inputs, input_matrix.t())  # (B, S, D * G * H), to become the gates
        cells, hidden = steps.forward_steps(gates, biases, matrices, lengths)  # (B, S, D * H)
        context.save_for_backward(inputs, lengths, input_matrix, cells, hidden, *matrices)
        context.gates, context.input_dtype = gates, x.dtype
        return hidden

    @staticmethod
    @once_differentiable
    def backward(context: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        inputs, lengths, input_matrix, cells, hidden, *matrices = context.saved_tensors
        gates, context.gates = context.gates, None  # which turn into their gradients
        if gates is None:
            raise RuntimeError("gradients of train_lstm can be taken once only")
        directions, size = len(matrices), matrices[0].shape[1]
        above = above.to(gates.dtype).contiguous()
        biases = _steps(gates.device).backward_steps(gates, matrices, lengths, cells, above)  # (D, G * H)
        flat = gates.flatten(0, 1)  # (B * S, D * G * H)
        from_inputs = _product(flat.t(), inputs.flatten(0, 1)).float().chunk(directions)
        gradients: list[Tensor] = []
        for direction in range(directions):
            before = hidden.new_zeros(*hidden.shape[:2], size)  # the hidden numbers of the step before
            if direction == 0:
                before[:, 1:] = hidden[:, :-1, :size]
            else:
                before[:, :-1] = hidden[:, 1:, size:]
            recurrent = _product(flat.chunk(directions, dim=1)[direction].t(), before.flatten(0, 1)).float()
            gradients += [from_inputs[direction], recurrent, biases[direction], biases[direction]]
        return _product(gates, input_matrix).to(context.input_dtype), None, *gradients


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`; on a CPU in float32 too by oneDNN where there is AVX-512, which MKL leaves idle on processors of AMD.

    Elsewhere MKL, which PyTorch has for float32, is as fast, and copies no transposed matrix.
    """
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    if a.device.type == "cpu" and a.dtype == torch.float32 and has_avx512:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
        return product
    with torch.autocast(a.device.type, enabled=False):  # which would make it bfloat16, also where the kernel has none
        return a @ b


@cache
def _has_triton(device: torch.device) -> bool:
    """Whether the compiler of kernels, which comes with PyTorch on Linux, makes them for this GPU of NVIDIA's."""
    there = find_spec("triton") is not None and torch.version.cuda is not None
    return there and torch.cuda.get_device_capability(device) >= (8, 0)


def _steps(device: torch.device) -> Any:
    """The module of the steps on a device, which is not imported before it is needed: its compiler takes a while."""
    return import_module(f"asr.nn.kernels.lstm_{device.type}")
