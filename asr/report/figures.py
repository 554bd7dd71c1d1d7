"""Pictures of a training run, drawn with matplotlib into PNG files and pages."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from asr.batching import pad
from asr.corpus.pack import PackedCorpus
from asr.model import Recognizer
from asr.report.page import data_uri
from asr.training.history import Row, kept_row

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

_SHOWN_UNITS = 40  # rows of the posterior picture that stay readable


def training_picture(path: str | Path, log: Sequence[Row], recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside one utterance of `corpus`: its spectrogram above its posteriors.

    The utterance is the one of median length.
    """
    index = int(np.argsort(corpus.num_samples, kind="stable")[len(corpus) // 2])
    utterance = corpus.utterances[index]
    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), squeeze=False)[0]
    losses, errors = left.subplots(2, 1, sharex=True)
    _draw_losses(losses, log)
    _draw_errors(errors, log)

    heard = _draw_utterance(right, recognizer, corpus.audio(index))
    right.axes[0].set_title(f"“{utterance.text}”\nheard: “{heard}”", fontsize=10, loc="left")
    right.suptitle(f"validation utterance {utterance.id}", fontsize=9, color="0.4", x=0.99, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def learning_curves(log: Sequence[Row]) -> list[str]:
    """The losses and the errors of each epoch, as pictures for a page."""
    pictures = []
    for draw in (_draw_losses, _draw_errors):
        figure = plt.figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        draw(axes, log)
        axes.set(xlabel="epoch")
        pictures.append(_uri(figure, "svg"))
    return pictures


def gradient_curves(log: Sequence[Row]) -> str:
    """The norm of the gradient in each part of the model at the end of each epoch: do they vanish, do they explode?"""
    figure = plt.figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for name in log[-1]["gradient_norms"]:
        axes.plot([row["epoch"] for row in log], [row["gradient_norms"][name] for row in log], marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="norm of the gradient", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, ncols=2)
    return _uri(figure, "svg")


def utterance_picture(recognizer: Recognizer, samples: np.ndarray) -> str:
    """The spectrogram of samples `(N,)` above the posteriors of units, as a picture for a page."""
    figure = plt.figure(figsize=(7.5, 4.5), layout="constrained")
    _draw_utterance(figure, recognizer, samples)
    return _uri(figure, "png")


def _uri(figure: Figure, kind: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=110)
    plt.close(figure)
    return data_uri({"svg": "image/svg+xml", "png": "image/png"}[kind], file.getvalue())


def _draw_utterance(figure: FigureBase, recognizer: Recognizer, samples: np.ndarray) -> str:
    """Draws the spectrogram of samples `(N,)` above the posteriors, and gives the text that is heard."""
    audio, lengths = pad([samples])
    log_probs, frames = recognizer.log_probs(audio, lengths)
    features = recognizer.features.log_spectrum(audio.to(recognizer.device))[0].cpu().numpy()  # (T, F)
    seconds = len(samples) / recognizer.sample_rate
    spectrum, posteriors = figure.subplots(2, 1, sharex=True)
    spectrum.imshow(features.T, origin="lower", aspect="auto", extent=(0, seconds, 0, features.shape[1]), cmap="magma")
    spectrum.set(ylabel=f"{recognizer.config.features.kind} bin")
    _draw_posteriors(posteriors, log_probs[0].exp().cpu().numpy(), recognizer.units.symbols, seconds)
    return recognizer.texts(log_probs, frames)[0]


def _draw_losses(axes: Axes, log: Sequence[Row]) -> None:
    epochs = [row["epoch"] for row in log]
    axes.plot(epochs, [row["train_loss"] for row in log], label="training", color="C0", marker=".")
    axes.plot(epochs, [row["validation_loss"] for row in log], label="validation", color="C1", marker=".")
    axes.set(ylabel="CTC loss, nats per unit", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def _draw_errors(axes: Axes, log: Sequence[Row]) -> None:
    epochs = [row["epoch"] for row in log]
    best = kept_row(log)
    axes.plot(epochs, [row["wer"] for row in log], label="WER", color="C3", marker=".")
    axes.plot(epochs, [row["cer"] for row in log], label="CER", color="C2", marker=".")
    axes.plot(
        best["epoch"],
        best["cer"],
        "o",
        color="C2",
        label=f"kept: epoch {best['epoch']}, CER {best['cer']:.2f} %",
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
