"""The picture of gradients that vanish and explode: through time and through layers, for every cell on one recording.

The loss is a projection of the last output. The gradient at a frame is the derivative of this loss by the input at that
frame: it shows how much of the gradient is left on its way back. Sources: Bengio et al. 1994, Pascanu et al. 2013
(https://arxiv.org/abs/1211.5063).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asr.audio import load_audio
from asr.features import LogMel
from asr.figures.style import BLUE, FAINT, GREEN, ORANGE, PURPLE, VERMILION, drawing, legend_above
from asr.nn.rnn import Cell, RNNLayer

HIDDEN = 128
DEPTH = 8  # layers of the stacks
_PROJECTIONS = 16  # random losses; norms are averaged over them
_SEED = 0
_LEAST = 1e-20  # least gradient norm that the picture shows


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of the picture: the gradient norm at each frame `(S,)`, or at each layer from the first to the last."""

    name: str
    norms: np.ndarray
    colour: str
    style: str  # matplotlib's line style
    marker: str


def small(rnn: nn.RNNBase) -> None:
    """Draw uniform weights within 1 / sqrt(H), PyTorch's default: the recurrent matrix shrinks its input."""
    for weight in rnn.parameters():
        nn.init.uniform_(weight, -(HIDDEN**-0.5), HIDDEN**-0.5)


def orthogonal(rnn: nn.RNNBase) -> None:
    """Draw an orthogonal recurrent matrix, which keeps the length of its input; Glorot input weights, biases of 0."""
    nn.init.xavier_uniform_(rnn.weight_ih_l0)  # type: ignore[arg-type]
    nn.init.orthogonal_(rnn.weight_hh_l0)  # type: ignore[arg-type]
    nn.init.zeros_(rnn.bias_ih_l0)  # type: ignore[arg-type]
    nn.init.zeros_(rnn.bias_hh_l0)  # type: ignore[arg-type]


def large(rnn: nn.RNNBase) -> None:
    """Draw a normal recurrent matrix with deviation 2 / sqrt(H), which enlarges its input; the rest as `orthogonal`."""
    orthogonal(rnn)
    nn.init.normal_(rnn.weight_hh_l0, std=2 * HIDDEN**-0.5)  # type: ignore[arg-type]


def identity(rnn: nn.RNNBase) -> None:
    """Set the recurrent matrix to the identity and biases to 0 (Le et al. 2015, https://arxiv.org/abs/1504.00941)."""
    orthogonal(rnn)
    nn.init.eye_(rnn.weight_hh_l0)  # type: ignore[arg-type]
    nn.init.normal_(rnn.weight_ih_l0, std=0.001)  # type: ignore[arg-type]


def open_forget_gate(rnn: nn.RNNBase) -> None:
    """Draw weights as `small` does, and set the bias of the forget gate to 1 (Jozefowicz et al. 2015)."""
    small(rnn)
    nn.init.ones_(rnn.bias_ih_l0[HIDDEN : 2 * HIDDEN])  # type: ignore[index]


# Name, cell, initialisation, colour, line style and marker of each curve through time.
THROUGH_TIME: tuple[tuple[str, Cell, Callable[[nn.RNNBase], None], str, str, str], ...] = (
    ("rnn_tanh, large weights: explodes", "rnn_tanh", large, VERMILION, "-", "^"),
    ("rnn_tanh, small weights: vanishes", "rnn_tanh", small, BLUE, "-", "o"),
    ("rnn_tanh, orthogonal", "rnn_tanh", orthogonal, BLUE, "--", "s"),
    ("rnn_relu, identity", "rnn_relu", identity, ORANGE, "-", "D"),
    ("gru", "gru", small, GREEN, "-", "v"),
    ("lstm", "lstm", small, PURPLE, "-", "x"),
    ("lstm, forget bias 1", "lstm", open_forget_gate, PURPLE, "--", "P"),
)
CELLS: tuple[tuple[Cell, str, str], ...] = (
    ("rnn_tanh", BLUE, "o"),
    ("rnn_relu", ORANGE, "D"),
    ("gru", GREEN, "v"),
    ("lstm", PURPLE, "x"),
)


