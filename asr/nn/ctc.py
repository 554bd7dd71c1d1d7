"""Connectionist temporal classification: the loss, and when it can be met at all.

Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from asr.features import frame_mask
from asr.lengths import required_frames as required_frames  # stated there, without torch; part of this module
from asr.text import BLANK


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Negative log-likelihood of each target summed over all its alignments, in nats; shape `(B,)`, float32.

    `log_probs (B, S, V)` with blank at index 0, `lengths (B,)` in frames, `targets` without blanks. A target
    that needs more frames than it has (`required_frames`) gets infinity, never a silent zero. Computed on
    the CPU, whose gradient is the same every time.
    """
    target_lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([unit for target in targets for unit in target], dtype=torch.long)
    losses = functional.ctc_loss(
        log_probs.float().cpu().transpose(0, 1),  # (S, B, V); the gradient on CUDA differs from run to run
        flat,
        lengths.cpu(),
        target_lengths,
        blank=BLANK,
        reduction="none",
    )
    return losses.to(log_probs.device)


def disagreement(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """How far two views of each utterance are from each other, in nats summed over frames; shape `(B,)`.

    `log_probs (2 * B, S, V)` and `lengths (2 * B,)` hold one view of all, then the other, which has the same frames.
    Kullback-Leibler divergence from each view, taken as given, to the other, both ways: the consistency loss of CR-CTC
    (Yao et al. 2024, https://arxiv.org/abs/2410.05101).
    """
    log_probs = log_probs * frame_mask(lengths, log_probs.shape[1])[:, :, None]  # padding: no difference
    given = log_probs.detach().roll(len(log_probs) // 2, 0)
    nats = (given.exp() * (given - log_probs)).sum((1, 2))  # (2 * B,)
    return nats.view(2, -1).sum(0)
