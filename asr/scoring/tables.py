"""Small tables for the terminal, pages and papers, and the file with a row for each utterance."""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from asr.errors import AsrError
from asr.files import to_json, write_whole

Cell = str | int | float
_MARKDOWN = {character: f"\\{character}" for character in "\\`*_{}[]<>|#"} | {"\n": " "}
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "\n": " ",
}


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

    def markdown(self) -> str:
        """Return the table in Markdown, with its title as bold text."""
        lines = [[_escaped(cell, _MARKDOWN) for cell in line] for line in (self.columns, *self.cells())]
        marks = ["---" if isinstance(cell, str) else "---:" for cell in self._first]
        rows = [f"| {' | '.join(line)} |" for line in (lines[0], marks, *lines[1:])]
        return "\n".join([f"**{_escaped(self.title, _MARKDOWN)}**", "", *rows])

    def latex(self) -> str:
        """Return the table for LaTeX with the package booktabs."""
        lines = [" & ".join(_escaped(cell, _LATEX) for cell in line) for line in (self.columns, *self.cells())]
        sides = "".join("l" if isinstance(cell, str) else "r" for cell in self._first)
        body = "".join(f"    {line} \\\\\n" for line in lines[1:])
        return (
            "\\begin{table}\n  \\centering\n"
            f"  \\caption{{{_escaped(self.title, _LATEX)}}}\n  \\begin{{tabular}}{{{sides}}}\n    \\toprule\n"
            f"    {lines[0]} \\\\\n    \\midrule\n{body}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}"
        )

    def html(self) -> str:
        """Return the table in HTML."""
        sides = ["" if isinstance(cell, str) else ' style="text-align: right"' for cell in self._first]
        head = "".join(
            f'<th scope="col"{side}>{html.escape(name)}</th>' for name, side in zip(self.columns, sides, strict=True)
        )
        rows = [
            "".join(f"<td{side}>{html.escape(cell)}</td>" for cell, side in zip(line, sides, strict=True))
            for line in self.cells()
        ]
        lines = [f"<caption>{html.escape(self.title)}</caption>", *(f"<tr>{row}</tr>" for row in (head, *rows))]
        return "\n".join(["<table>", *lines, "</table>"])

    @property
    def _first(self) -> tuple[Cell, ...]:
        """The first row, whose cells say which columns are numbers; texts for a table without rows."""
        return self.rows[0] if self.rows else self.columns


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


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
