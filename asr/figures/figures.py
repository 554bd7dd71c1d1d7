"""Pictures of a training run, drawn with matplotlib into PNG files and pages."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from asr.batching import pad
from asr.classification import Classifier
from asr.corpus.pack import PackedCorpus
from asr.figures.page import data_uri
from asr.recognition.recognizer import Recognizer
from asr.run_log import Row, kept_row
from asr.scoring.accuracy import confusions

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

_CURVES = {  # by the criterion of a task: what its loss is, and its errors with names and colours
    "cer": ("loss, nats per unit", {"wer": ("WER", "C3"), "cer": ("CER", "C2")}),
    "error_rate": ("cross-entropy, nats per utterance", {"error_rate": ("error rate", "C3")}),
}
_SHOWN_UNITS = 40  # rows of the posterior picture that stay readable
_NAMED_CLASSES = 60  # of a confusion matrix in which names and numbers stay readable


def training_picture(path: str | Path, log: Sequence[Row], recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside one utterance of `corpus`: its spectrogram above its posteriors.

    The utterance is the one of median length.
    """
    index = median_utterance(corpus)
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
    """Draws the spectrogram of samples `(N,)` above the posteriors of CTC, if any, and gives the text that is heard."""
    audio, lengths = pad([samples])
    frames, frame_lengths = recognizer.frames(audio, lengths)
    spectrum, *below = figure.subplots(1 + recognizer.has_ctc, 1, sharex=True, squeeze=False)[:, 0]
    draw_spectrum(spectrum, recognizer, samples)
    spectrum.set(xlabel="" if below else "seconds")
    for posteriors in below:  # the picture of attention shows what others do
        log_probs, seconds = recognizer.ctc(frames)[0], len(samples) / recognizer.sample_rate
        _draw_posteriors(posteriors, log_probs.exp().cpu().numpy(), recognizer.units.symbols, seconds)
    return recognizer.texts(frames, frame_lengths)[0]


def classification_picture(path: str | Path, log: Sequence[Row], classifier: Classifier, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside what is confused with what in `corpus`."""
    best = classifier.log_probs(corpus.num_samples, corpus.audio).argmax(1).tolist()
    heard, references = [classifier.classes[index] for index in best], [u.text or "" for u in corpus.utterances]
    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2), squeeze=False)[0]
    losses, errors = left.subplots(2, 1, sharex=True)
    _draw_losses(losses, log)
    _draw_errors(errors, log)
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


def _criterion(log: Sequence[Row]) -> str:
    return next(name for name in _CURVES if name in log[-1])


def median_utterance(corpus: PackedCorpus) -> int:
    """The index of the utterance that pictures show: of median length."""
    return int(np.argsort(corpus.num_samples, kind="stable")[len(corpus) // 2])


def draw_spectrum(axes: Axes, recognizer: Recognizer, samples: np.ndarray) -> None:
    """The features of a waveform `(N,)` before normalisation, over seconds."""
    audio, _ = pad([samples])
    features = recognizer.features.log_spectrum(audio.to(recognizer.device))[0].cpu().numpy()  # (T, F)
    extent = (0, len(samples) / recognizer.sample_rate, 0, features.shape[1])
    axes.imshow(features.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
    axes.set(ylabel=f"{recognizer.config.features.kind} bin")


def _draw_losses(axes: Axes, log: Sequence[Row]) -> None:
    label, _ = _CURVES[_criterion(log)]
    epochs = [row["epoch"] for row in log]
    axes.plot(epochs, [row["train_loss"] for row in log], label="training", color="C0", marker=".")
    axes.plot(epochs, [row["validation_loss"] for row in log], label="validation", color="C1", marker=".")
    axes.set(ylabel=label, yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def _draw_errors(axes: Axes, log: Sequence[Row]) -> None:
    kept = _criterion(log)
    _, curves = _CURVES[kept]
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
