"""The picture and the page of a run while it trains."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr.classifier import Classifier
from asr.corpus.pack import PackedCorpus
from asr.figures.confusions import draw_confusions
from asr.figures.curves import draw_learning, gradient_curves, learning_curves
from asr.figures.numbers import significant
from asr.figures.page import write_page
from asr.figures.style import FAINT, drawing
from asr.figures.utterance import draw_title, draw_utterance, median_utterance
from asr.recognition.recognizer import Recognizer
from asr.run_log import Row
from asr.scoring.accuracy import confusions

REFRESH = 30  # seconds
_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {  # field of the log -> heading, format
    "epoch": ("epoch", str),
    "seconds": ("seconds", "{:.0f}".format),
    "train_loss": ("training loss", significant),
    "validation_loss": ("validation loss", significant),
    "cer": ("CER %", "{:.2f}".format),
    "wer": ("WER %", "{:.2f}".format),
    "error_rate": ("error rate %", "{:.2f}".format),
    "memory_mb": ("memory in MB", "{:.0f}".format),
}


def training_picture(path: str | Path, log: Sequence[Row], recognizer: Recognizer, corpus: PackedCorpus) -> None:
    """Draw the learning curves of `log` beside the utterance of median length of `corpus`.

    The utterance is shown by its spectrogram, and by the posteriors of units if the model has CTC.
    """
    index = median_utterance(corpus)
    with drawing(path, (13, 6.5)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), squeeze=False)[0]
        draw_learning(left, log)
        hypothesis = draw_utterance(right, recognizer, corpus.audio(index))
        draw_title(right, right.axes[0], corpus.utterances[index], hypothesis)


def classification_picture(path: str | Path, log: Sequence[Row], classifier: Classifier, corpus: PackedCorpus) -> None:
    """Draw the learning curves of `log` beside the confusion matrix of `corpus`."""
    best = classifier.log_probs(corpus.num_samples, corpus.audio).argmax(1).tolist()
    references = [utterance.text or "" for utterance in corpus.utterances]
    hypotheses = [classifier.classes[index] for index in best]
    with drawing(path, (13, 6.5)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2), squeeze=False)[0]
        draw_learning(left, log)
        draw_confusions(right.subplots(), *confusions(references, hypotheses, classifier.classes))
        right.suptitle("validation data", fontsize=9, color=FAINT, x=0.99, ha="right")


def write_training_page(
    path: Path,
    log: Sequence[Row],
    *,
    title: str,
    epochs: int,
    done: bool,
    cell: str,
    frontend: str,
    stopped: str | None = None,
) -> None:
    """Write the page of a run after the epochs in `log`, of at most `epochs`.

    The page reloads itself until the run is `done`. `stopped` is the reason why the run ended, as readers see it.
    `cell` and `frontend` are values of the configuration.
    """
    columns = [name for name in _COLUMNS if name in log[-1]]
    write_page(
        path,
        "training.html",
        title=title,
        refresh=None if done else REFRESH,
        state=f"epoch {log[-1]['epoch']} of {epochs}" + (", done" if done else ""),
        stopped=stopped,
        curves=[*learning_curves(log), gradient_curves(log, cell=cell, frontend=frontend)],
        epoch=log[-1]["epoch"],
        samples=log[-1]["samples"],
        columns=[_COLUMNS[name][0] for name in columns],
        rows=[[_COLUMNS[name][1](row[name]) for name in columns] for row in reversed(log)],
    )
