"""Connectionist temporal classification: the loss, and when it can be met at all.

Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

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
