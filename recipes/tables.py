"""Tables of measured results in the pages, written from receipts and from `recipes/results.yaml`.

    python recipes/tables.py            # rewrite the tables
    python recipes/tables.py --check    # exit with status 1 if a page differs

A page holds the comments `<!-- results: KIND -->` and `<!-- end of results -->`; the lines between them are generated.
KIND is `summary` (one line for each recipe), `index` (summary with data and licences), `unmeasured` (recipes without a
result, and why), or the name of a recipe.

Receipts are the files `recipes/NAME/receipts/*.json`. `make NAME-receipts` writes them, `asr verify` measures again.
Receipts of one seed and one decoding with different test data, such as one speaker each, are added up in one row.
The runs in `results.yaml` are older than receipts. A later run without receipt must say why it has none.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from asr.config import Config
from asr.receipts.receipt import Rate, Receipt, read_receipt
from asr.scoring.bootstrap import MIN_SPEAKERS, clusters
from asr.scoring.intervals import interval_95
from asr.wording import counted

REPOSITORY = Path(__file__).resolve().parent.parent
LAST_WITHOUT_RECEIPT = date(2026, 11, 30)  # the day on which receipts began
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
    validation_accuracy: Count | float | None = None
    validation_bleu: float | None = None
    validation_chrf: float | None = None
    cer: Count | None = None
    wer: Count | None = None
    accuracy: Count | None = None
    bleu: float | None = None
    chrf: float | None = None
    interval: str | None = None
    parts: dict[str, Count] = {}
    receipts: dict[str, str] = {}  # path of each from the page, by its name

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
    without_receipt: str = ""  # the reason, for a run after receipts began
    scores: list[Scores]

    @model_validator(mode="after")
    def has_receipt(self) -> "Run":
        if self.date > LAST_WITHOUT_RECEIPT and not self.without_receipt and not all(s.receipts for s in self.scores):
            raise ValueError(
                f"{self.command} ({self.date}): has no receipt; make one with `make NAME-receipts`, or say in "
                "without_receipt why there is none"
            )
        return self

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
    page: str = ""  # the recipe whose page and configuration it shares, if it is none itself
    settings: list[str] = []  # what its training sets differently from that configuration
    make: str = ""
    over: str = "utterances"
    unmeasured: str = ""  # why there is no result
    runs: list[Run] = []

    @field_validator("hours", mode="before")
    @classmethod
    def text(cls, hours: object) -> str:
        return str(hours)


def read_results() -> dict[str, Recipe]:
    """Read and validate `recipes/results.yaml` and all receipts; the runs of receipts come first."""
    rows = yaml.safe_load((REPOSITORY / "recipes/results.yaml").read_text(encoding="utf-8"))
    results = {name: Recipe.model_validate(row) for name, row in rows.items()}
    for name, recipe in results.items():
        folder = REPOSITORY / "recipes" / name
        wanted = REPOSITORY / "recipes" / (recipe.page or name) / "config.yaml"
        measured = runs_of(name, sorted(folder.glob("receipts/*.json")), wanted, recipe.settings)
        recipe.runs = [*measured, *recipe.runs]
        if bool(recipe.runs) == bool(recipe.unmeasured):
            raise ValueError(f"{name}: must have either runs or a text in `unmeasured` that says why there are none")
    return results


Receipts = Sequence[tuple[Path, Receipt]]


def runs_of(name: str, paths: Sequence[Path], wanted: Path, settings: Sequence[str] = ()) -> list[Run]:
    """Return the runs behind the receipts of a recipe: receipts of one commit, machine and configuration are one run.

    Seeds and data may differ. A run is current if its configuration has the settings of the recipe, which are those of
    the file `wanted` with `settings`.
    """
    groups: dict[str, list[tuple[Path, Receipt]]] = {}
    for path in paths:
        receipt = read_receipt(path)
        equal = {**receipt.config, "data": None, "training": {**receipt.config["training"], "seed": None}}
        key = repr((receipt.program.git_commit, receipt.machine, equal))
        groups.setdefault(key, []).append((path, receipt))
    return [_run(name, members, wanted, settings) for members in groups.values()]


def _run(name: str, members: Receipts, wanted: Path, settings: Sequence[str]) -> Run:
    first, machine = members[0][1], members[0][1].machine
    config = first.settings()
    shape = f"{config.model.layers} x {config.model.hidden}, {config.training.epochs} epochs"
    threads = counted("{} thread<s>", machine.threads)
    hardware = f"{machine.device} ({machine.processor}), {threads}, {machine.precision}"
    return Run(
        command=f"asr verify recipes/{name}/receipts/{members[0][0].name if len(members) == 1 else '*.json'}",
        commit=first.program.git_commit or "unknown",
        date=first.date,
        model=f"{shape}; {hardware}",
        current=follows(config, wanted, settings),
        scores=_rows(members, "" if wanted.parent.name == name else f"../{name}/"),
    )


def follows(config: Config, recipe: Path, settings: Sequence[str] = ()) -> bool:
    """Tell whether a configuration has the settings that a recipe sets; the seed and the data may differ."""
    wanted = yaml.safe_load(Config.load(recipe, settings).model_dump_json(exclude_unset=True))
    found = yaml.safe_load(config.model_dump_json())
    return all(
        value == found[section].get(setting)
        for section, settings in wanted.items()
        if isinstance(settings, dict) and section != "data"
        for setting, value in settings.items()
    ) and config.data.text_field == wanted["data"].get("text_field", "text")


def _rows(members: Receipts, folder: str) -> list[Scores]:
    """Return a row for each seed and decoding. `folder` leads from the page to the folder of the receipts.

    Raises ValueError if the rows are not of equal test data: receipts of a set of speakers are missing.
    """
    rows: dict[tuple[int, str], list[tuple[Path, Receipt]]] = {}
    for path, receipt in members:
        rows.setdefault((receipt.settings().training.seed, decoding_of(receipt)), []).append((path, receipt))
    tests = {tuple(sorted(receipt.test for _, receipt in row)) for row in rows.values()}
    if len(tests) > 1:
        raise ValueError(
            f"{members[0][0].parent}: receipts of each seed and decoding must have equal test data: {tests}"
        )
    return [
        _scores(*row[0], folder) if len(row) == 1 else _sum(seed, decoding, row, folder)
        for (seed, decoding), row in sorted(rows.items(), key=lambda item: (item[0][0], _ORDER.get(item[0][1], 0)))
    ]


_ORDER = {"language models": 1, "phrases": 2}  # best path and other decoders first


def decoding_of(receipt: Receipt) -> str:
    """Return how a model decodes, in a word: the receipt's word for CTC, else the decoder of the model."""
    config = receipt.settings()
    if config.task == "classification":
        return ""
    return (
        receipt.decoding if config.model.decoder == "ctc" or receipt.decoding != "best path" else config.model.decoder
    )


