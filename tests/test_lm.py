"""The language model's network: causal, continued from its states, conditioned on vectors, gradients by hand."""

import numpy as np
import pytest
import torch
from oracles import randomise, truncated_bptt
from torch import Tensor

from asr.cells import CELLS
from asr.errors import LanguageModelError
from asr.lm.compiled import build_network
from asr.lm.ngram import SPECIALS
from asr.lm.recurrent import RecurrentLM
from asr.nn.lm import LanguageModel
from asr.nn.rnn import RNNLayer, map_state
from asr.text import Normalizer, Units


def language_model(cell: str, **settings: int) -> LanguageModel:
    model = LanguageModel(num_tokens=7, cell=cell, hidden=6, layers=2, **settings)  # type: ignore[arg-type]
    randomise(model, 0)
    return model.eval()


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm"])
@pytest.mark.parametrize("chunk", [9, 4, 1])
def test_backpropagation_through_time_by_hand(cell: str, chunk: int) -> None:
    """Chunks that carry a detached state: outputs as of the whole, gradients that stop at the borders."""
    layer = RNNLayer(input_size=3, hidden_size=4, cell=cell, bidirectional=False).double()  # type: ignore[arg-type]
    randomise(layer, 0)
    x, out = torch.randn(1, 9, 3).double(), torch.randn(1, 9, 4).double()
    state, outputs = None, []
    for part, gradient in zip(x.split(chunk, dim=1), out.split(chunk, dim=1), strict=True):
        output, state = layer(part, state=state)
        output.backward(gradient)
        outputs.append(output.detach())
        state = map_state(Tensor.detach, state)
    rnn = layer.forward_rnn
    w, u, b = (p.detach().numpy() for p in (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0 + rnn.bias_hh_l0))
    expected, gradients = truncated_bptt(cell == "lstm", w, u, b, x[0].numpy(), out[0].numpy(), chunk)
    np.testing.assert_allclose(torch.cat(outputs, dim=1)[0], expected, atol=1e-12)
    for parameter, gradient in zip((rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0), gradients, strict=True):
        np.testing.assert_allclose(parameter.grad, gradient, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_parts_with_carried_states_give_the_whole(cell: str, device: torch.device) -> None:
    model = language_model(cell).to(device)
    tokens = torch.randint(7, (3, 11), device=device)
    whole, final = model(tokens)
    states, parts = None, []
    for part in tokens.split([5, 1, 5], dim=1):
        log_probs, states = model(part, states)
        parts.append(log_probs)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states, final, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(3, 11, device=device))


@pytest.mark.parametrize("cell", CELLS)
def test_vector_to_sequence(cell: str) -> None:
    """One model learns to write another sequence for each vector, whatever its numbers are."""
    model = LanguageModel(num_tokens=4, cell=cell, hidden=16, layers=2, dropout=0.0, condition_size=2)  # type: ignore[arg-type]
    vectors = torch.tensor([[0.9, -0.3], [-1.2, 0.1], [0.2, 1.5]])
    sequences = torch.tensor([[0, 1, 1, 2, 3], [0, 2, 3, 2, 1], [0, 3, 1, 3, 3]])
    optimizer = torch.optim.AdamW(model.parameters(), 2e-2)
    for _ in range(80):
        log_probs, _ = model(sequences[:, :-1], None, vectors)
        loss = torch.nn.functional.nll_loss(log_probs.flatten(0, 1), sequences[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for vector, sequence in zip(vectors, sequences, strict=True):
        states, token, written = None, sequence[None, :1], []
        for _ in range(4):
            log_probs, states = model(token, states, vector)
            token = log_probs.argmax(-1)
            written.append(token)
        assert torch.equal(torch.cat(written, dim=1)[0], sequence[1:])


@pytest.mark.parametrize("cell", CELLS)
def test_one_vector_for_all_for_each_sequence_or_for_each_token(cell: str, device: torch.device) -> None:
    """Also where sequences are as many as tokens, and in the middle of a stream."""
    model = language_model(cell, condition_size=3).to(device)
    tokens, vectors = torch.randint(7, (5, 5), device=device), torch.randn(5, 3, device=device)
    together, _ = model(tokens, None, vectors)
    each_token, _ = model(tokens, None, vectors[:, None].expand(-1, 5, -1))
    torch.testing.assert_close(together, each_token, atol=1e-5, rtol=1e-5)
    for row, vector, expected in zip(tokens, vectors, together, strict=True):
        torch.testing.assert_close(model(row[None], None, vector)[0][0], expected, atol=1e-5, rtol=1e-5)
    changing = vectors[:, None].repeat(1, 5, 1)
    changing[:, 3:] = vectors.flip(0)[:, None]
    first, states = model(tokens[:, :3], None, vectors)
    second, _ = model(tokens[:, 3:], states, vectors.flip(0))
    whole, _ = model(tokens, None, changing)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-5)
    assert ((whole - together)[:, 3:].abs().amax((1, 2)) > 1e-3)[[0, 1, 3, 4]].all()  # the middle row keeps its vector


def test_a_condition_gets_a_gradient_and_zeros_are_none() -> None:
    model, plain = language_model("gru", condition_size=3), language_model("gru")
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in plain.state_dict()})
    tokens, vectors = torch.randint(7, (2, 6)), torch.randn(2, 3, requires_grad=True)
    assert torch.equal(model(tokens, None, torch.zeros(3))[0], plain(tokens)[0])
    model(tokens, None, vectors)[0][..., 0].sum().backward()
    assert model.condition.weight.grad.abs().min() > 0 and vectors.grad.abs().min() > 0  # type: ignore[union-attr]


def test_first_weights_of_an_unconditional_model_stay_what_they_were() -> None:
    plain = LanguageModel(num_tokens=7, hidden=6, layers=2)
    torch.manual_seed(0)
    conditional = LanguageModel(num_tokens=7, hidden=6, layers=2, condition_size=3)
    for name, weights in plain.state_dict().items():
        assert torch.equal(weights, conditional.state_dict()[name])
    assert conditional.state_dict().keys() - plain.state_dict().keys() == {"condition.weight"}


def test_vectors_and_condition_size_belong_together() -> None:
    tokens = torch.zeros(1, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="accepts no vectors"):
        language_model("gru")(tokens, None, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="needs vectors of 3 numbers, found none"):
        language_model("gru", condition_size=3)(tokens)


def test_the_compiled_search_refuses_a_cell_that_it_cannot_compute() -> None:
    units = Units("ab")
    lm = RecurrentLM((*SPECIALS, "<space>", "a", "b"), "characters", Normalizer(), {"hidden": 4})
    assert build_network(lm, units).cell == 0
    lm.settings["cell"] = "mgu"
    with pytest.raises(LanguageModelError, match=r"cannot compute the cell mgu .* only lstm, gru, .* --cell lstm"):
        build_network(lm, units)


def test_an_unknown_cell_is_named() -> None:
    with pytest.raises(ValueError, match=r"there is no cell 'none'; the cells are lstm, gru, rnn_tanh, rnn_relu"):
        LanguageModel(num_tokens=3, cell="none")  # type: ignore[arg-type]
