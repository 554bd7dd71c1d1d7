"""The log of a run, one row an epoch, and what follows from it: which epoch is kept, and when to stop."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr.files import write_whole

Row = dict[str, Any]


def kept_row(log: Sequence[Row], criterion: str = "cer") -> Row:
    """The epoch whose model is kept: of those with the lowest `criterion` the last, which annealed longest."""
    return min(log, key=lambda row: (row[criterion], -row["epoch"]))


def epochs_without_gain(log: Sequence[Row], criterion: str = "cer") -> int:
    """Epochs since the criterion last fell: what patience counts."""
    return log[-1]["epoch"] - min(log, key=lambda row: (row[criterion], row["epoch"]))["epoch"]


def write_log(path: Path, log: Sequence[Row]) -> None:
    """Writes all rows as JSON Lines, whole or not at all."""
    write_whole(path, "".join(json.dumps(row) + "\n" for row in log).encode())
