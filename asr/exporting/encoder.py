"""The encoder as nodes of a graph: subsampling, recurrent layers, and the output layers of the tasks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from asr.exporting.graph import Graph
from asr.nn.classifier import UtteranceClassifier
from asr.nn.encoder import ConvSubsampling, Encoder, FrameStacking
from asr.nn.rnn import RNNLayer

# For the mode of each layer of PyTorch: operator of ONNX, order of PyTorch's gates in it, and its attributes.
_CELLS: dict[str, tuple[str, tuple[int, ...], dict[str, object]]] = {
    "LSTM": ("LSTM", (0, 3, 1, 2), {}),  # input, forget, cell, output -> input, output, forget, cell
    "GRU": ("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # reset, update, new -> update, reset, new
    "RNN_TANH": ("RNN", (0,), {}),
    "RNN_RELU": ("RNN", (0,), {}),
}


def subsample(graph: Graph, subsampling: ConvSubsampling | FrameStacking, x: str, lengths: str) -> tuple[str, str]:
    """Compute frames `(B, S, D)` and their lengths from features `(B, T, F)`, `lengths (B,)`."""
    mask = graph.op("Unsqueeze", graph.mask(lengths, graph.size(x, 1)), graph.integers(2))
    x = graph.op("Mul", x, mask)
    if isinstance(subsampling, ConvSubsampling):
        x, lengths = _convolve(graph, subsampling, x, lengths)
    else:
        x, lengths = _stack(graph, subsampling, x, lengths)
    if isinstance(subsampling.projection, nn.Linear):
        x = linear(graph, subsampling.projection, x, name="projection")
    return x, lengths


def _convolve(graph: Graph, subsampling: ConvSubsampling, x: str, lengths: str) -> tuple[str, str]:
    x = graph.op("Unsqueeze", x, graph.integers(1))  # (B, 1, T, F)
    for index, stride in enumerate(subsampling.strides):
        convolution = subsampling.convolutions[index]
        assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
        weights = [graph.constant(_array(tensor)) for tensor in (convolution.weight, convolution.bias)]
        x = graph.op(
            "Conv",
            x,
            *weights,
            name="subsampling",
            kernel_shape=[3, 3],
            strides=[stride, 2],
            pads=[1, 1, 1, 1],
        )
        lengths = graph.ceil_divided(lengths, stride)
        if index == 0:
            mask = graph.op("Unsqueeze", graph.mask(lengths, graph.size(x, 2)), graph.integers(1, 3))
            x = graph.op("Mul", x, mask)
        x = graph.op("Relu", x)
    x = graph.op("Transpose", x, perm=[0, 2, 1, 3])  # (B, S, C, F / 4)
    return graph.op("Reshape", x, graph.integers(0, 0, -1)), lengths


def _stack(graph: Graph, subsampling: FrameStacking, x: str, lengths: str) -> tuple[str, str]:
    factor = subsampling.factor
    size = graph.size(x, 1)
    missing = graph.op("Sub", graph.op("Mul", graph.ceil_divided(size, factor), graph.integers(factor)), size)
    pads = graph.op("Concat", graph.integers(0, 0, 0, 0), missing, graph.integers(0), axis=0)
    x = graph.op("Pad", x, pads)  # (B, T', F), where T' is a multiple of the factor
    bins = graph.op("Mul", graph.size(x, 2), graph.integers(factor))
    x = graph.op("Reshape", x, graph.op("Concat", graph.integers(0, -1), bins, axis=0))
    return x, graph.ceil_divided(lengths, factor)


def recur(
    graph: Graph, encoder: Encoder, x: str, lengths: str, states: Sequence[Sequence[str]]
) -> tuple[str, list[tuple[str, ...]]]:
    """Run `x (B, S, D)` through the recurrent layers and norms; return `(B, S, D)` and the last states.

    `states` are those before the first frame, one or two tensors `(directions, B, H)` a layer; empty ones are zeros.
    """
    x = graph.op("Transpose", x, perm=[1, 0, 2])  # (S, B, D), as the recurrent operators want it
    lengths, final = graph.int32(lengths), []
    for norm, layer, state in zip(encoder.norms, encoder.layers, states, strict=False):
        assert isinstance(layer, RNNLayer)
        outputs, *last = _layer(graph, layer, _norm(graph, norm, x), lengths, state)
        x = graph.op("Add", x, outputs) if layer.residual else outputs
        final.append(tuple(last))
    return graph.op("Transpose", _norm(graph, encoder.norms[-1], x), perm=[1, 0, 2]), final


def state_sizes(encoder: Encoder) -> list[list[int]]:
    """Return for each recurrent layer the sizes H of its states: two for an LSTM, else one."""
    rnns = [layer.forward_rnn for layer in encoder.layers if isinstance(layer, RNNLayer)]
    return [[rnn.hidden_size] * (2 if isinstance(rnn, nn.LSTM) else 1) for rnn in rnns]


def _layer(graph: Graph, layer: RNNLayer, x: str, lengths: str, state: Sequence[str]) -> list[str]:
    """Return the outputs `(S, B, directions * H)` and the last states of a recurrent layer."""
    rnns = [layer.forward_rnn] + ([layer.backward_rnn] if layer.backward_rnn is not None else [])
    operator, order, attributes = _CELLS[rnns[0].mode]
    if operator == "RNN":
        attributes = {"activations": [rnns[0].nonlinearity.capitalize()] * len(rnns)}
    weights = [
        np.stack([_reordered(getattr(rnn, name), order) for rnn in rnns]) for name in ("weight_ih_l0", "weight_hh_l0")
    ]
    bias = np.stack(
        [np.concatenate([_reordered(rnn.bias_ih_l0, order), _reordered(rnn.bias_hh_l0, order)]) for rnn in rnns]
    )
    outputs, *last = graph.op(
        operator,
        x,
        *(graph.constant(array) for array in (*weights, bias)),
        lengths,
        *state,
        name="recurrent",
        outputs=3 if operator == "LSTM" else 2,
        hidden_size=rnns[0].hidden_size,
        direction="bidirectional" if len(rnns) == 2 else "forward",
        **attributes,
    )  # (S, directions, B, H)
    sides = graph.op("Transpose", outputs, perm=[0, 2, 1, 3])
    return [graph.op("Reshape", sides, graph.integers(0, 0, layer.output_size)), *last]


def _reordered(weight: Tensor, order: Sequence[int]) -> np.ndarray:
    """Return a weight whose rows are gates side by side, with the gates in another order."""
    gates = np.split(_array(weight), len(order))
    return np.concatenate([gates[index] for index in order])


def _norm(graph: Graph, norm: nn.Module, x: str) -> str:
    assert isinstance(norm, nn.LayerNorm)
    weights = [graph.constant(_array(tensor)) for tensor in (norm.weight, norm.bias)]
    return graph.op("LayerNormalization", x, *weights, axis=-1, epsilon=norm.eps)


def linear(graph: Graph, layer: nn.Linear, x: str, *, name: str) -> str:
    """Apply a linear layer to the last axis of `x`."""
    product = graph.op("MatMul", x, graph.constant(_array(layer.weight).T), name=name)
    return graph.op("Add", product, graph.constant(_array(layer.bias)))


def log_probs(graph: Graph, network: Any, x: str, lengths: str) -> str:
    """Compute log-probabilities of units `(B, S, V)`, or of classes `(B, C)`, from vectors `(B, S, D)`.

    `network` is one with the output layer `output`, for frames or for the mean of all frames.
    """
    if isinstance(network, UtteranceClassifier):
        mask = graph.op("Unsqueeze", graph.mask(lengths, graph.size(x, 1)), graph.integers(2))
        total = graph.op("ReduceSum", graph.op("Mul", x, mask), graph.integers(1), keepdims=0)
        x = graph.op("Div", total, graph.op("Unsqueeze", graph.floats(lengths), graph.integers(1)))
    return graph.op("LogSoftmax", linear(graph, network.output, x, name="output"), axis=-1)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy(force=True)
