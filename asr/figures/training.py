"""A run while it trains, as a page that renews itself: curves, gradients, every epoch, what is heard."""

from collections.abc import Sequence
from pathlib import Path

from asr.figures.figures import gradient_curves, learning_curves
from asr.figures.page import write_page
from asr.run_log import Row
from asr.scoring.tables import Table

RENEWED = 30  # seconds
_COLUMNS = {
    "epoch": "epoch",
    "seconds": "s",
    "train_loss": "loss",
    "validation_loss": "validation loss",
    "cer": "CER %",
    "wer": "WER %",
    "memory_mb": "MB",
}


def write_training_page(path: Path, log: Sequence[Row], *, title: str, epochs: int, done: bool) -> None:
    """Writes the page of a run of at most `epochs` epochs after those in `log`; until it is `done` it renews itself."""
    columns = [name for name in _COLUMNS if name in log[-1]]
    rows = [tuple(row[name] for name in columns) for row in reversed(log)]
    write_page(
        path,
        "training.html",
        title=title,
        renewed=None if done else RENEWED,
        state=f"epoch {log[-1]['epoch']} of {epochs}" + (", done" if done else ""),
        curves=[*learning_curves(log), gradient_curves(log)],
        samples=log[-1]["samples"],
        table=Table("Epochs", tuple(_COLUMNS[name] for name in columns), rows),
    )
