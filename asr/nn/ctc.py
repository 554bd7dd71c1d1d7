"""Connectionist temporal classification (CTC): the loss, its gradient on CUDA, and the consistency loss of CR-CTC.

Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf

Private function of PyTorch used here, seen with torch 2.11: `torch.ops.aten._ctc_loss` returns the losses and the
log-probabilities of CTC's forward pass, `(B, S, R)`. If its signature or its result changes, training on CUDA raises a
RuntimeError or computes a wrong gradient; tests/test_ctc.py compares it with PyTorch's gradient.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from asr.features import frame_mask
from asr.nn.rnn import reversed_order
from asr.text import BLANK


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Compute the negative log-likelihood of each target over all its alignments, in nats: `(B,)`, float32.

    `log_probs` are `(B, S, V)` with blank at index 0, `lengths (B,)` are in frames, and `targets` contain no blanks.
    The loss of a target that needs more frames than it has (`required_frames`) is infinite, never a silent zero. The
    gradient is deterministic, on CUDA too.
    """
    if log_probs.device.type == "cuda":
        return steady_ctc_loss(log_probs, lengths, targets)
    target_lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([unit for target in targets for unit in target], dtype=torch.long)
    losses = functional.ctc_loss(
        log_probs.float().cpu().transpose(0, 1),  # (S, B, V); PyTorch has a CTC loss for the CPU and CUDA only
        flat,
        lengths.cpu(),
        target_lengths,
        blank=BLANK,
        reduction="none",
    )
    return losses.to(log_probs.device)


def steady_ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Compute `ctc_loss` on any device, with a gradient from the probabilities of states.

    PyTorch's own gradient on CUDA is a sum of atomic additions, whose order changes from run to run.
    """
    losses: Tensor = _SteadyCTC.apply(log_probs.float(), lengths.to(log_probs.device), targets)
    return losses


class _SteadyCTC(torch.autograd.Function):
    """Forward and backward pass of `steady_ctc_loss`.

    In comments, `R` is the number of states of the longest target: its units and the blanks around them.
    """

    @staticmethod
    def forward(context: Any, log_probs: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
        device = log_probs.device
        sizes = torch.tensor([len(target) for target in targets], device=device)
        units = nn.utils.rnn.pad_sequence([torch.tensor(t, dtype=torch.long) for t in targets], batch_first=True)
        units = units.to(device)  # (B, L)
        how_long = lengths.tolist(), list(map(len, targets))
        losses, before = torch.ops.aten._ctc_loss(log_probs.transpose(0, 1), units, *how_long, BLANK)
        if not context.needs_input_grad[0]:
            return losses
        # PyTorch computes the forward pass only. The backward pass is the forward pass over reversed frames and units.
        time, place = reversed_order(lengths, log_probs.shape[1]), reversed_order(sizes, units.shape[1])
        turned = log_probs.gather(1, time[:, :, None].expand_as(log_probs))
        _, after = torch.ops.aten._ctc_loss(turned.transpose(0, 1), units.gather(1, place), *how_long, BLANK)
        states = functional.pad(units[:, :, None], (1, 0), value=BLANK).flatten(1)
        states = functional.pad(states, (0, 1), value=BLANK)  # (B, R)
        back = reversed_order(2 * sizes + 1, states.shape[1])
        after = after.gather(1, time[:, :, None].expand_as(after)).gather(2, back[:, None, :].expand_as(after))
        emitted = log_probs.gather(2, states[:, None, :].expand_as(before))  # both passes include it: subtract it once
        real = frame_mask(lengths, before.shape[1])[:, :, None] & frame_mask(2 * sizes + 1, states.shape[1])[:, None, :]
        occupied = (before + after - emitted + losses[:, None, None]).exp().where(real, 0.0)  # (B, S, R), sum 1 over R
        unit_of = occupied.new_zeros(*states.shape, log_probs.shape[2])  # (B, R, V)
        unit_of.scatter_(2, states[:, :, None], 1.0)
        with torch.autocast(device.type, enabled=False):
            context.save_for_backward(occupied @ unit_of)
        return losses

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        (occupied,) = context.saved_tensors  # (B, S, V)
        return -gradients[:, None, None] * occupied, None, None


def divergence(given: Tensor, log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence from `given` to `log_probs`: `(B,)`, in nats summed over frames.

    Both are log-probabilities `(B, S, V)`, of which frames beyond `lengths (B,)` do not count.
    """
    real = frame_mask(lengths, log_probs.shape[1])[:, :, None]
    given, log_probs = given * real, log_probs * real  # padding adds no divergence
    return (given.exp() * (given - log_probs)).sum((1, 2))


def disagreement(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Compute the consistency loss of CR-CTC between two views of each utterance: `(B,)`, in nats summed over frames.

    `log_probs (2 * B, S, V)` and `lengths (2 * B,)` contain the first view of all utterances, then the second view,
    which has equally many frames. The loss is the Kullback-Leibler divergence from each view, without gradient, to the
    other view, summed over both directions (Yao et al. 2024, https://arxiv.org/abs/2410.05101).
    """
    given = log_probs.detach().roll(len(log_probs) // 2, 0)
    return divergence(given, log_probs, lengths).view(2, -1).sum(0)
