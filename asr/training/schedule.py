"""The learning rate over a run."""

import math


def warmup_cosine(step: int, *, total: int, warmup: float) -> float:
    """Share of the highest learning rate at `step` of `total`: a linear rise over the share `warmup` of all
    steps, then half a cosine down to nearly 0 (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).
    """
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    progress = (step - rise) / max(1, total - rise)
    return max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)
