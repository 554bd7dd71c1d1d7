"""Tables of measured results in the pages, written from `recipes/results.yaml`.

    python recipes/tables.py            # rewrite the tables
    python recipes/tables.py --check    # exit with status 1 if a page differs

A page holds the comments `<!-- results: KIND -->` and `<!-- end of results -->`; the lines between them are generated.
KIND is `summary` (one line for each recipe), `index` (summary with data and licences), or the name of a recipe.
"""

import re
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

REPOSITORY = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


class Count(BaseModel):
    """Errors among reference tokens, or correct answers among recordings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    part: int = Field(ge=0)
    total: int = Field(gt=0)

    @model_validator(mode="before")
    @classmethod
    def parse(cls, text: object) -> object:
        match = re.fullmatch(r"(\d+)/(\d+)", str(text))
        return {"part": match[1], "total": match[2]} if match else text

    @property
    def percent(self) -> float:
        return 100 * self.part / self.total

    def __str__(self) -> str:
        return f"{self.percent:.2f} [{self.part} / {self.total}]"


class Scores(BaseModel):
    """Scores of one model on validation and test data, by one way to decode."""

    model_config = ConfigDict(extra="forbid")
    decoding: str = ""
    seed: int
    validation_cer: float | None = None
    validation_wer: float | None = None
    validation_accuracy: Count | None = None
    validation_bleu: float | None = None
    validation_chrf: float | None = None
    cer: Count | None = None
    wer: Count | None = None
    accuracy: Count | None = None
    bleu: float | None = None
    chrf: float | None = None
    interval: str | None = None
    parts: dict[str, Count] = {}

    @model_validator(mode="after")
    def sums_agree(self) -> "Scores":
        whole = self.wer or self.accuracy
        if self.parts and whole is not None:
            sums = Count(part=sum(c.part for c in self.parts.values()), total=sum(c.total for c in self.parts.values()))
            if sums != whole:
                raise ValueError(f"parts add up to {sums}, the whole is {whole}")
        return self


class Run(BaseModel):
    """One training configuration, and the scores of its models."""

    model_config = ConfigDict(extra="forbid")
    command: str
    commit: str
    date: date
    model: str
    current: bool = False
    scores: list[Scores]

    @field_validator("commit", mode="before")
    @classmethod
    def text(cls, commit: object) -> str:
        return str(commit)


class Recipe(BaseModel):
    """Data of a recipe, and all its measured runs."""

    model_config = ConfigDict(extra="forbid")
    speech: str
    language: str
    hours: str
    licence: str
    download: str
    page: str = ""
    make: str = ""
    over: str = "utterances"
    runs: list[Run] = []

    @field_validator("hours", mode="before")
    @classmethod
    def text(cls, hours: object) -> str:
        return str(hours)


def read_results() -> dict[str, Recipe]:
    """Read and validate `recipes/results.yaml`."""
    rows = yaml.safe_load((REPOSITORY / "recipes/results.yaml").read_text(encoding="utf-8"))
    return {name: Recipe.model_validate(row) for name, row in rows.items()}


def span(values: list[float], digits: int = 1) -> str:
    """Write a range of numbers, or one number where all are equal: `0.3 to 0.7`."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def summary(recipe: Recipe) -> str:
    """Sum up the current runs of a recipe in one line."""
    scores = [scores for run in recipe.runs if run.current for scores in run.scores]
    lines = []
    for decoding in dict.fromkeys(row.decoding for row in scores):
        rows = [row for row in scores if row.decoding == decoding]
        seeds, figures = len({row.seed for row in rows}), []
        for name, counts in (("CER", [r.cer for r in rows]), ("WER", [r.wer for r in rows])):
            known = [count for count in counts if count is not None]
            if len(known) == len(rows) == 1:
                figures.append(f"{name} {known[0].percent:.1f} % [{known[0].part} / {known[0].total}]")
            elif len(known) == len(rows):
                figures.append(f"{name} {span([count.percent for count in known])} %")
        figures += [
            f"accuracy {r.accuracy.percent:.1f} % [{r.accuracy.part} / {r.accuracy.total}]" for r in rows if r.accuracy
        ]
        figures += [f"BLEU {r.bleu:.1f}" for r in rows if r.bleu is not None]
        models = f"{seeds} seeds" if seeds > 1 else f"{len(rows)} runs of one seed"
        lines.append(f"{decoding}: " * bool(decoding) + ", ".join(figures) + f" ({models})" * (len(rows) > 1))
    return "; ".join(lines) or "not measured yet"


