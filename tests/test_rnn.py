"""Recurrent layers: equal to packed sequences, in parts with a carried state, reversal, and dropout masks."""

import pytest
import torch
from oracles import packed_rnn, randomise

from asr.cells import CELLS
from asr.nn.rnn import LAYERS, FrameDropout, RNNLayer, reversal_index, reverse

LENGTHS = torch.tensor([7, 1, 12, 4])
TORCH_CELLS = [cell for cell in CELLS if isinstance(LAYERS[cell](1, 1), torch.nn.RNNBase)]  # can run packed


@pytest.mark.parametrize("cell", TORCH_CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_equal_to_packed_sequences(cell: str, bidirectional: bool) -> None:
    """Outputs and gradients, without packing, are those of PyTorch's packed RNN."""
    layer = RNNLayer(input_size=5, hidden_size=6, cell=cell, bidirectional=bidirectional)  # type: ignore[arg-type]
    randomise(layer, 0)
    x = torch.randn(4, 12, 5, requires_grad=True)
    mask = (torch.arange(12) < LENGTHS[:, None])[:, :, None]
    expected = packed_rnn(layer, x, LENGTHS)
    actual = layer(x, LENGTHS)[0] * mask
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)

    weights = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    (actual_gradient,) = torch.autograd.grad((actual * weights).sum(), x)
    torch.testing.assert_close(actual_gradient, expected_gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_parts_with_carried_state_give_the_whole(cell: str) -> None:
    layer = RNNLayer(input_size=5, hidden_size=6, cell=cell, bidirectional=False)  # type: ignore[arg-type]
    randomise(layer, 0)
    x = torch.randn(3, 11, 5)
    whole, final = layer(x)
    state, outputs = None, []
    for part in x.split([4, 1, 6], dim=1):
        output, state = layer(part, state=state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole)
    torch.testing.assert_close(state, final)
    hidden = final[0] if cell == "lstm" else final
    torch.testing.assert_close(hidden[0], whole[:, -1])


def test_two_directions_have_a_state_each() -> None:
    layer = RNNLayer(input_size=5, hidden_size=6, cell="gru")
    randomise(layer, 0)
    x = torch.randn(2, 9, 5)
    outputs, (ahead, back) = layer(x, torch.tensor([9, 9]))
    torch.testing.assert_close(ahead[0], outputs[:, -1, :6])
    torch.testing.assert_close(back[0], outputs[:, 0, 6:])
    first, middle = layer(x[:, :4], torch.tensor([4, 4]))
    second, _ = layer(x[:, 4:], torch.tensor([5, 5]), (middle[0], None))
    torch.testing.assert_close(torch.cat([first, second], dim=1)[:, :, :6], outputs[:, :, :6])
    torch.testing.assert_close(second[:, :, 6:], outputs[:, 4:, 6:])


def test_reverse_is_within_lengths_and_its_own_gradient() -> None:
    x = torch.arange(8.0).view(2, 4, 1).requires_grad_()
    index = reversal_index(torch.tensor([3, 4]), 4)
    assert reverse(x, index).flatten().tolist() == [2, 1, 0, 3, 7, 6, 5, 4]
    assert torch.autograd.gradcheck(lambda y: reverse(y, index), x.double())


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_dropout_keeps_the_mean_and_draws_each_number_anew(probability: float) -> None:
    torch.manual_seed(0)
    dropout = FrameDropout(probability)
    x = torch.ones(3, 100, 1001)
    first, second = dropout(x), dropout(x)
    share = float((first == 0).float().mean())
    assert share == pytest.approx(probability, abs=0.005)
    assert first.unique().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=0.005)
    assert float(first.mean()) == pytest.approx(1, abs=0.005)
    both = float(((first == 0) & (second == 0)).float().mean())
    assert both == pytest.approx(probability**2, abs=0.005)
    assert dropout(x.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(dropout.eval()(x), x)
