"""One utterance as a picture: its spectrogram, and below it the posteriors of units."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from asr.batching import pad
from asr.corpus.pack import PackedCorpus
from asr.figures.fonts import drawable, wrapped
from asr.figures.style import FAINT, Picture, photograph
from asr.recognition.recognizer import Recognizer
from asr.utterance import Utterance

_SHOWN_UNITS = 40  # rows of posteriors that stay readable
_FREQUENCIES = (100, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000, 20000)  # Hz, candidates for ticks
_TICK_DISTANCE = 0.08  # least share of the axis between two ticks


def median_utterance(corpus: PackedCorpus) -> int:
    """Return the index of the utterance that pictures show: the utterance of median length."""
    return int(np.argsort(corpus.num_samples, kind="stable")[len(corpus) // 2])


def utterance_picture(recognizer: Recognizer, samples: np.ndarray) -> Picture:
    """Draw the spectrogram and the posteriors of samples `(N,)`, as a picture for a page."""

    def draw(figure: Figure) -> str:
        draw_utterance(figure, recognizer, samples)
        below = ", and below it the posterior of each unit over time" if recognizer.has_ctc else ""
        return f"Spectrogram of {len(samples) / recognizer.sample_rate:.1f} seconds{below}"

    return photograph((7.5, sum(_heights(recognizer)) + 0.6), draw)


def draw_utterance(figure: Figure | SubFigure, recognizer: Recognizer, samples: np.ndarray) -> str:
    """Draw the spectrogram of samples `(N,)`, and below it the posteriors if the model has CTC; return the hypothesis.

    A model without CTC has the picture of attention instead.
    """
    audio, lengths = pad([samples])
    frames, frame_lengths = recognizer.frames(audio, lengths)
    heights = _heights(recognizer)
    spectrogram, *below = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    draw_spectrogram(spectrogram, recognizer, samples)
    spectrogram.set(xlabel="" if below else "seconds")
    for axes in below:
        log_probs, seconds = recognizer.ctc(frames)[0], len(samples) / recognizer.sample_rate
        _draw_posteriors(axes, log_probs.exp().cpu().numpy(), recognizer.units.symbols, seconds)
    return recognizer.texts(frames, frame_lengths)[0]


def _heights(recognizer: Recognizer) -> list[float]:
    """Return the heights in inches of the spectrogram and, if the model has CTC, of the posteriors."""
    rows = 1 + min(len(recognizer.units.symbols), _SHOWN_UNITS)
    return [2.0, max(1.0, 0.13 * rows)] if recognizer.has_ctc else [2.0]


def draw_spectrogram(axes: Axes, recognizer: Recognizer, samples: np.ndarray) -> None:
    """Draw the features of a waveform `(N,)` before normalisation, over seconds and Hz (MFCC: over coefficients)."""
    audio, _ = pad([samples])
    power = recognizer.features.power(audio.to(recognizer.device))
    features = recognizer.features.bands(power)[0].cpu().numpy()  # (T, F), without pitch bins
    extent = (0, len(samples) / recognizer.sample_rate, 0, features.shape[1])
    axes.imshow(features.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
    centres = recognizer.features.bin_frequencies
    if centres is None:
        axes.set(ylabel="coefficient")
        return
    positions, labels = frequency_ticks(centres.cpu().numpy())
    axes.set_yticks(positions, labels)
    axes.set(ylabel="frequency in Hz")


def frequency_ticks(centres: np.ndarray) -> tuple[list[float], list[str]]:
    """Return positions on an axis of bins, and their labels in Hz, given the centre frequency `(F,)` of each bin.

    Bin `f` covers positions `f` to `f + 1`. Frequencies between two centres are interpolated.
    """
    positions: list[float] = []
    labels: list[str] = []
    for frequency in _FREQUENCIES:
        if not centres[0] <= frequency <= centres[-1]:
            continue
        position = float(np.interp(frequency, centres, np.arange(len(centres)) + 0.5))
        if not positions or position - positions[-1] >= _TICK_DISTANCE * len(centres):
            positions.append(position)
            labels.append(str(frequency))
    return positions, labels


def draw_title(figure: Figure | SubFigure, axes: Axes, utterance: Utterance, hypothesis: str) -> None:
    """Write the reference and the hypothesis above `axes`, and the id of the validation utterance into the corner."""
    texts, style = drawable([utterance.text or "", hypothesis or "(empty)", f"validation utterance {utterance.id}"])
    reference, hypothesis, name = texts
    title = f"{wrapped(f'reference: {reference}', 90, 2)}\n{wrapped(f'hypothesis: {hypothesis}', 90, 2)}"
    axes.set_title(title, fontsize=10, loc="left", **style)
    figure.suptitle(wrapped(name, 100), fontsize=9, color=FAINT, x=0.99, ha="right", **style)


def _draw_posteriors(axes: Axes, posteriors: np.ndarray, symbols: Sequence[str], seconds: float) -> None:
    """Draw posteriors `(S, V)` as an image with blank at the bottom; of many units, only the most probable ones."""
    rows = np.arange(1, posteriors.shape[1])
    if len(rows) > _SHOWN_UNITS:
        rows = np.sort(rows[np.argsort(-posteriors[:, rows].max(axis=0))[:_SHOWN_UNITS]])
    rows = np.concatenate([[0], rows])
    labels, style = drawable(["blank", *("space" if symbols[row - 1] == " " else symbols[row - 1] for row in rows[1:])])
    axes.imshow(
        posteriors[:, rows].T, origin="lower", aspect="auto", extent=(0, seconds, -0.5, len(rows) - 0.5),
        cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
    )  # fmt: skip
    axes.set_yticks(range(len(rows)), labels, fontsize=8, **style)
    axes.set(xlabel="seconds", ylabel="posterior of each unit")
