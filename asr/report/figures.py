"""Pictures of a training run, drawn with matplotlib into PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from asr.batching import pad
from asr.classify import Classifier
from asr.corpus.pack import PackedCorpus
from asr.model import Recognizer
from asr.scoring.accuracy import confusions
from asr.training.history import Row, kept_row

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_SHOWN_UNITS = 40  # rows of the posterior picture that stay readable
_NAMED_CLASSES = 60  # of a confusion matrix in which names and numbers stay readable


def training_picture(path: str | Path, log: Sequence[Row], recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside one utterance of `corpus`: its spectrogram above its posteriors.

    The utterance is the one of median length.
    """
    index = int(np.argsort(corpus.num_samples, kind="stable")[len(corpus) // 2])
    utterance = corpus.utterances[index]
    audio, lengths = pad([corpus.audio(index)])
    log_probs, frames = recognizer.log_probs(audio, lengths)
    features = recognizer.features.log_spectrum(audio.to(recognizer.device))[0].cpu().numpy()  # (T, F)
    seconds = len(audio[0]) / recognizer.sample_rate

    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), squeeze=False)[0]
    losses, errors = left.subplots(2, 1, sharex=True)
    _draw_losses(losses, log, "CTC loss, nats per unit")
    _draw_errors(errors, log, {"wer": ("WER", "C3"), "cer": ("CER", "C2")}, kept="cer")

    spectrum, posteriors = right.subplots(2, 1, sharex=True)
    spectrum.imshow(features.T, origin="lower", aspect="auto", extent=(0, seconds, 0, features.shape[1]), cmap="magma")
    spectrum.set(ylabel=f"{recognizer.config.features.kind} bin")
    spectrum.set_title(
        f"“{utterance.text}”\nheard: “{recognizer.texts(log_probs, frames)[0]}”", fontsize=10, loc="left"
    )
    _draw_posteriors(posteriors, log_probs[0].exp().cpu().numpy(), recognizer.units.symbols, seconds)
    right.suptitle(f"validation utterance {utterance.id}", fontsize=9, color="0.4", x=0.99, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def classification_picture(path: str | Path, log: Sequence[Row], classifier: Classifier, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside what is confused with what in `corpus`."""
    best = classifier.log_probs(corpus.num_samples, corpus.audio).argmax(1).tolist()
    heard, references = [classifier.classes[index] for index in best], [u.text or "" for u in corpus.utterances]
    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2), squeeze=False)[0]
    losses, errors = left.subplots(2, 1, sharex=True)
    _draw_losses(losses, log, "cross-entropy, nats per utterance")
    _draw_errors(errors, log, {"error_rate": ("error rate", "C3")}, kept="error_rate")
    _draw_confusions(right.subplots(), *confusions(references, heard, classifier.classes))
    right.suptitle("validation", fontsize=9, color="0.4", x=0.99, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def confusion_picture(path: Path, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    """Draws `counts` and the names of its rows, as `scoring.accuracy.confusions` gives them."""
    size = 4 + 0.35 * min(len(names), _NAMED_CLASSES)
    figure, axes = plt.subplots(figsize=(size + 1, size), layout="constrained")
    _draw_confusions(axes, counts, names)
    axes.set_title(title, fontsize=9, loc="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_confusions(axes: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """Each row's shares as shades, its counts as numbers; of very many classes neither names nor numbers."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="heard as", ylabel="class")
    if len(names) > _NAMED_CLASSES:
        return
    axes.set_xticks(range(counts.shape[1]), names[: counts.shape[1]], fontsize=8, rotation=90)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)


def _draw_losses(axes: Axes, log: Sequence[Row], label: str) -> None:
    epochs = [row["epoch"] for row in log]
    axes.plot(epochs, [row["train_loss"] for row in log], label="training", color="C0", marker=".")
    axes.plot(epochs, [row["validation_loss"] for row in log], label="validation", color="C1", marker=".")
    axes.set(ylabel=label, yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def _draw_errors(axes: Axes, log: Sequence[Row], curves: Mapping[str, tuple[str, str]], kept: str) -> None:
    """`curves` are fields of the log, each with its label and colour; `kept` is the criterion among them."""
    epochs = [row["epoch"] for row in log]
    for name, (label, color) in curves.items():
        axes.plot(epochs, [row[name] for row in log], label=label, color=color, marker=".")
    best, (label, color) = kept_row(log, kept), curves[kept]
    axes.plot(
        best["epoch"],
        best[kept],
        "o",
        color=color,
        label=f"kept: epoch {best['epoch']}, {label} {best[kept]:.2f} %",
    )
    axes.set(xlabel="epoch", ylabel="validation error, %", ylim=(0, 105))
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_posteriors(axes: Axes, posteriors: np.ndarray, symbols: Sequence[str], seconds: float) -> None:
    """Posteriors `(S, V)` as an image, blank at the bottom; of many units, those that are heard here."""
    rows = np.arange(1, posteriors.shape[1])
    if len(rows) > _SHOWN_UNITS:
        rows = np.sort(rows[np.argsort(-posteriors[:, rows].max(axis=0))[:_SHOWN_UNITS]])
    rows = np.concatenate([[0], rows])
    labels = ["blank", *("space" if symbols[row - 1] == " " else symbols[row - 1] for row in rows[1:])]
    axes.imshow(
        posteriors[:, rows].T, origin="lower", aspect="auto", extent=(0, seconds, -0.5, len(rows) - 0.5),
        cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(xlabel="seconds", ylabel="posterior of each unit")
