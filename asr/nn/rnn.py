"""Recurrent layers: one or two directions over padded batches, exact without packing.

`nn.LSTM` on packed sequences is several times slower on a CPU than on a padded batch. The forward direction can read a
padded batch as it is. For the backward direction, each sequence is reversed within its own length, run forward, and
reversed back, so that the direction starts at the last real frame. An LSTM in training uses `asr/nn/lstm.py` instead.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.cells import Cell
from asr.nn.kernels.processor import HAS_BF16
from asr.nn.lstm import can_train, train_lstm

Kernels = Literal["auto", "torch"]
State = Any  # one direction: (1, B, H), or for an LSTM a pair (hidden, memory); two directions: a pair of states


class LSTM(nn.LSTM):
    """Compute `nn.LSTM`, in float32 on a CPU without bfloat16 units: oneDNN has no LSTM in bfloat16 there."""

    def forward(self, x: Any, state: State = None) -> Any:
        """Map `x (B, S, I)`, or a packed sequence, and a state or None to outputs `(B, S, H)` and the final state."""
        if HAS_BF16 or not torch.is_autocast_enabled("cpu") or x.device.type != "cpu":
            return super().forward(x, state)  # type: ignore[has-type]
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float(), state)  # type: ignore[has-type]


# The layer of each cell: (input_size, hidden_size) -> module. The module maps `x (B, S, I)` and a state or None to
# outputs `(B, S, H)` and the final state `(1, B, H)`. Its recurrent matrix is named `weight_hh_l0`.
LAYERS: dict[Cell, Callable[[int, int], nn.Module]] = {
    "lstm": partial(LSTM, batch_first=True),
    "gru": partial(nn.GRU, batch_first=True),
    "rnn_tanh": partial(nn.RNN, nonlinearity="tanh", batch_first=True),
    "rnn_relu": partial(nn.RNN, nonlinearity="relu", batch_first=True),
}


class _Reverse(torch.autograd.Function):
    """Reversal within lengths. It is its own inverse, so its gradient is the same reversal, without a scatter."""

    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor) -> Tensor:
        context.save_for_backward(index)
        return _take_frames(x, index)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,) = context.saved_tensors
        return _take_frames(gradients[0], index), None


def _take_frames(x: Tensor, index: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1]).index_select(0, index).view(x.shape)


def reversed_order(lengths: Tensor, size: int) -> Tensor:
    """Return, for sequences reversed within their `lengths (B,)`, the source position of each element: `(B, size)`.

    Padding keeps its position.
    """
    time = torch.arange(size, device=lengths.device)
    return torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)


def reversal_index(lengths: Tensor, size: int) -> Tensor:
    """Return the positions of `reversed_order` as indices into a flattened batch, `(B * size,)`."""
    first = size * torch.arange(len(lengths), device=lengths.device)
    return (reversed_order(lengths, size) + first[:, None]).flatten()


def reverse(x: Tensor, index: Tensor) -> Tensor:
    """Reverse each sequence of `x (B, S, H)` in time within its length; `index` comes from `reversal_index`."""
    reversed_x: Tensor = _Reverse.apply(x, index)
    return reversed_x


class SequenceDropout(nn.Module):
    """Dropout with one mask for all frames of an utterance: `(B, S, D)` -> `(B, S, D)`.

    Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287. A mask for each frame needs a random number for each
    value. Which kind of mask gives the better model depends on the data (docs/accuracy.md).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        return x * nn.functional.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.probability)


