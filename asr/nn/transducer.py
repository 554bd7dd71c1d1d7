"""The recurrent transducer: in each frame it writes units, each given all units before, until a blank ends the frame.

Graves 2012, https://arxiv.org/abs/1211.3711. A prediction network reads the units so far, as a language model does. A
joint network combines its output with the encoder state of a frame: `softmax(O tanh(W frame + U units))` (Graves,
Mohamed and Hinton 2013, https://arxiv.org/abs/1303.5778). The model needs no later frame, so it can stream.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asr.nn.autoregressive import AutoregressiveModel
from asr.nn.encoder import begin_with_blank
from asr.nn.rnn import Cell, Kernels, SequenceDropout, recur, residual_layers
from asr.text import BLANK

_MOST_NUMBERS = 1 << 20  # numbers of a part of the lattices that is computed at once, 4 MB; about four arrays are


class Transducer(nn.Module):
    """The prediction network and the joint network. `J`, the size of both outputs, is `hidden`.

    The index of blank begins a text. It then has the output of the prediction network before the first unit.
    """

    def __init__(
        self,
        *,
        num_units: int,
        state_size: int,
        cell: Cell = "lstm",
        hidden: int = 320,
        dropout: float = 0.2,
        kernels: Kernels = "auto",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_units, hidden)
        self.layers, self.norms = residual_layers(
            input_size=hidden, cell=cell, bidirectional=False, hidden=hidden, layers=1, kernels=kernels
        )
        self.dropout = SequenceDropout(dropout)
        self.from_frames = nn.Linear(state_size, hidden)
        self.from_units = nn.Linear(hidden, hidden, bias=False)
        self.output = begin_with_blank(nn.Linear(hidden, num_units))

    def forward(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        """Compute the negative log-likelihood of each text over all its alignments, in nats: `(B,)`.

        `states` are `(B, S, D)`, `lengths (B,)` in frames; texts have no blanks.
        """
        frames = self.from_frames(states)
        return transducer_loss(frames, self.read(texts), self.output.weight, self.output.bias, lengths, texts)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights as arrays, by name."""
        return {name: weight.cpu().numpy() for name, weight in self.state_dict().items()}

    def read(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Compute the output of the prediction network before each unit and after the last one: `(B, L + 1, J)`."""
        device = self.embedding.weight.device
        begun = [torch.tensor([BLANK, *text]) for text in texts]
        sizes = torch.tensor([len(text) for text in begun], device=device)
        units = nn.utils.rnn.pad_sequence(begun, batch_first=True, padding_value=BLANK).to(device)
        x = self.dropout(self.embedding(units))
        outputs, _ = recur(x, self.layers, self.norms, self.dropout, lengths=sizes)
        projected: Tensor = self.from_units(outputs)
        return projected


class TransducerModel(AutoregressiveModel):
    """An encoder with a transducer, and optionally a CTC output: features and texts -> the loss of each text.

    Shapes: see `AutoregressiveModel`. The prediction network has the cell and the hidden size of the encoder.
    """

    def __init__(
        self,
        *,
        num_units: int,
        ctc_weight: float,
        cell: Cell,
        hidden: int,
        dropout: float,
        kernels: Kernels = "auto",
        **encoder: Any,
    ) -> None:
        """Build a network with fresh weights; `encoder` are the other arguments of `Encoder`."""
        shared: dict[str, Any] = {"cell": cell, "hidden": hidden, "dropout": dropout, "kernels": kernels}
        super().__init__(num_units=num_units, ctc_weight=ctc_weight, **shared, **encoder)
        self.transducer = Transducer(num_units=num_units, state_size=self.size, **shared)

    def decoder_losses(self, states: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
        losses: Tensor = self.transducer(states, lengths, texts)
        return losses


def transducer_loss(
    frames: Tensor, units: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]
) -> Tensor:
    """Compute the negative log-likelihood of each target over all its alignments, in nats: `(B,)`.

    `frames (B, S, J)` and `units (B, L + 1, J)` are what the joint network adds, `weight (V, J)` and `bias (V,)` its
    output layer. `lengths (B,)` are in frames and at least 1. An alignment ends with the blank of the last frame; a
    frame may have any number of units, so every target is possible.

    The log-probabilities of all units at all places, `(B, S, L + 1, V)`, are never in memory. The joint network is
    computed in parts of `_MOST_NUMBERS` numbers, and once more for the gradient. Two arrays of `(B, S, L + 1)` remain.
    The gradient is deterministic, on CUDA too.
    """
    losses: Tensor = _TransducerLoss.apply(frames, units, weight, bias, lengths.tolist(), targets)
    return losses


class _TransducerLoss(torch.autograd.Function):
    """Forward and backward pass of `transducer_loss`. In comments, `M` is `L + 1` of the longest target."""

    @staticmethod
    def forward(
        context: Any,
        frames: Tensor,
        units: Tensor,
        weight: Tensor,
        bias: Tensor,
        lengths: Sequence[int],
        targets: Sequence[Sequence[int]],
    ) -> Tensor:
        dtype = torch.promote_types(frames.dtype, torch.float32)  # bfloat16 of autocast has too few digits
        frames, units, weight, bias = (one.detach().to(dtype) for one in (frames, units, weight, bias))
        blank, label = (frames.new_zeros(len(frames), frames.shape[1], units.shape[1]) for _ in range(2))  # (B, S, M)
        with torch.autocast(frames.device.type, enabled=False):
            for rows, part, following in _parts(weight, lengths, targets):
                size = following.shape[1]
                _, log_probs = _joint(frames[rows, part], units[rows, :size], weight, bias)
                blank[rows, part, :size] = log_probs[..., BLANK]
                label[rows, part, :size] = log_probs.gather(3, _at_each_frame(following, log_probs)).squeeze(3)
        losses, by_blank, by_label = lattice(blank, label, lengths, [len(target) for target in targets])
        context.save_for_backward(frames, units, weight, bias, by_blank, by_label)
        context.lengths, context.targets = lengths, targets
        return losses.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        frames, units, weight, bias, by_blank, by_label = context.saved_tensors
        to_frames, to_units, to_weight, to_bias = (torch.zeros_like(one) for one in (frames, units, weight, bias))
        with torch.autocast(frames.device.type, enabled=False):
            for rows, part, following in _parts(weight, context.lengths, context.targets):
                size = following.shape[1]
                hidden, log_probs = _joint(frames[rows, part], units[rows, :size], weight, bias)
                given = gradients[rows, None, None]
                ends, spells = (given * moves[rows, part, :size] for moves in (by_blank, by_label))  # 0 in padding
                to_logits = log_probs.exp_().mul_((ends + spells)[..., None])  # (rows, frames of the part, M, V)
                to_logits[..., BLANK] -= ends
                to_logits.scatter_add_(3, _at_each_frame(following, to_logits), -spells[..., None])  # a unit a place
                flat = to_logits.flatten(0, 2)
                to_weight += flat.t() @ hidden.flatten(0, 2)
                to_bias += flat.sum(0)
                to_sums = (flat @ weight).view_as(hidden) * (1 - hidden * hidden)
                to_frames[rows, part] = to_sums.sum(2)
                to_units[rows, :size] += to_sums.sum(1)
        return to_frames, to_units, to_weight, to_bias, None, None


def _parts(
    weight: Tensor, lengths: Sequence[int], targets: Sequence[Sequence[int]]
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Divide the lattices of a batch into parts of `_MOST_NUMBERS`: some neighbours, or some frames of an utterance.

    Yields the utterances, their frames, and the unit that follows each place, `(utterances, M)`, with blank in padding.
    """
    first = 0
    while first < len(targets):
        last, length, size = first, 0, 0  # the part: the utterance after it, most frames, most places
        while last < len(targets):
            longer, larger = max(length, lengths[last]), max(size, len(targets[last]) + 1)
            if last > first and (last + 1 - first) * longer * larger * sum(weight.shape) > _MOST_NUMBERS:
                break
            last, length, size = last + 1, longer, larger
        rows = [[*target, *[BLANK] * (size - len(target))] for target in targets[first:last]]
        following = torch.tensor(rows, device=weight.device)
        step = max(1, _MOST_NUMBERS // ((last - first) * size * sum(weight.shape)))
        for begin in range(0, length, step):
            yield slice(first, last), slice(begin, min(begin + step, length)), following
        first = last


def _joint(frames: Tensor, units: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the joint network for each pair of a frame `(B, S, J)` and a place `(B, M, J)`.

    Returns what its output layer reads, `(B, S, M, J)`, and log-probabilities `(B, S, M, V)`.
    """
    hidden = (frames[:, :, None] + units[:, None]).tanh_()
    logits = torch.addmm(bias, hidden.flatten(0, 2), weight.t())
    return hidden, logits.log_softmax(dim=-1).unflatten(0, hidden.shape[:3])


def _at_each_frame(following: Tensor, log_probs: Tensor) -> Tensor:
    """Repeat the units `(B, M)` for each frame of `log_probs (B, S, M, V)`, as an index `(B, S, M, 1)`."""
    return following[:, None, :, None].expand(-1, log_probs.shape[1], -1, -1)


def lattice(blank: Tensor, label: Tensor, lengths: Sequence[int], sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Compute losses `(B,)` in nats, and the posterior of each move, two arrays `(B, S, M)`; see `kernels.lattice`."""
    if blank.device.type != "cpu":
        return lattice_by_diagonals(blank, label, lengths, sizes)
    from asr.nn.kernels.lattice import occupy  # imports numba, which a network on CUDA does not need

    losses = torch.empty(len(blank), dtype=torch.float64)
    by_blank, by_label = torch.zeros_like(blank), torch.zeros_like(label)
    frames, units = (np.array(list(one), np.int64) for one in (lengths, sizes))
    occupy(blank.numpy(), label.numpy(), frames, units, losses.numpy(), by_blank.numpy(), by_label.numpy())
    return losses, by_blank, by_label


def lattice_by_diagonals(
    blank: Tensor, label: Tensor, lengths: Sequence[int], sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    """Compute `lattice` on any device, in float64: all places with equal `s + u` at once, for all utterances.

    A move leads from one such diagonal to the next. In comments, `N` is the number of diagonals.
    """
    device, (batch, length, size) = blank.device, blank.shape
    frames, units = (torch.tensor(list(one), device=device)[:, None, None] for one in (lengths, sizes))  # (B, 1, 1)
    count = length + size - 1
    u = torch.arange(size, device=device)  # (M,)
    s = torch.arange(count, device=device)[:, None] - u  # (N, M)
    real = (s >= 0) & (s < frames) & (u <= units)  # (B, N, M)
    index = s.clamp(0, length - 1).expand(batch, -1, -1)
    ends, spells = (
        one.double().gather(1, index).masked_fill(~inside, -torch.inf)
        for one, inside in ((blank, real), (label, real & (u < units)))
    )
    last = (s == frames - 1) & (u == units)  # the blank of this place ends the text
    nowhere = blank.new_full((batch, 1), -torch.inf, dtype=torch.float64)
    before = [torch.cat([torch.zeros_like(nowhere), nowhere.expand(-1, size - 1)], dim=1)]  # (B, M) for each diagonal
    for n in range(count - 1):
        spelled = torch.cat([nowhere, (before[n] + spells[:, n])[:, :-1]], dim=1)
        before.append(torch.logaddexp(before[n] + ends[:, n], spelled))
    after = [nowhere.expand(-1, size)]  # from the last diagonal back
    moves: list[tuple[Tensor, Tensor]] = []
    for n in range(count - 1, -1, -1):
        by_end = ends[:, n] + after[-1].masked_fill(last[:, n], 0.0)
        by_spelling = spells[:, n] + torch.cat([after[-1][:, 1:], nowhere], dim=1)
        moves.append((before[n] + by_end, before[n] + by_spelling))
        after.append(torch.logaddexp(by_end, by_spelling))
    total = after[-1][:, 0]  # (B,)
    diagonal = (torch.arange(length, device=device)[:, None] + u).expand(batch, -1, -1)  # (B, S, M)
    inside = (torch.arange(length, device=device)[:, None] < frames) & (u <= units)
    by_blank, by_label = (
        (torch.stack(one[::-1], dim=1).gather(1, diagonal) - total[:, None, None]).exp().where(inside, 0.0)
        for one in zip(*moves, strict=True)
    )
    return -total, by_blank.to(blank.dtype), by_label.to(blank.dtype)
