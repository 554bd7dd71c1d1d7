"""The schedule of the learning rate over a run."""

import math


def warmup_cosine(step: int, *, total: int, warmup: float) -> float:
    """Return the learning rate at `step` of `total` steps, as a share of the highest rate.

    The rate rises linearly over the share `warmup` of all steps, then falls along half a cosine to nearly 0 (Loshchilov
    and Hutter 2017, https://arxiv.org/abs/1608.03983).
    """
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)
