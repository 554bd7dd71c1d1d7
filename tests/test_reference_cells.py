"""Every cell computes its equations, to rounding: outputs, final states, and gradients through time."""

import numpy as np
import pytest
import torch
from oracles import randomise
from reference_cells import NAMES, Weights, backpropagate, unroll

from asr.cells import CELLS
from asr.nn.rnn import RNNLayer

LENGTHS = torch.tensor([9, 1, 6])
EXACT = {"atol": 1e-10, "rtol": 1e-8}


def layer_and_input(cell: str, *, bidirectional: bool) -> tuple[RNNLayer, torch.Tensor]:
    layer = RNNLayer(input_size=5, hidden_size=4, cell=cell, bidirectional=bidirectional).double()  # type: ignore[arg-type]
    randomise(layer, 0)
    return layer, torch.randn(3, 9, 5, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_outputs_and_gradients_are_those_of_the_equations(cell: str, bidirectional: bool) -> None:
    layer, x = layer_and_input(cell, bidirectional=bidirectional)
    outputs, _ = layer(x, LENGTHS)
    direction = torch.randn_like(outputs) * (torch.arange(9) < LENGTHS[:, None])[:, :, None]
    (outputs * direction).sum().backward()
    dx = np.zeros(x.shape)
    for side, rnn in enumerate([layer.forward_rnn, layer.backward_rnn][: 1 + bidirectional]):
        weights = Weights.of(rnn)
        sums = Weights(*map(np.zeros_like, weights))
        order = slice(None, None, -1 if side else 1)  # the backward direction starts at the last real frame
        for row, length in enumerate(LENGTHS):
            steps = unroll(cell, weights, x[row, :length].detach().numpy()[order])
            h = np.stack([step["h"] for step in steps])[order]
            half = slice(4 * side, 4 * side + 4)
            np.testing.assert_allclose(outputs[row, :length, half].detach().numpy(), h, **EXACT)
            gradients, more = backpropagate(cell, weights, steps, direction[row, :length, half].numpy()[order])
            dx[row, :length] += gradients[order]
            sums = Weights(*(a + b for a, b in zip(sums, more, strict=True)))
        for name, expected in zip(NAMES, sums, strict=True):
            np.testing.assert_allclose(getattr(rnn, f"{name}_l0").grad.numpy(), expected, err_msg=name, **EXACT)
    np.testing.assert_allclose(x.grad.numpy(), dx, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_final_states_are_those_of_the_equations(cell: str) -> None:
    layer, x = layer_and_input(cell, bidirectional=True)
    _, states = layer(x, torch.tensor([9, 9, 9]))
    for rnn, state, order in zip((layer.forward_rnn, layer.backward_rnn), states, (1, -1), strict=True):
        hidden, memory = state if cell == "lstm" else (state, None)
        for row in range(3):
            last = unroll(cell, Weights.of(rnn), x[row].detach().numpy()[::order])[-1]
            np.testing.assert_allclose(hidden[0, row].detach().numpy(), last["h"], **EXACT)
            if memory is not None:
                np.testing.assert_allclose(memory[0, row].detach().numpy(), last["m"], **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_backpropagation_by_hand_is_the_slope(cell: str) -> None:
    """The reference against finite differences, so that it does not rest on autograd either."""
    layer, x = layer_and_input(cell, bidirectional=False)
    weights, sequence = Weights.of(layer.forward_rnn), x[0].detach().numpy()
    direction = np.random.default_rng(0).standard_normal((9, 4))

    def loss() -> float:
        return float(sum(step["h"] @ row for step, row in zip(unroll(cell, weights, sequence), direction, strict=True)))

    _, gradients = backpropagate(cell, weights, unroll(cell, weights, sequence), direction)
    for array, gradient in zip(weights, gradients, strict=True):
        place = np.unravel_index(np.abs(gradient).argmax(), array.shape)
        kept, values = array[place], []
        for change in (1e-6, -1e-6):
            array[place] = kept + change
            values.append(loss())
        array[place] = kept
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient[place], rel=1e-5)
