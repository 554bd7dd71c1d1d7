"""Recurrent layers: one or two directions over padded batches, exact without packing.

`nn.LSTM` on packed sequences is several times slower on a CPU than on a padded batch. A padded batch is right
as it is for the forward direction; for the backward one each sequence is reversed within its own length, run
forward, and reversed back, so that it starts at its last real frame. An LSTM that trains has steps of its own
(`asr/nn/lstm.py`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from asr.nn.lstm import can_train, train_lstm

Cell = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
State = Any  # of one direction `(1, B, H)`, a pair of them (hidden, memory) for an LSTM; of two, a pair of such states


class _Reverse(torch.autograd.Function):
    """Reversal within lengths is its own inverse, and so its own gradient: no scatter in the backward pass."""

    @staticmethod
    def forward(context: Any, x: Tensor, index: Tensor) -> Tensor:
        context.save_for_backward(index)
        return _take_rows(x, index)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,) = context.saved_tensors
        return _take_rows(gradients[0], index), None


def _take_rows(x: Tensor, index: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1]).index_select(0, index).view(x.shape)


def reversed_order(lengths: Tensor, size: int) -> Tensor:
    """The place `(B, size)` that each element comes from when sequences are reversed within their lengths `(B,)`.

    Padding stays put.
    """
    time = torch.arange(size, device=lengths.device)
    return torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)


def reversal_index(lengths: Tensor, size: int) -> Tensor:
    """The same as rows of a flattened `(B * S)` batch."""
    first = size * torch.arange(len(lengths), device=lengths.device)
    return (reversed_order(lengths, size) + first[:, None]).flatten()


def reverse(x: Tensor, index: Tensor) -> Tensor:
    """Reverses each sequence of `x` `(B, S, H)` in time within its length, by its `reversal_index`."""
    reversed_x: Tensor = _Reverse.apply(x, index)
    return reversed_x


class SequenceDropout(nn.Module):
    """Dropout with one mask for all frames of an utterance. `(B, S, D)` -> `(B, S, D)`.

    Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287. One mask for every frame anew costs a random number for
    each value; what is better is a matter of the data (docs/accuracy.md).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        return x * nn.functional.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.probability)


class FrameDropout(nn.Module):
    """Dropout with a mask for each frame of its own, of any shape.

    PyTorch draws a number for each value on one thread, which costs as much as a layer; on the CPU here eight values
    share one of 64 bits, so that the probability is a multiple of 1/256.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        dropped = round(256 * self.probability)  # of 256 values
        if not self.training or dropped == 0 or x.device.type != "cpu":
            return nn.functional.dropout(x, self.probability, self.training)
        numbers = torch.randint(-(2**63), 2**63 - 1, (x.numel() // 8 + 1,))
        kept = numbers.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))


class RNNLayer(nn.Module):
    """One recurrent layer. `x (B, S, input_size)` -> `(B, S, output_size)` and the state after the last frame.

    The outputs of the two directions stand side by side; the second needs the `lengths (B,)`, without which the first
    runs to the end of `x`. Frames beyond the lengths hold values that no real frame ever sees, but the states after
    them do: at the last real frame of a padded sequence, take the output there. A `state` begins the sequence in place
    of zeros: what an earlier part ended with, so that parts give what the whole does. Of two directions, either may be
    None. An LSTM that learns whole sequences with lengths gives no state (`asr/nn/lstm.py`).
    """

    def __init__(self, *, input_size: int, hidden_size: int, cell: Cell = "lstm", bidirectional: bool = True) -> None:
        super().__init__()
        self.forward_rnn = _rnn(cell, input_size, hidden_size)
        self.backward_rnn = _rnn(cell, input_size, hidden_size) if bidirectional else None
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.residual = input_size == self.output_size

    def forward(self, x: Tensor, lengths: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        if lengths is not None and state is None and can_train(self.forward_rnn, x):
            rnns = [rnn for rnn in (self.forward_rnn, self.backward_rnn) if isinstance(rnn, nn.LSTM)]
            return train_lstm(x, lengths, rnns), None
        if self.backward_rnn is None:
            outputs, state = self.forward_rnn(x, state)
            return outputs, state
        if lengths is None:
            raise TypeError("two directions need lengths")
        index = reversal_index(lengths, x.shape[1])
        ahead_state, back_state = state or (None, None)
        ahead, ahead_state = self.forward_rnn(x, ahead_state)
        back, back_state = self.backward_rnn(reverse(x, index), back_state)
        return torch.cat([ahead, reverse(back, index)], dim=-1), (ahead_state, back_state)


def map_state(function: Callable[..., Tensor], *states: Any) -> Any:
    """Applies a function to each tensor of a state, or of a list of them; of several alike, to each tensor of all."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    return type(first)(map_state(function, *parts) for parts in zip(*states, strict=True))


def residual_layers(
    *, input_size: int, cell: Cell, bidirectional: bool, hidden: int, layers: int
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The recurrent layers that `recur` runs, and its norms."""
    size = hidden * (2 if bidirectional else 1)
    sizes = [input_size, *[size] * layers]
    stack = nn.ModuleList(
        RNNLayer(input_size=size, hidden_size=hidden, cell=cell, bidirectional=bidirectional) for size in sizes[:-1]
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
    """Runs `x (B, S, input_size)` through `residual_layers`: outputs `(B, S, D)`, and the final state of each layer.

    Each layer computes `x + dropout(rnn(layer_norm(x)))`, and `dropout(rnn(layer_norm(x)))` where inputs and outputs
    differ in size; normalising before the layer keeps gradients of equal size through the stack (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745). The last norm is the output's; RNNLayer takes `lengths` and `states`.
    """
    final = []
    for norm, layer, state in zip(norms, layers, states or [None] * len(layers), strict=False):
        outputs, state = layer(norm(x), lengths, state)
        x = x + dropout(outputs) if layer.residual else dropout(outputs)
        final.append(state)
    return norms[-1](x), final


def _rnn(cell: Cell, input_size: int, hidden_size: int) -> nn.RNNBase:
    if cell == "lstm":
        rnn: nn.RNNBase = nn.LSTM(input_size, hidden_size, batch_first=True)
    elif cell == "gru":
        rnn = nn.GRU(input_size, hidden_size, batch_first=True)
    else:
        rnn = nn.RNN(input_size, hidden_size, nonlinearity=cell.removeprefix("rnn_"), batch_first=True)
    _initialise(rnn)
    return rnn


@torch.no_grad()
def _initialise(rnn: nn.RNNBase) -> None:
    """An orthogonal recurrent matrix (Saxe et al. 2014, https://arxiv.org/abs/1312.6120), of all gates together.

    The rest is PyTorch's. Gates of their own orthogonal matrices, with a forget bias of 1, carry gradients further back
    in the first steps, and learn more slowly for that (docs/accuracy.md): speech begins with what is near.
    """
    weights = dict(rnn.named_parameters())["weight_hh_l0"]
    if not weights.is_meta:  # a network of shapes alone; without values `orthogonal_` would import sympy, for seconds
        nn.init.orthogonal_(weights)