def _scores(path: Path, receipt: Receipt, folder: str) -> Scores:
    result, seed = receipt.result, receipt.settings().training.seed
    counts, parts = _counts(result.rates.items()), _counts(result.parts.items())
    last = list(result.rates.values())[-1]
    low, high = last.interval
    right, valid = result.rates.get("error_rate"), result.validation.get("error_rate")
    if right is not None:
        low, high = 100 - high, 100 - low
    bleu, chrf = result.scores.get("bleu"), result.scores.get("chrf")
    is_text = bleu is None  # errors of a translation against one reference say nothing
    return Scores(
        decoding=decoding_of(receipt),
        seed=seed,
        validation_cer=result.validation.get("cer") if is_text else None,
        validation_wer=result.validation.get("wer") if is_text else None,
        validation_accuracy=None if valid is None else 100 - valid,
        cer=counts.get("cer") if is_text else None,
        wer=counts.get("wer") if is_text else None,
        accuracy=None if right is None else Count(part=right.total - right.errors, total=right.total),
        bleu=None if bleu is None else bleu.value,
        chrf=None if chrf is None else chrf.value,
        interval=f"{low:.2f}-{high:.2f}" if is_text else None,
        parts=parts if is_text else {},
        receipts={f"seed {seed}": f"{folder}receipts/{path.name}"},
    )


def _counts(rates: Iterable[tuple[str, Rate]]) -> dict[str, Count]:
    return {name: Count(part=rate.errors, total=rate.total) for name, rate in rates}


def _sum(seed: int, decoding: str, members: Receipts, folder: str) -> Scores:
    """Add up receipts of different test data. The interval is over the sets of test data, if there are enough."""
    names = [Path(receipt.test).stem for _, receipt in members]
    sums: dict[str, Count] = {}
    for rate in ("cer", "wer"):
        found = [receipt.result.rates[rate] for _, receipt in members]
        sums[rate] = Count(part=sum(one.errors for one in found), total=sum(one.total for one in found))
    errors, words = np.array([(one.errors, one.total) for one in found]).T
    (low, high), _ = interval_95(errors, words, clusters(names))
    return Scores(
        decoding=decoding,
        seed=seed,
        cer=sums["cer"],
        wer=sums["wer"],
        interval=f"{low:.2f}-{high:.2f}" if len(names) >= MIN_SPEAKERS else None,
        parts=_counts(zip(names, found, strict=True)),
        receipts={name: f"{folder}receipts/{path.name}" for name, (path, _) in zip(names, members, strict=True)},
    )


