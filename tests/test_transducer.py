"""The transducer's loss and its gradient: against enumeration, finite differences and torchaudio, at any padding."""

import numpy as np
import pytest
import torch
import torchaudio
from oracles import randomise, transducer_loss_by_enumeration

from asr.cells import CELLS, Cell
from asr.nn import transducer
from asr.nn.transducer import Transducer, TransducerModel, lattice, lattice_by_diagonals, transducer_loss

J, V = 5, 4
TARGETS = [[1, 2], [], [3, 3, 3, 1], [2]]
LENGTHS = torch.tensor([6, 3, 2, 1])  # more units than frames, and one frame, are possible


def parts_of_a_joint(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Return frames, units, weight and bias with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, 6, J), (4, 5, J), (V, J), (V,))
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def joint(frames: torch.Tensor, units: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.tanh(frames[:, :, None] + units[:, None]) @ weight.t() + bias  # (B, S, M, V)


def test_the_loss_is_the_sum_over_all_alignments(device: torch.device) -> None:
    parts = parts_of_a_joint()
    losses = transducer_loss(*(part.to(device) for part in parts), LENGTHS.to(device), TARGETS).cpu()
    log_probs = joint(*parts).log_softmax(-1).detach().numpy()
    for row, (length, target) in enumerate(zip(LENGTHS.tolist(), TARGETS, strict=True)):
        expected = transducer_loss_by_enumeration(log_probs[row, :length, : len(target) + 1], target)
        assert losses[row].item() == pytest.approx(expected, abs=1e-9)


def test_the_gradient_is_that_of_finite_differences() -> None:
    parts = parts_of_a_joint(1)
    assert torch.autograd.gradcheck(lambda *given: transducer_loss(*given, LENGTHS, TARGETS), parts)


def test_loss_and_gradient_are_those_of_torchaudio(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    shapes = ((3, 40, 16), (3, 13, 16), (9, 16), (9,))
    ours = [torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes]
    theirs = [one.detach().cpu().clone().requires_grad_() for one in ours]
    lengths, targets = torch.tensor([40, 17, 25]), torch.randint(1, 9, (3, 12), generator=generator)
    sizes, weights = torch.tensor([12, 5, 1]), torch.tensor([1.0, 0.3, 2.0])
    rows = [target[:size].tolist() for target, size in zip(targets, sizes, strict=True)]
    found = transducer_loss(*ours, lengths.to(device), rows)
    expected = torchaudio.functional.rnnt_loss(
        joint(*theirs), targets.int(), lengths.int(), sizes.int(), blank=0, reduction="none"
    )
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-5)
    (found.cpu() @ weights).backward()
    (expected @ weights).backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad, atol=2e-4, rtol=1e-4)
    assert not ours[0].grad[1, 17:].any() and not ours[1].grad[1, 6:].any(), "padding"


def test_a_lattice_by_diagonals_is_the_lattice(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(3)
    blank, label = (-3 * torch.rand(5, 30, 11, generator=generator) for _ in range(2))
    lengths, sizes = [30, 1, 12, 1, 7], [10, 0, 3, 10, 9]
    expected = lattice(blank, label, lengths, sizes)
    for one, other in zip(
        lattice_by_diagonals(blank.to(device), label.to(device), lengths, sizes), expected, strict=True
    ):
        torch.testing.assert_close(one.cpu(), other, atol=1e-6, rtol=1e-6)
    _, by_blank, by_label = expected
    torch.testing.assert_close(by_blank.sum((1, 2)), torch.tensor(lengths).float())  # a blank for each frame
    torch.testing.assert_close(by_label.sum((1, 2)), torch.tensor(sizes).float())  # and a label for each unit


def test_parts_of_any_size_give_the_same_loss_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for most in (1, 3 * (V + J), 1 << 22):
        monkeypatch.setattr(transducer, "_MOST_NUMBERS", most)
        parts = parts_of_a_joint(4)
        losses = transducer_loss(*parts, LENGTHS, TARGETS)
        found.append([losses.detach(), *torch.autograd.grad(losses.sum(), parts)])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_same_bytes_each_time_on_any_number_of_threads() -> None:
    threads, found = torch.get_num_threads(), []
    for number in (1, 2, 2):
        torch.set_num_threads(number)
        parts = parts_of_a_joint(5, torch.float32)
        losses = transducer_loss(*parts, LENGTHS, TARGETS)
        found.append([losses.detach(), *torch.autograd.grad(losses.sum(), parts)])
    torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0]))


def small_model(cell: Cell = "lstm", ctc_weight: float = 0.3, **more: object) -> TransducerModel:
    settings = {"num_bins": 8, "hidden": 16, "layers": 1, "channels": 2, "dropout": 0.1, **more}
    model = TransducerModel(num_units=V, ctc_weight=ctc_weight, cell=cell, **settings)  # type: ignore[arg-type]
    randomise(model, 0)
    return model


@pytest.mark.parametrize("cell", CELLS)
def test_the_prediction_network_never_sees_later_units_or_padding(cell: Cell) -> None:
    network = Transducer(num_units=V, state_size=6, cell=cell, hidden=16).eval()
    together = network.read([[1, 2, 3], [2], []])
    assert together.shape == (3, 4, 16)
    for row, text in enumerate(([1, 2, 3], [2], [])):
        torch.testing.assert_close(together[row, : len(text) + 1], network.read([text])[0])
    torch.testing.assert_close(network.read([[1, 2]])[0], together[0, :3])
    assert not torch.allclose(together[0, 1], together[1, 1])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("ctc_weight", [0.0, 0.3])
def test_gradients_reach_every_parameter_and_no_padding(cell: Cell, ctc_weight: float) -> None:
    model = small_model(cell, ctc_weight)
    texts, lengths = [[1, 2], [3]], torch.tensor([24, 11])
    features = torch.randn(2, 24, 8, requires_grad=True)
    model(features, lengths, texts).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert features.grad is not None and (features.grad[1, 11:] == 0).all() and (features.grad[1, :11] != 0).any()
    assert (model.output is None) == (ctc_weight == 0)


def test_the_loss_of_a_text_does_not_depend_on_its_batch() -> None:
    model, features = small_model().eval(), torch.randn(4, 30, 8)
    lengths = torch.tensor([30, 14, 20, 3])
    together = model(features, lengths, TARGETS)
    padded = torch.cat([features, torch.full((4, 50, 8), 1e3)], dim=1)
    torch.testing.assert_close(model(padded, lengths, TARGETS), together)
    for row, length in enumerate(lengths.tolist()):
        alone = model(features[row : row + 1, :length], lengths[row : row + 1], [TARGETS[row]])
        torch.testing.assert_close(alone[0], together[row])
    assert torch.isfinite(together[:3]).all()


def test_bfloat16_of_autocast_changes_little() -> None:
    model, features = small_model().eval(), torch.randn(2, 30, 8)
    lengths, texts = torch.tensor([30, 14]), [[1, 2, 2], [3]]
    exact = model(features, lengths, texts)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(features, lengths, texts)
    assert rounded.dtype == torch.float32
    np.testing.assert_allclose(rounded.detach(), exact.detach(), rtol=0.05)
