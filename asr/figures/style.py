"""The look that all pictures share: colours, sizes, and how a picture is saved as a file or put into a page."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from asr.figures.page import data_uri
from asr.files import write_whole

# Colours that readers with colour blindness can tell apart (Okabe and Ito 2008). Each curve also has a marker or a
# line style of its own.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "os^Dvx"
INK = "#1d232b"  # text and axes; in a page, the colour of its text
FAINT = "#68727f"

_INK_IN_DARK_MODE = "#e4e8ed"
_DPI = 110
_SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "grid.alpha": 0.2,
    "grid.color": INK,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.markersize": 4.5,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",  # the browser draws the text
    "svg.hashsalt": "asr",  # equal pictures are equal bytes
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture inside a page: its data URI, and the text for readers who do not see it."""

    uri: str
    alt: str


@contextmanager
def drawing(path: str | Path, size: tuple[float, float]) -> Iterator[Figure]:
    """Open an empty figure of `size` inches; write it to the PNG file `path` when the block ends."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        write_whole(Path(path), _render(figure, "png"))


def photograph(size: tuple[float, float], draw: Callable[[Figure], str]) -> Picture:
    """Return a PNG picture of `size` inches for a page; `draw` draws it and returns its alternative text."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        alt = draw(figure)
        return Picture(data_uri("image/png", _render(figure, "png")), alt)


def diagram(size: tuple[float, float], draw: Callable[[Figure], str]) -> Picture:
    """Return an SVG picture of `size` inches for a page; `draw` draws it and returns its alternative text.

    The background is transparent, and the text is light where the reader prefers dark pages.
    """
    with matplotlib.rc_context({**_SETTINGS, "savefig.facecolor": "none", "axes.facecolor": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        alt = draw(figure)
        svg = _render(figure, "svg").decode().replace(INK, "currentColor")
    colours = f"svg{{color:{INK}}}@media(prefers-color-scheme:dark){{svg{{color:{_INK_IN_DARK_MODE}}}}}"
    head, defs, rest = svg.partition("<defs>")
    return Picture(data_uri("image/svg+xml", f"{head}<style>{colours}</style>{defs}{rest}".encode()), alt)


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Place the legend above the axes, where it hides no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderaxespad=0.2)


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2 and 5 times each power of ten.

    An axis whose curves have no positive value stays linear.
    """
    if axes.dataLim.minposy == math.inf:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _render(figure: Figure, kind: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()
