"""The CTC loss and its gradient against enumeration and PyTorch, infeasible targets, and the consistency loss."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles import collapse, ctc_loss_by_enumeration

from asr.decoding.greedy import best_path
from asr.lengths import required_frames
from asr.nn.ctc import ctc_loss, disagreement, steady_ctc_loss


@pytest.mark.parametrize("target", [(), (1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 2), (2, 2, 2)])
def test_loss_equals_the_sum_over_all_paths(target: tuple[int, ...], device: torch.device) -> None:
    log_probs = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(len(target))).log_softmax(-1)
    lengths = torch.tensor([6, 5])
    losses = ctc_loss(log_probs.to(device), lengths.to(device), [target, target]).cpu()
    for row, frames in enumerate(lengths.tolist()):
        expected = ctc_loss_by_enumeration(log_probs[row, :frames].numpy().astype(np.float64), target)
        assert losses[row].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("target", [(1,), (1, 2), (1, 1), (2, 1, 2), (1, 1, 1), (1, 1, 2, 2)])
def test_feasible_exactly_when_a_path_exists(target: tuple[int, ...]) -> None:
    for frames in range(1, 8):
        log_probs = torch.zeros(1, frames, 3).log_softmax(-1)
        finite = bool(torch.isfinite(ctc_loss(log_probs, torch.tensor([frames]), [target])).all())
        assert finite == (frames >= required_frames(target))


def test_frames_beyond_the_length_do_not_count() -> None:
    log_probs = torch.randn(1, 6, 4).log_softmax(-1)
    longer = torch.cat([log_probs, torch.full((1, 3, 4), -50.0)], dim=1)
    torch.testing.assert_close(
        ctc_loss(log_probs, torch.tensor([6]), [[1, 2]]), ctc_loss(longer, torch.tensor([6]), [[1, 2]])
    )


def test_the_steady_gradient_is_the_gradient(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 60, 7, generator=generator)
    lengths = torch.tensor([60, 41, 12, 3, 1])
    targets = [torch.randint(1, 7, (size,), generator=generator).tolist() for size in (20, 5, 0, 1, 0)]
    weights = torch.rand(5, generator=generator)

    def losses_and_gradient(loss: Callable[..., torch.Tensor], where: torch.device) -> list[torch.Tensor]:
        x = scores.to(where).requires_grad_()
        losses = loss(x.log_softmax(-1), lengths.to(where), targets)
        return [losses.detach().cpu(), torch.autograd.grad(losses @ weights.to(where), x)[0].cpu()]

    steady = losses_and_gradient(steady_ctc_loss, device)
    torch.testing.assert_close(steady, losses_and_gradient(ctc_loss, torch.device("cpu")), atol=1e-5, rtol=1e-5)
    assert not any(steady[1][row, length:].any() for row, length in enumerate(lengths)), "padding"
    again = losses_and_gradient(steady_ctc_loss, device)
    assert torch.equal(again[1], steady[1])


def test_a_steady_loss_that_no_path_has_is_infinite(device: torch.device) -> None:
    log_probs = torch.zeros(2, 3, 4, device=device).log_softmax(-1)
    losses = steady_ctc_loss(log_probs, torch.tensor([3, 3], device=device), [[1, 1, 1], [1, 2, 3]])
    assert torch.isinf(losses[0]) and torch.isfinite(losses[1])


def test_best_path_collapses_like_the_definition(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(50, 12, 3, generator=generator).log_softmax(-1)
    lengths = torch.randint(1, 13, (50,), generator=generator)
    for row, best in enumerate(best_path(log_probs.to(device), lengths.to(device))):
        real = log_probs[row, : lengths[row]]
        assert best.units == collapse(tuple(real.argmax(-1).tolist()))
        assert best.score == pytest.approx(real.max(-1).values.sum().item(), abs=1e-4)


def test_disagreement_is_the_divergence_of_two_views_both_ways() -> None:
    views = torch.randn(2, 3, 7, 5).log_softmax(-1).requires_grad_()  # (views, B, S, V)
    lengths = torch.tensor([7, 2, 5])
    nats = disagreement(views.flatten(0, 1), lengths.repeat(2))
    for row, length in enumerate(lengths.tolist()):
        one, other = views[:, row, :length].detach()
        there, back = (
            torch.nn.functional.kl_div(a, b, reduction="sum", log_target=True) for a, b in ((one, other), (other, one))
        )
        torch.testing.assert_close(nats[row].detach(), there + back)
    (gradient,) = torch.autograd.grad(nats.sum(), views)
    one, other = (view[0, 0].detach().requires_grad_() for view in views)
    (expected,) = torch.autograd.grad(-(other.detach().exp() * one).sum(), one)  # the other view is taken as given
    torch.testing.assert_close(gradient[0, 0, 0], expected)
    assert not gradient[:, 1, 2:].any(), "padding"
    assert not disagreement(views[0].detach().repeat(2, 1, 1), lengths.repeat(2)).any(), "equal views"
