"""The picture of how far confidences can be trusted."""

from pathlib import Path

import matplotlib
import numpy as np

from asr.decoding.confidence import BINS, expected_error, reliability

matplotlib.use("agg")
from matplotlib import pyplot as plt


def reliability_picture(path: Path, confidences: dict[str, np.ndarray], right: np.ndarray) -> None:
    """Draws, for each named row of confidences `(words,)`, the share of words right over it, above how many there are.

    On the diagonal, confidence is what it says.
    """
    figure, (shares, counts) = plt.subplots(
        2, 1, figsize=(5, 6.5), sharex=True, layout="constrained", gridspec_kw={"height_ratios": (3, 1)}
    )
    shares.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    for name, confidence in confidences.items():
        _, means, rates = zip(*reliability(confidence, right), strict=True)
        shares.plot(means, rates, marker="o", label=f"{name}: error {expected_error(confidence, right):.3f}")
    counts.hist(list(confidences.values()), bins=np.linspace(0, 1, BINS + 1).tolist())
    shares.set(ylabel="share of words right", ylim=(0, 1), title=f"{len(right)} words of the validation data")
    counts.set(xlabel="confidence", ylabel="words", xlim=(0, 1))
    shares.legend()
    shares.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
