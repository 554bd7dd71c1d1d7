"""Best-path decoding: the most probable unit of each frame, repeats merged, blanks dropped. No torch here."""

from typing import Any

import numpy as np

from asr.decoding.hypothesis import Hypothesis
from asr.text import BLANK


def best_path(log_probs: Any, lengths: Any) -> list[Hypothesis]:
    """Decode `log_probs (B, S, V)` with `lengths (B,)` into one hypothesis for each utterance; padding is ignored.

    Both are arrays, or tensors on any device.
    """
    rows, counts = (one.cpu().numpy() if hasattr(one, "cpu") else np.asarray(one) for one in (log_probs, lengths))
    return [_best_path(row[:count]) for row, count in zip(rows, counts.tolist(), strict=True)]


def _best_path(log_probs: np.ndarray) -> Hypothesis:
    path = log_probs.argmax(axis=-1)
    emits = (path != BLANK) & (np.diff(path, prepend=BLANK) != 0)
    score = log_probs[np.arange(len(path)), path].sum(dtype=np.float64)
    return Hypothesis(tuple(path[emits].tolist()), float(score))
