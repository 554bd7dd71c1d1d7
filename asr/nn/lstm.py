"""The LSTM layer for training: both directions at once, and as much work as possible in large matrix products.

`nn.LSTM` multiplies a few rows with the recurrent matrix in each step, far below the speed of a processor. On a CPU
its threads synchronise in each step; on a GPU each step starts several kernels. Here, one product computes the inputs
of all frames and both directions, and one product computes the gradients of the weights. The recurrent steps between
them are programs that never wait for each other: threads on a CPU (`asr/nn/kernels/lstm_cpu.py`) or programs on a GPU
(`asr/nn/kernels/lstm_cuda.py`). Under autocast, products use bfloat16 if the processor supports it.

Private functions of PyTorch used here, seen with torch 2.11:

- `torch.ops.mkldnn._linear_pointwise` computes `a @ b.t()` in oneDNN. If its signature changes, training on a CPU with
  AVX-512 raises a RuntimeError or TypeError in the first step; `training.kernels=torch` does not use it.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asr.nn.kernels import LANES


def can_train(rnn: nn.Module, x: Tensor) -> bool:
    """Return whether `train_lstm` supports this layer in this call.

    The layer must be an LSTM in training whose hidden size is a multiple of 16, on a CPU or on CUDA.
    """
    if not isinstance(rnn, nn.LSTM) or rnn.hidden_size % LANES != 0:
        return False
    supported = x.device.type == "cpu"
    if x.device.type == "cuda":  # its kernels use 32-bit indices
        supported = _has_triton(x.device) and x.shape[0] * x.shape[1] * 8 * rnn.hidden_size < 2**31
    learns = rnn.training and torch.is_grad_enabled()
    return learns and supported and x.dtype in (torch.float32, torch.bfloat16)


def train_lstm(x: Tensor, lengths: Tensor, rnns: Sequence[nn.LSTM]) -> Tensor:
    """Run a forward LSTM, or a forward and a backward LSTM, over `x (B, S, I)`; `lengths (B,)` are at least 1.

    Returns outputs `(B, S, directions * H)` with zeros in padding. Gradients can be computed once only; a second
    backward pass raises RuntimeError.
    """
    weights = [
        weight for rnn in rnns for weight in (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0)
    ]
    outputs: Tensor = _TrainLSTM.apply(x, lengths, *weights)
    return outputs


class _TrainLSTM(torch.autograd.Function):
    """Forward and backward pass of `train_lstm`.

    In comments, `G` is the 4 gates, and `D * G * H` and `D * H` hold the `D` directions side by side.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        steps = _steps(x.device)
        bf16 = torch.is_autocast_enabled(x.device.type) and steps.HAS_BF16
        dtype = torch.bfloat16 if bf16 else torch.float32
        matrices = [weight.detach() for weight in weights[1::4]]  # (G * H, H) for each direction
        biases = torch.stack([one + other for one, other in zip(weights[2::4], weights[3::4], strict=True)])
        input_matrix = x.new_empty(biases.numel(), x.shape[2], dtype=dtype)  # (D * G * H, I)
        for part, weight in zip(input_matrix.chunk(len(matrices)), weights[0::4], strict=True):
            part.copy_(weight)
        inputs = x.to(dtype).contiguous()
        gates = _product(inputs, input_matrix.t())  # (B, S, D * G * H); the steps overwrite it with the gates
        cells, hidden = steps.forward_steps(gates, biases, matrices, lengths)  # (B, S, D * H)
        context.save_for_backward(inputs, lengths, input_matrix, cells, hidden, *matrices)
        context.gates, context.input_dtype = gates, x.dtype
        return hidden

    @staticmethod
    @once_differentiable
    def backward(context: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        inputs, lengths, input_matrix, cells, hidden, *matrices = context.saved_tensors
        gates, context.gates = context.gates, None  # the steps overwrite the gates with their gradients
        if gates is None:
            raise RuntimeError("gradients of train_lstm can be computed once only")
        directions, size = len(matrices), matrices[0].shape[1]
        above = above.to(gates.dtype).contiguous()
        biases = _steps(gates.device).backward_steps(gates, matrices, lengths, cells, above)  # (D, G * H)
        flat = gates.flatten(0, 1)  # (B * S, D * G * H)
        from_inputs = _product(flat.t(), inputs.flatten(0, 1)).float().chunk(directions)
        gradients: list[Tensor] = []
        for direction in range(directions):
            before = hidden.new_zeros(*hidden.shape[:2], size)  # outputs of the previous step
            if direction == 0:
                before[:, 1:] = hidden[:, :-1, :size]
            else:
                before[:, :-1] = hidden[:, 1:, size:]
            recurrent = _product(flat.chunk(directions, dim=1)[direction].t(), before.flatten(0, 1)).float()
            # A copy for each bias: autograd keeps these tensors as `.grad`, and clipping scales each `.grad` in place.
            gradients += [from_inputs[direction], recurrent, biases[direction].clone(), biases[direction].clone()]
        return _product(gates, input_matrix).to(context.input_dtype), None, *gradients


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return `a @ b`; on a CPU with AVX-512, compute float32 in oneDNN.

    MKL, which PyTorch uses for float32, does not use AVX-512 on AMD processors. On other processors MKL is as fast,
    and it does not copy a transposed matrix.
    """
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.backends.mkldnn.is_available()
    if a.device.type == "cpu" and a.dtype == torch.float32 and has_avx512:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
        return product
    with torch.autocast(a.device.type, enabled=False):  # autocast uses bfloat16 even if the kernel does not support it
        return a @ b


@cache
def _has_triton(device: torch.device) -> bool:
    """Return whether Triton, which PyTorch includes on Linux, compiles kernels for this NVIDIA GPU."""
    installed = find_spec("triton") is not None and torch.version.cuda is not None
    return installed and torch.cuda.get_device_capability(device) >= (8, 0)


def _steps(device: torch.device) -> Any:
    """Import the module with the steps for a device at first use, because its compiler takes time to load."""
    return import_module(f"asr.nn.kernels.lstm_{device.type}")
