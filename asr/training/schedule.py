"""The schedule of the learning rate over a run."""

import math


def warmup_cosine(step: float, *, total: int, warmup: float, begun: int = 0) -> float:
    """Return the learning rate at `step` of `total` steps, as a share of the highest rate.

    The rate rises linearly over the share `warmup` of all steps, then falls along half a cosine to nearly 0 (Loshchilov
    and Hutter 2017, https://arxiv.org/abs/1608.03983). The optimiser began at step `begun`: after 0 in an extended run,
    whose rate rises anew, to the cosine. In a run whose epochs were planned anew, `step` is a position between steps.
    """
    rise = max(1, round(total * warmup))
    risen = min(1.0, (step - begun + 1) / rise)
    progress = max(0, step - rise) / max(1, total - rise)
    return risen * max(0.5 * (1 + math.cos(math.pi * min(progress, 1.0))), 1e-3)
