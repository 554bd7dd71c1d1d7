"""Best-path decoding: the most probable unit of each frame, repeats merged, blanks dropped."""

from torch import Tensor

from asr.decoding.hypothesis import Hypothesis
from asr.features import frame_mask
from asr.text import BLANK


def best_path(log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
    """Decode `log_probs (B, S, V)` with `lengths (B,)` into one hypothesis for each utterance; padding is ignored."""
    inside = frame_mask(lengths, log_probs.shape[1])  # (B, S)
    values, path = log_probs.max(dim=-1)
    emits = inside & (path != BLANK)
    emits[:, 1:] &= path[:, 1:] != path[:, :-1]
    scores = (values * inside).sum(dim=1).tolist()
    counts = emits.sum(dim=1).tolist()
    units = path[emits].split(counts)
    return [Hypothesis(tuple(u.tolist()), s) for u, s in zip(units, scores, strict=True)]