def rows_of(cells: list[list[str]]) -> str:
    """Write a Markdown table, the first row as its head. Columns without any text below the head are left out."""
    kept = [number for number, column in enumerate(zip(*cells, strict=True)) if any(column[1:])]
    lines = ["| " + " | ".join(row[number] for number in kept) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(kept), *lines[1:]]) + "\n"


def summary_table(results: dict[str, Recipe]) -> str:
    """Write one row for each recipe: its command, its data, its current test result."""
    cells = [["command", "speech", "result on test data"]]
    for name, recipe in results.items():
        cells.append([f"`{recipe.make or f'make {name}'}`", recipe.speech, summary(recipe)])
    return rows_of(cells)


def index_table(results: dict[str, Recipe]) -> str:
    """Write one row for each recipe: page, language, hours, licence, download size, current test result."""
    cells = [["recipe", "language", "hours", "licence", "download", "result on test data"]]
    for name, recipe in results.items():
        link = f"[{name}]({recipe.page or name}/README.md)"
        cells.append([link, recipe.language, recipe.hours, recipe.licence, recipe.download, summary(recipe)])
    return rows_of(cells)


def shown(value: float | Count | None, digits: int = 2) -> str:
    """Write a figure with its counts, or nothing where it was not measured."""
    return "" if value is None else str(value) if isinstance(value, Count) else f"{value:.{digits}f}"


def recipe_tables(recipe: Recipe) -> str:
    """Write all runs of a recipe, and below their table how each was made."""
    head = ["run", "decoding", "seed", "validation CER", "validation WER", "validation accuracy", "validation BLEU"]
    head += ["validation chrF2", "CER", "WER", "accuracy", "BLEU", "chrF2", f"95 % interval over {recipe.over}"]
    cells, notes, parts = [head], [], [["decoding, %WER", *next(iter(names_of_parts(recipe)), [])]]
    for number, run in enumerate(recipe.runs, 1):
        notes.append(f"{number}. {run.model}. Commit `{run.commit}` ({run.date}): `{run.command}`")
        for row in run.scores:
            figures = [row.validation_cer, row.validation_wer, row.validation_accuracy, row.validation_bleu]
            figures += [row.validation_chrf, row.cer, row.wer, row.accuracy, row.bleu, row.chrf]
            texts = [shown(figure) for figure in figures]
            cells.append([str(number), row.decoding, str(row.seed), *texts, row.interval or ""])
            if row.parts:
                parts.append([row.decoding, *(f"{count.percent:.1f}" for count in row.parts.values())])
    tables = [rows_of(cells), "\n".join(notes) + "\n", *([rows_of(parts)] if len(parts) > 1 else [])]
    return "\n".join(tables)


def names_of_parts(recipe: Recipe) -> Iterator[list[str]]:
    for run in recipe.runs:
        yield from (list(row.parts) for row in run.scores if row.parts)


def generate(page: str, results: dict[str, Recipe]) -> str:
    """Replace the generated parts of a page. Raises KeyError where a page names no known table."""
    whole: dict[str, Callable[[dict[str, Recipe]], str]] = {"summary": summary_table, "index": index_table}

    def table(match: re.Match[str]) -> str:
        kind = match[2]
        text = whole[kind](results) if kind in whole else recipe_tables(results[kind])
        return f"{match[1]}\n{text}\n{match[3]}"

    return MARKED.sub(table, page)


def pages() -> list[Path]:
    """List the pages that may hold tables."""
    return [
        REPOSITORY / "README.md",
        *sorted(REPOSITORY.glob("recipes/**/README.md")),
        *sorted(REPOSITORY.glob("docs/**/*.md")),
    ]


def main() -> None:
    """Rewrite the pages, or name those that differ."""
    results, differ = read_results(), []
    for path in pages():
        old = path.read_text(encoding="utf-8")
        new = generate(old, results)
        if new != old:
            differ.append(path.relative_to(REPOSITORY))
            if "--check" not in sys.argv[1:]:
                path.write_text(new, encoding="utf-8")
    for page in differ:
        print(page)
    sys.exit(bool(differ) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    main()