class FrameDropout(nn.Module):
    """Dropout with a mask of its own for each frame, for tensors of any shape.

    PyTorch draws a number for each value on one thread, which takes as long as a layer. Here, on the CPU, eight values
    share one 64-bit number, so the probability is rounded to a multiple of 1/256.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(256 * self.probability)  # bytes of 256
        if not self.training or dropped == 0 or x.device.type != "cpu":
            return nn.functional.dropout(x, self.probability, self.training)
        numbers = torch.randint(-(2**63), 2**63 - 1, (x.numel() // 8 + 1,))
        kept = numbers.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))


class RNNLayer(nn.Module):
    """One recurrent layer: `x (B, S, input_size)` -> `(B, S, output_size)` and the state after the last frame.

    The outputs of the two directions stand side by side. The backward direction needs `lengths (B,)`; without lengths,
    the forward direction runs to the end of `x`. Outputs beyond the lengths are arbitrary, but they never change the
    output of a real frame. The final state does depend on padding: for a padded sequence, take the output of its last
    real frame instead.

    A `state` replaces the zeros at the start of the sequence. Pass the final state of an earlier part to continue it;
    parts give the outputs of the whole. For two directions, each of the two states may be None. An LSTM in training
    with lengths returns None as its state (`asr/nn/lstm.py`).
    """

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        cell: Cell = "lstm",
        bidirectional: bool = True,
        kernels: Kernels = "auto",
    ) -> None:
        """Create a layer. `kernels="torch"` trains an LSTM with `nn.LSTM`, not with our compiled steps."""
        super().__init__()
        self.forward_rnn: Any = _rnn(cell, input_size, hidden_size)
        self.backward_rnn: Any = _rnn(cell, input_size, hidden_size) if bidirectional else None
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.residual = input_size == self.output_size
        self.kernels = kernels

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        compiled = self.kernels == "auto" and can_train(self.forward_rnn, x)
        if compiled and lengths is not None and state is None:
            rnns = [rnn for rnn in (self.forward_rnn, self.backward_rnn) if isinstance(rnn, nn.LSTM)]
            return train_lstm(x, lengths, rnns), None
        if self.backward_rnn is None:
            outputs, state = self.forward_rnn(x, state)
            return outputs, state
        if lengths is None:
            raise TypeError("a layer of two directions needs lengths")
        index = reversal_index(lengths, x.shape[1])
        ahead_state, back_state = state or (None, None)
        ahead, ahead_state = self.forward_rnn(x, ahead_state)
        back, back_state = self.backward_rnn(reverse(x, index), back_state)
        return torch.cat([ahead, reverse(back, index)], dim=-1), (ahead_state, back_state)


def map_state(function: Callable[..., Tensor], *states: Any) -> Any:
    """Apply a function to each tensor of a state or of a list of states.

    Several states of one structure are walked in parallel: the function gets the matching tensor of each.
    """
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    return type(first)(map_state(function, *parts) for parts in zip(*states, strict=True))


def residual_layers(
    *, input_size: int, cell: Cell, bidirectional: bool, hidden: int, layers: int, kernels: Kernels = "auto"
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Build the recurrent layers and the norms that `recur` runs; there is one norm more than layers."""
    size = hidden * (2 if bidirectional else 1)
    sizes = [input_size, *[size] * layers]
    stack = nn.ModuleList(
        RNNLayer(input_size=size, hidden_size=hidden, cell=cell, bidirectional=bidirectional, kernels=kernels)
        for size in sizes[:-1]
    )
    return stack, nn.ModuleList(map(nn.LayerNorm, sizes))


def recur(
    x: Tensor,
    layers: nn.ModuleList,
    norms: nn.ModuleList,
    dropout: nn.Module,
    *,
    lengths: Tensor | None = None,
    states: Sequence[State] | None = None,
) -> tuple[Tensor, list[State]]:
    """Run `x (B, S, input_size)` through `residual_layers`; return outputs `(B, S, D)` and each layer's final state.

    Each layer computes `x + dropout(rnn(layer_norm(x)))`, or `dropout(rnn(layer_norm(x)))` if inputs and outputs
    differ in size. A norm before the layer keeps gradients of equal size through the stack (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745). The last norm normalises the output. `lengths` and `states` are passed to each
    RNNLayer.
    """
    final = []
    for norm, layer, state in zip(norms, layers, states or [None] * len(layers), strict=False):
        outputs, state = layer(norm(x), lengths, state)
        x = x + dropout(outputs) if layer.residual else dropout(outputs)
        final.append(state)
    return norms[-1](x), final


def _rnn(cell: Cell, input_size: int, hidden_size: int) -> nn.Module:
    if cell not in LAYERS:  # a model file may name any cell
        raise ValueError(f"there is no cell {cell!r}; the cells are {', '.join(LAYERS)}")
    rnn = LAYERS[cell](input_size, hidden_size)
    _initialise(rnn)
    return rnn


@torch.no_grad()
def _initialise(rnn: nn.Module) -> None:
    """Set an orthogonal recurrent matrix of all gates together (Saxe et al. 2014, https://arxiv.org/abs/1312.6120).

    All other weights keep PyTorch's initial values. An orthogonal matrix for each gate, with a forget bias of 1,
    carries gradients further back in the first steps, but learns more slowly (docs/accuracy.md): speech depends most
    on neighbouring frames.
    """
    weights = dict(rnn.named_parameters())["weight_hh_l0"]
    if not weights.is_meta:  # a network of shapes alone; without values `orthogonal_` would import sympy, for seconds
        nn.init.orthogonal_(weights)
