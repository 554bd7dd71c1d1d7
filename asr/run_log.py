"""The log of a run, one row for each epoch: which epoch is kept, why a run stopped, and the files of its folder."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.files import read_lines, to_json, write_whole
from asr.wording import counted

LOG_FILE = "log.jsonl"
CONFIG_FILE = "config.yaml"
HYPOTHESES_FILE = "validation.hyp.jsonl"  # the validation data with the hypotheses of the kept model
Row = dict[str, Any]
CRITERION_NAMES = {  # fields, and words for people
    "cer": "CER",
    "error_rate": "error rate",
    "perplexity": "perplexity",
}


def kept_row(log: Sequence[Row], criterion: str = "cer") -> Row:
    """Return the row of the epoch whose model is kept: the one with the lowest `criterion`.

    Of several such epochs, the one with the lowest validation loss is kept, because small validation data has few
    different error rates. If the losses are equal or not numbers, the latest epoch is kept.
    """

    def rank(row: Row) -> tuple[float, float, int]:
        loss = row.get("validation_loss", math.nan)
        return row[criterion], math.inf if math.isnan(loss) else loss, -row["epoch"]

    return min(log, key=rank)


def epochs_without_gain(log: Sequence[Row], criterion: str = "cer") -> int:
    """Return the number of epochs since the criterion last improved; `training.patience` limits it."""
    return log[-1]["epoch"] - min(log, key=lambda row: (row[criterion], row["epoch"]))["epoch"]


def stop_reason(
    log: Sequence[Row], *, epochs: int, patience: int, criterion: str = "cer", extended: int = 0
) -> str | None:
    """Return why a run stopped, in words for people, or None if the run is unfinished or was interrupted.

    The field `stopped` of the last row holds the reason. Logs of older versions have no such field; their reason
    follows from the number of epochs and from `patience`. In a run that was extended after `extended` epochs, patience
    counts the epochs since then.
    """
    if not log:
        return None
    if "stopped" in log[-1]:
        return str(log[-1]["stopped"])
    if log[-1]["epoch"] >= epochs:
        return counted("<the only epoch is|all {} epochs are> done", epochs)
    if min(epochs_without_gain(log, criterion), len(log) - extended) >= patience:
        return f"no better validation {CRITERION_NAMES[criterion]} for {counted('{} epoch<s>', patience)}"
    return None


def write_log(path: Path, log: Sequence[Row]) -> None:
    """Write all rows as JSON Lines, whole or not at all; a number that is not finite becomes null."""
    write_whole(path, "".join(to_json(row) + "\n" for row in log).encode())


def read_log(path: Path) -> list[Row]:
    """Read the rows that `write_log` wrote; losses and gradient norms that are null become NaN.

    Raises AsrError if the file cannot be read, has no row, or is not the log of a run.
    """
    try:
        rows: list[Row] = [json.loads(line) for line in read_lines(path) if line.strip()]
        for row in rows:
            row |= {name: _number(row[name]) for name in ("train_loss", "validation_loss") if name in row}
            row["gradient_norms"] = {part: _number(norm) for part, norm in row.get("gradient_norms", {}).items()}
            row["epoch"] = int(row["epoch"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        rows = []
    if not rows:
        raise AsrError(f"{path}: has no complete epoch; wait until the first epoch is done, or train again")
    return rows


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
