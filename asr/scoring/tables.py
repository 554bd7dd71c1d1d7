"""Small tables for the terminal and for pages, and the file with a row for each utterance."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from asr.errors import AsrError
from asr.files import to_json, write_whole

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title; as text, columns are aligned and numbers are on the right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def cells(self) -> list[list[str]]:
        """Return the rows as text, fractions with two decimals."""
        return [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in self.rows]

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.title}: none"
        lines = [list(self.columns), *self.cells()]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        numbers = [not isinstance(cell, str) for cell in self.rows[0]]
        return "\n  ".join(
            [
                self.title,
                *("  ".join(map(fill, line, widths, numbers)).rstrip() for line in lines),
            ]
        )


def fill(text: str, width: int, right: bool = False) -> str:
    """Pad text to `width` terminal columns; some characters take two columns and some none."""
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


def percent(part: int, whole: int) -> Cell:
    """Return `part` in percent of `whole`; a dash if `whole` is 0."""
    return 100 * part / whole if whole else "–"


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write `.jsonl`, `.csv` or `.tsv`, whole or not at all; None is null or an empty cell.

    Raises AsrError for any other suffix.
    """
    if path.suffix not in (".jsonl", ".csv", ".tsv"):
        raise AsrError(f"{path}: a table is written as .jsonl, .csv or .tsv; name it so")
    file = io.StringIO(newline="")
    if path.suffix == ".jsonl":
        file.writelines(to_json(row) + "\n" for row in rows)
    else:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    write_whole(path, file.getvalue().encode())
