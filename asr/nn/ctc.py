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
    that needs more frames than it has (`required_frames`) gets infinity, never a silent zero.
    """
    device = log_probs.device
    target_lengths = torch.tensor([len(target) for target in targets])
    flat = torch.tensor([unit for target in targets for unit in target], dtype=torch.long)
    return functional.ctc_loss(
        log_probs.float().transpose(0, 1),  # (S, B, V)
        flat.to(device),
        lengths.to(device),
        target_lengths.to(device),
        blank=BLANK,
        reduction="none",
    )
