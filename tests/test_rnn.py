import pytest
import torch
from oracles import packed_rnn, randomise

from asr.nn.rnn import RNNLayer, reversal_index, reverse

LENGTHS = torch.tensor([7, 1, 12, 4])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_equal_to_packed_sequences(cell: str, bidirectional: bool) -> None:
    """Outputs and gradients, without packing, are those of PyTorch's packed RNN."""
    layer = RNNLayer(input_size=5, hidden_size=6, cell=cell, bidirectional=bidirectional)  # type: ignore[arg-type]
    randomise(layer, 0)
    x = torch.randn(4, 12, 5, requires_grad=True)
    mask = (torch.arange(12) < LENGTHS[:, None])[:, :, None]
    expected = packed_rnn(layer, x, LENGTHS)
    actual = layer(x, reversal_index(LENGTHS, 12)) * mask
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)

    weights = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), x)
    (actual_gradient,) = torch.autograd.grad((actual * weights).sum(), x)
    torch.testing.assert_close(actual_gradient, expected_gradient, atol=1e-4, rtol=1e-4)


def test_reverse_is_within_lengths_and_its_own_gradient() -> None:
    x = torch.arange(8.0).view(2, 4, 1).requires_grad_()
    index = reversal_index(torch.tensor([3, 4]), 4)
    assert reverse(x, index).flatten().tolist() == [2, 1, 0, 3, 7, 6, 5, 4]
    assert torch.autograd.gradcheck(lambda y: reverse(y, index), x.double())