class Stack(nn.Module):
    """Recurrent layers on top of each other: plain, or as in the acoustic model, `x + rnn(layer_norm(x))`."""

    def __init__(self, layers: list[RNNLayer], *, normalised: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.normalised = normalised

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs `(B, S, H)` for the inputs `(B, S, F)`, and the inputs of each layer."""
        inputs = []
        for layer in self.layers:
            inputs.append(x)
            outputs, _ = layer(nn.functional.layer_norm(x, x.shape[2:]) if self.normalised else x)
            x = x + outputs if self.normalised else outputs
        return x, inputs


def gradients(stack: Stack, features: Tensor) -> list[np.ndarray]:
    """Return, for each layer, the norm `(S,)` of the gradient by its input at each frame of `features (S, F)`.

    The loss is the projection of the last output on a random direction. Norms are root mean squares over 16 directions,
    in float64, which can hold very small gradients. The gradients of the weights stay in the stack.
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
    """Return the curves of one layer of each cell and initialisation, and of the exploding layer after clipping."""
    curves = []
    for name, cell, initialise, *look in THROUGH_TIME:
        torch.manual_seed(_SEED)
        layer = RNNLayer(input_size=features.shape[1], hidden_size=HIDDEN, cell=cell, bidirectional=False)
        with torch.no_grad():
            initialise(layer.forward_rnn)
        stack = Stack([layer])
        (norms,) = gradients(stack, features)
        curves.append(Curve(name, norms, *look))
        if initialise is large:
            norm = nn.utils.clip_grad_norm_(stack.parameters(), 1.0)  # one norm of all weights, as in training
            clipped = norms / max(1.0, float(norm))
            curves.append(Curve("rnn_tanh, large weights, clipped to norm 1", clipped, VERMILION, ":", "<"))
    return curves


def through_layers(features: Tensor) -> list[Curve]:
    """Return the curves of stacks of each cell, plain and with residual layers, both initialised as in the library."""
    torch.manual_seed(_SEED)
    projected = features @ nn.functional.normalize(torch.randn(features.shape[1], HIDDEN), dim=0)
    curves = []
    for normalised in (False, True):
        for cell, colour, marker in CELLS:
            torch.manual_seed(_SEED)
            layers = [
                RNNLayer(input_size=HIDDEN, hidden_size=HIDDEN, cell=cell, bidirectional=False) for _ in range(DEPTH)
            ]
            norms = gradients(Stack(layers, normalised=normalised), projected)
            by_layer = np.array([np.linalg.norm(norm) for norm in norms])
            name = f"{cell}, x + rnn(layer_norm(x))" if normalised else f"{cell}, plain"
            curves.append(Curve(name, by_layer, colour, "-" if normalised else ":", marker))
    return curves


def gradient_picture(path: str | Path, audio: Path, *, seconds: float) -> tuple[list[Curve], float]:
    """Draw both pictures for the first `seconds` of a recording into a PNG file.

    Return the curves through time, and the seconds from one frame to the next. Raises AudioError if the recording
    cannot be read.
    """
    front_end = LogMel(sample_rate=16000)
    samples = torch.from_numpy(load_audio(audio, front_end.sample_rate, duration=seconds, allow_short=True))
    features, _ = front_end(samples[None], torch.tensor([len(samples)]))
    frame = front_end.hop / front_end.sample_rate  # seconds
    times = through_time(features[0])
    _draw(Path(path), times, through_layers(features[0]), frame)
    return times, frame


def _draw(path: Path, times: list[Curve], depths: list[Curve], frame: float) -> None:
    size = len(times[0].norms)
    with drawing(path, (14, 7)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        for number, curve in enumerate(times):
            left.plot(
                (np.arange(size) - size + 1) * frame, curve.norms, color=curve.colour, linestyle=curve.style,
                marker=curve.marker, markevery=(4 * number % 25, 25), label=curve.name,
            )  # fmt: skip
        for curve in depths:
            right.plot(
                range(1, DEPTH + 1), curve.norms, color=curve.colour, linestyle=curve.style, marker=curve.marker,
                label=curve.name,
            )  # fmt: skip
        left.set(xlabel="seconds before the last frame", ylabel="gradient norm by the input at each frame")
        right.set(xlabel=f"layer; the loss is above layer {DEPTH}", ylabel="gradient norm by the input of each layer")
        for axes, title in ((left, "One layer, back through time"), (right, f"{DEPTH} layers, from the last down")):
            axes.set_yscale("log")
            axes.axhline(1, color=FAINT, linewidth=0.8)
            axes.grid()
            axes.set_title(title, loc="left", pad=74)  # points, above the legend
            legend_above(axes)
        left.set_ylim(bottom=_LEAST)
