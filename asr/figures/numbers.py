"""Numbers as readers of pages and pictures see them."""

import math


def significant(value: float, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, without an exponent from 0.0001 on: 0.00823, 1.69, 123."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
