"""How far gradients reach back through time and down through layers, drawn for every cell on one recording.

The loss is a projection of the last output, so all that a frame's gradient shows is how much of it is left on its way
back: the derivative of the loss by the input at that frame. Vanishing and exploding gradients: Bengio et al. 1994,
Pascanu et al. 2013 (https://arxiv.org/abs/1211.5063).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from torch import Tensor, nn

from asr.nn.rnn import Cell, RNNLayer

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HIDDEN = 128
DEPTH = 8  # layers of the stacks
_PROJECTIONS = 16  # losses averaged over
_SEED = 0
_LEAST = 1e-20  # gradient that the picture shows


@dataclass(frozen=True, slots=True)
class Curve:
    """Norm of the gradient at each frame `(S,)`, or at each layer from the first."""

    name: str
    norms: np.ndarray
    style: str = "-"


def small(rnn: nn.RNNBase) -> None:
    """Uniform within 1 / sqrt(H), PyTorch's own: the recurrent matrix shrinks what goes through it."""
    for weight in rnn.parameters():
        nn.init.uniform_(weight, -(HIDDEN**-0.5), HIDDEN**-0.5)


def orthogonal(rnn: nn.RNNBase) -> None:
    """The recurrent matrix turns what goes through it, at its length; biases of 0, and inputs as Glorot has them."""
    nn.init.xavier_uniform_(rnn.weight_ih_l0)  # type: ignore[arg-type]
    nn.init.orthogonal_(rnn.weight_hh_l0)  # type: ignore[arg-type]
    nn.init.zeros_(rnn.bias_ih_l0)  # type: ignore[arg-type]
    nn.init.zeros_(rnn.bias_hh_l0)  # type: ignore[arg-type]


def large(rnn: nn.RNNBase) -> None:
    """As `orthogonal`, but normal with 2 / sqrt(H): the recurrent matrix stretches what goes through it."""
    orthogonal(rnn)
    nn.init.normal_(rnn.weight_hh_l0, std=2 * HIDDEN**-0.5)  # type: ignore[arg-type]


def identity(rnn: nn.RNNBase) -> None:
    """The identity as recurrent matrix, biases of 0 (Le et al. 2015, https://arxiv.org/abs/1504.00941)."""
    orthogonal(rnn)
    nn.init.eye_(rnn.weight_hh_l0)  # type: ignore[arg-type]
    nn.init.normal_(rnn.weight_ih_l0, std=0.001)  # type: ignore[arg-type]


def open_forget_gate(rnn: nn.RNNBase) -> None:
    """As `small`, with 1 as the bias of the forget gate (Jozefowicz et al. 2015)."""
    small(rnn)
    nn.init.ones_(rnn.bias_ih_l0[HIDDEN : 2 * HIDDEN])  # type: ignore[index]


THROUGH_TIME: tuple[tuple[str, Cell, Callable[[nn.RNNBase], None], str], ...] = (
    ("rnn_tanh, large weights: explodes", "rnn_tanh", large, "C3-"),
    ("rnn_tanh, small weights: vanishes", "rnn_tanh", small, "C0-"),
    ("rnn_tanh, orthogonal", "rnn_tanh", orthogonal, "C0--"),
    ("rnn_relu, identity", "rnn_relu", identity, "C1-"),
    ("gru", "gru", small, "C2-"),
    ("lstm", "lstm", small, "C4-"),
    ("lstm, forget bias 1", "lstm", open_forget_gate, "C4--"),
)
CELLS: tuple[tuple[Cell, str], ...] = (("rnn_tanh", "C0"), ("rnn_relu", "C1"), ("gru", "C2"), ("lstm", "C4"))


