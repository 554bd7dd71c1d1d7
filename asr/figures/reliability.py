"""The picture of how far confidences can be trusted."""

from pathlib import Path

import numpy as np

from asr.decoding.confidence import BINS, expected_error, reliability
from asr.figures.style import COLOURS, FAINT, MARKERS, drawing, legend_above


def reliability_picture(path: Path, confidences: dict[str, np.ndarray], right: np.ndarray) -> None:
    """Draw the share of correct words over their confidence, above a histogram of the confidences.

    Each entry of `confidences` is a curve: its name, and the confidence of each word `(words,)`. `right (words,)` is
    true for each correct word. A curve on the diagonal means that confidences are true shares.
    """
    with drawing(path, (5, 6.5)) as figure:
        shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        shares.plot([0, 1], [0, 1], color=FAINT, linestyle=":")
        for (name, confidence), color, marker in zip(confidences.items(), COLOURS, MARKERS, strict=False):
            _, means, rates = zip(*reliability(confidence, right), strict=True)
            label = f"{name}: calibration error {expected_error(confidence, right):.3f}"
            shares.plot(means, rates, color=color, marker=marker, label=label)
        bins = np.linspace(0, 1, BINS + 1).tolist()
        counts.hist(list(confidences.values()), bins=bins, color=COLOURS[: len(confidences)])
        shares.set(ylabel="share of correct words", ylim=(0, 1))
        counts.set(xlabel="confidence", ylabel="words", xlim=(0, 1))
        legend_above(shares, 1)
        shares.grid()
        figure.suptitle(f"{len(right)} words of the validation data", fontsize=11)