def span(values: list[float], digits: int = 1) -> str:
    """Write a range of numbers, or one number where all are equal: `0.3 to 0.7`."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def summary(recipe: Recipe) -> str:
    """Sum up the current runs of a recipe in one line; of each decoding, receipts replace older measurements."""
    scores = [scores for run in recipe.runs if run.current for scores in run.scores]
    lines = []
    for decoding in dict.fromkeys(row.decoding for row in scores):
        rows = [row for row in scores if row.decoding == decoding]
        rows = [row for row in rows if row.receipts] or rows
        seeds, figures = len({row.seed for row in rows}), []
        rates = {"CER": [r.cer for r in rows], "WER": [r.wer for r in rows], "accuracy": [r.accuracy for r in rows]}
        for name, counts in rates.items():
            known = [count for count in counts if count is not None]
            if len(known) == len(rows) == 1:
                figures.append(f"{name} {known[0].percent:.1f} % [{known[0].part} / {known[0].total}]")
            elif len(known) == len(rows):
                figures.append(f"{name} {span([count.percent for count in known])} %")
        translated = [row.bleu for row in rows if row.bleu is not None]
        figures += [f"BLEU {span(translated)}"] if translated else []
        notes = [f"{seeds} seeds" if seeds > 1 else f"{len(rows)} runs of one seed"] if len(rows) > 1 else []
        notes += [counted("receipt<s>", sum(len(row.receipts) for row in rows)) if rows[0].receipts else "no receipt"]
        lines.append(f"{decoding}: " * bool(decoding) + ", ".join(figures) + f" ({', '.join(notes)})")
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


def unmeasured_table(results: dict[str, Recipe]) -> str:
    """Write one row for each recipe without a result, with the reason."""
    cells = [["recipe", "why it has no result"]]
    cells += [[name, recipe.unmeasured] for name, recipe in results.items() if not recipe.runs]
    return rows_of(cells)


def shown(value: float | Count | None, digits: int = 2) -> str:
    """Write a figure with its counts, or nothing where it was not measured."""
    return "" if value is None else str(value) if isinstance(value, Count) else f"{value:.{digits}f}"


def recipe_tables(recipe: Recipe) -> str:
    """Write all runs of a recipe, and below their table how each was made."""
    head = ["run", "decoding", "seed", "validation CER", "validation WER", "validation accuracy", "validation BLEU"]
    head += ["validation chrF2", "CER", "WER", "accuracy", "BLEU", "chrF2", f"95 % interval over {recipe.over}"]
    head += ["receipt"]
    cells, notes, parts = [head], [], [["decoding, %WER", *next(iter(names_of_parts(recipe)), [])]]
    for number, run in enumerate(recipe.runs, 1):
        notes.append(f"{number}. {run.model}. Commit `{run.commit}` ({run.date}): `{run.command}`")
        for row in run.scores:
            figures = [row.validation_cer, row.validation_wer, row.validation_accuracy, row.validation_bleu]
            figures += [row.validation_chrf, row.cer, row.wer, row.accuracy, row.bleu, row.chrf]
            texts = [shown(figure) for figure in figures]
            receipt = ", ".join(f"[{name}]({path})" for name, path in row.receipts.items())
            receipt = receipt or f"none: {run.without_receipt or 'older than receipts'}"
            cells.append([str(number), row.decoding, str(row.seed), *texts, row.interval or "", receipt])
            if row.parts:
                parts.append([row.decoding, *(f"{count.percent:.1f}" for count in row.parts.values())])
    tables = [rows_of(cells), "\n".join(notes) + "\n", *([rows_of(parts)] if len(parts) > 1 else [])]
    return "\n".join(tables)


def names_of_parts(recipe: Recipe) -> Iterator[list[str]]:
    for run in recipe.runs:
        yield from (list(row.parts) for row in run.scores if row.parts)


def generate(page: str, results: dict[str, Recipe]) -> str:
    """Replace the generated parts of a page. Raises KeyError where a page names no known table."""
    whole: dict[str, Callable[[dict[str, Recipe]], str]] = {
        "summary": summary_table,
        "index": index_table,
        "unmeasured": unmeasured_table,
    }

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
