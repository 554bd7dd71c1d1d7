"""Error rates by the amount of training data: what was measured, the fitted law, and what more data would give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from asr.figures.style import BLUE, FAINT, MARKERS, VERMILION, legend_above

SIZE = (6.4, 4.2)  # inches


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One error rate: trainings `(N,)`, and the law with its 95 % interval at more amounts `(P,)`; rates in percent."""

    name: str
    amounts: np.ndarray
    rates: np.ndarray
    law_amounts: np.ndarray
    law: np.ndarray
    low: np.ndarray
    high: np.ndarray


def draw_amounts(axes: Axes, curves: Sequence[Drawn], unit: str) -> str:
    """Draw curves over the amount of training data in hours or minutes; return the text for readers who do not see."""
    for curve, color, marker in zip(curves, (BLUE, VERMILION), MARKERS, strict=False):
        axes.fill_between(curve.law_amounts, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(curve.law_amounts, curve.law, color=color, label=f"{curve.name}, fitted")
        axes.plot(curve.amounts, curve.rates, color=color, marker=marker, linestyle="none", label="measured")
    most = max(float(curve.amounts.max()) for curve in curves)
    axes.axvline(most, color=FAINT, linestyle=":")
    axes.annotate(
        "all data", (most, 1), xycoords=("data", "axes fraction"), xytext=(4, -4), textcoords="offset points",
        va="top", color=FAINT, fontsize=9,
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = most * 2.0 ** np.arange(-3, 3)
    axes.set_xticks(ticks)
    top = max(float(max(curve.rates.max(), curve.high.max())) for curve in curves)
    axes.set(xlabel=f"{unit} of training data", ylabel="validation errors in %", ylim=(0, 1.05 * min(top, 120.0)))
    axes.grid()
    legend_above(axes, 2 * len(curves))
    return "; ".join(
        f"{curve.name} from {curve.rates[0]:.1f} % with {curve.amounts[0]:.2f} {unit} to {curve.rates[-1]:.1f} % with "
        f"{curve.amounts[-1]:.2f}, and {curve.law[-1]:.1f} % expected with {curve.law_amounts[-1]:.2f}"
        for curve in curves
    )