class Stack(nn.Module):
    """Layers above each other, plain or as in the acoustic model: `x + rnn(layer_norm(x))`."""

    def __init__(self, layers: list[RNNLayer], *, normalised: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.normalised = normalised

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`(B, S, F)` -> the outputs `(B, S, H)`, and the inputs of each layer."""
        inputs = []
        for layer in self.layers:
            inputs.append(x)
            outputs, _ = layer(nn.functional.layer_norm(x, x.shape[2:]) if self.normalised else x)
            x = x + outputs if self.normalised else outputs
        return x, inputs


def gradients(stack: Stack, features: Tensor) -> list[np.ndarray]:
    """For each layer, the norm `(S,)` of the gradient of the loss by its input at each frame of `features (S, F)`.

    The loss is the last output in a random direction; norms are root mean squares over several directions, in float64,
    which has room for what vanishes. The gradients of the weights stay in the stack.
    """
    torch.manual_seed(_SEED)
    x = features.double().expand(_PROJECTIONS, -1, -1).clone().requires_grad_()
    outputs, inputs = stack.double()(x)
    directions = nn.functional.normalize(torch.randn(_PROJECTIONS, outputs.shape[2], dtype=torch.float64), dim=1)
    for tensor in inputs:
        tensor.retain_grad()
    stack.zero_grad()
    (outputs[:, -1] * directions).sum().backward()
    return [tensor.grad.square().sum(2).mean(0).sqrt().numpy() for tensor in inputs]


def through_time(features: Tensor) -> list[Curve]:
    """Of one layer of each cell and initialisation; and of the exploding one what clipping makes of it."""
    curves = []
    for name, cell, initialise, style in THROUGH_TIME:
        torch.manual_seed(_SEED)
        layer = RNNLayer(input_size=features.shape[1], hidden_size=HIDDEN, cell=cell, bidirectional=False)
        with torch.no_grad():
            initialise(layer.forward_rnn)
        stack = Stack([layer])
        (norms,) = gradients(stack, features)
        curves.append(Curve(name, norms, style))
        if initialise is large:
            norm = nn.utils.clip_grad_norm_(stack.parameters(), 1.0)  # of all weights together, as in training
            curves.append(Curve("the same, clipped to norm 1", norms / max(1.0, float(norm)), "C3:"))
    return curves


def through_layers(features: Tensor) -> list[Curve]:
    """Of stacks of each cell, plain and normalised with a way past each layer, as the library initialises them."""
    torch.manual_seed(_SEED)
    projected = features @ nn.functional.normalize(torch.randn(features.shape[1], HIDDEN), dim=0)
    curves = []
    for normalised in (False, True):
        for cell, colour in CELLS:
            torch.manual_seed(_SEED)
            layers = [
                RNNLayer(input_size=HIDDEN, hidden_size=HIDDEN, cell=cell, bidirectional=False) for _ in range(DEPTH)
            ]
            norms = gradients(Stack(layers, normalised=normalised), projected)
            by_layer = np.array([np.linalg.norm(norm) for norm in norms])
            name = f"{cell}, x + rnn(layer_norm(x))" if normalised else f"{cell}, plain"
            curves.append(Curve(name, by_layer, f"{colour}{'-' if normalised else ':'}"))
    return curves


def gradient_picture(path: str | Path, features: Tensor, *, seconds_per_frame: float) -> list[Curve]:
    """Draws both pictures for `features (S, F)` of one recording into a PNG; returns the curves through time."""
    times, depths = through_time(features), through_layers(features)
    figure = plt.figure(figsize=(14, 6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    seconds = (np.arange(len(features)) - len(features) + 1) * seconds_per_frame
    for curve in times:
        left.plot(seconds, curve.norms, curve.style, label=curve.name, linewidth=1.6)
    left.set_ylim(bottom=_LEAST)
    left.set_title("Through time: one layer", loc="left")
    left.set(xlabel="seconds before the last frame", ylabel="gradient of the loss at the last frame by the input")
    for curve in depths:
        right.plot(range(1, DEPTH + 1), curve.norms, curve.style, label=curve.name, marker=".", linewidth=1.6)
    right.set_title(f"Through layers: {DEPTH} of them", loc="left")
    right.set(xlabel="layer, the last one nearest to the loss", ylabel="gradient by the input of the layer")
    for axes in (left, right):
        _finish(axes)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return times


def _finish(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
