"""The confusion matrix of a classifier as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from asr.figures.fonts import drawable, wrapped
from asr.figures.style import INK, drawing

_NAMED_CLASSES = 60  # classes of a matrix in which names and numbers stay readable
_LABEL = 24  # characters of the name of a class


def confusion_picture(path: Path, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    """Draw a confusion matrix into the PNG file `path`, its folder included.

    `counts` and the names of its rows come from `asr.scoring.accuracy.confusions`.
    """
    size = 4 + 0.35 * min(len(names), _NAMED_CLASSES)
    with drawing(path, (size + 1, size)) as figure:
        axes = figure.subplots()
        draw_confusions(axes, counts, names)
        axes.set_title(title, fontsize=9, loc="left")


def draw_confusions(axes: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """Draw the share of each row as a shade and each count as a number; with very many classes, only the shades."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="class in the hypothesis", ylabel="class in the reference")
    if len(names) > _NAMED_CLASSES:
        return
    texts, style = drawable(names)
    labels = [wrapped(text, _LABEL) for text in texts]
    axes.set_xticks(range(counts.shape[1]), labels[: counts.shape[1]], fontsize=8, rotation=90, **style)
    axes.set_yticks(range(len(labels)), labels, fontsize=8, **style)
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.6 else INK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)
