"""Pictures of a training run, drawn with matplotlib into PNG files."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from asr.batching import pad
from asr.corpus.pack import PackedCorpus
from asr.model import Recognizer
from asr.training.history import Row, kept_row

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_SHOWN_UNITS = 40  # rows of the posterior picture that stay readable


def training_picture(path: str | Path, log: Sequence[Row], recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draws the learning curve of `log` beside one utterance of `corpus`: its spectrogram above its posteriors.

    The utterance is the one of median length.
    """
    index = median_utterance(corpus)
    utterance = corpus.utterances[index]
    audio, lengths = pad([corpus.audio(index)])
    frames, frame_lengths = recognizer.frames(audio, lengths)
    seconds = len(audio[0]) / recognizer.sample_rate

    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), squeeze=False)[0]
    losses, errors = left.subplots(2, 1, sharex=True)
    _draw_losses(losses, log)
    _draw_errors(errors, log)

    spectrum, *below = right.subplots(1 + recognizer.has_ctc, 1, sharex=True, squeeze=False)[:, 0]
    draw_spectrum(spectrum, recognizer, corpus.audio(index))
    heard = recognizer.texts(frames, frame_lengths)[0]
    spectrum.set_title(f"“{utterance.text}”\nheard: “{heard}”", fontsize=10, loc="left")
    spectrum.set(xlabel="" if below else "seconds")
    for posteriors in below:  # of CTC; the picture of attention shows what others do
        log_probs = recognizer.ctc(frames)[0]
        _draw_posteriors(posteriors, log_probs.exp().cpu().numpy(), recognizer.units.symbols, seconds)
    right.suptitle(f"validation utterance {utterance.id}", fontsize=9, color="0.4", x=0.99, ha="right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
    epochs = [row["epoch"] for row in log]
    axes.plot(epochs, [row["train_loss"] for row in log], label="training", color="C0", marker=".")
    axes.plot(epochs, [row["validation_loss"] for row in log], label="validation", color="C1", marker=".")
    axes.set(ylabel="loss, nats per unit", yscale="log")
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
