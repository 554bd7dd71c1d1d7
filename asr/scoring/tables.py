"""Small tables to print or to put in a page, and the table of all utterances in a file."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from asr.errors import AsrError

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; its text has columns in line, numbers to the right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def cells(self) -> list[list[str]]:
        """The rows as text, fractions with two decimals."""
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
    """Spaces up to `width` columns of a terminal, in which some characters take two and some none."""
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


def percent(part: int, whole: int) -> Cell:
    """`part` in percent of `whole`, a dash where there is nothing to be part of."""
    return 100 * part / whole if whole else "–"


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `.jsonl`, `.csv` or `.tsv`, whole or not at all; None is null or an empty cell. AsrError otherwise."""
    if path.suffix not in (".jsonl", ".csv", ".tsv"):
        raise AsrError(f"{path}: a table is written as .jsonl, .csv or .tsv; name it so")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    draft.replace(path)
