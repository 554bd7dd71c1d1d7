"""Runs beside each other: settings that differ, learning curves, means over seeds, and whether a difference is chance.

The validation error rates are those of the kept epochs. They are compared only between runs that were validated on the
same utterances with the same normalisation; for all others the reason is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr.errors import AsrError
from asr.figures.curves import curves_together, draw_together
from asr.figures.page import write_page
from asr.figures.style import drawing
from asr.report.runs import Group, Run, contents, facts, find_runs, group, validation_pairs
from asr.scoring.files import Pair
from asr.scoring.intervals import FEW
from asr.scoring.seeds import Spread, compare_groups, deviation_factors
from asr.scoring.tables import Cell, Table
from asr.scoring.wer import count_errors, score

_RATES = {"cer": ("cer", "wer"), "error_rate": ("error_rate",)}  # criterion of a task -> fields of its log
_NAMES = {"cer": "CER", "wer": "WER", "error_rate": "error rate"}
_ITEMS = {"cer": "characters", "wer": "words", "error_rate": "recordings"}
_NORMALISATION = {"lower", "strip_punctuation", "keep_inside_words"}
_LONGEST = 60  # characters of a value in a table


@dataclass(frozen=True, slots=True)
class Counts:
    """The errors of one run on its validation data, and the items of the references, `(utterances,)`, by rate."""

    pairs: list[Pair]
    items: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Groups of runs, the tables that compare them, and notes on what the tables cannot say."""

    groups: list[Group]
    tables: list[Table]
    notes: list[str]

    def logs(self) -> dict[str, list[Any]]:
        """Return the logs of the seeds of each group, by its name."""
        return {one.name: [run.log for run in one.runs] for one in self.groups}


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Compare the runs in `folders`; a folder of seeds stands for its runs. The first one is the baseline.

    Raises AsrError for a folder without runs, and for runs of different tasks.
    """
    groups = group(find_runs(folders))
    if len({one.first.criterion for one in groups}) > 1:
        named = "; ".join(f"{one.name}: {one.first.config.task}" for one in groups)
        raise AsrError(f"these runs have different tasks, whose errors cannot be compared: {named}")
    notes = [*_unfinished(groups), *_mixed(groups)]
    counts = {run.name: found for one in groups for run in one.runs if (found := _counts(run, notes)) is not None}
    tables = [_results(groups, counts)]
    if len(groups) > 1:
        tables = [_settings(groups), *tables]
    rows = [row for other in groups[1:] for row in _differences(groups[0], other, counts, notes)]
    if rows:
        title = f"Difference from {groups[0].name}, in points of percent"
        columns = ("run", "rate", "points", "95 % interval", "over", "better with probability", "p of Welch's t-test")
        tables.append(Table(title, columns, rows))
        notes.append(
            "the interval and the probability are of a paired bootstrap: utterances are drawn, the seeds stay; it "
            f"says nothing where fewer than {FEW} of them differ. Welch's t-test takes the seeds as drawn; it needs "
            "two of each run, whose rates vary"
        )
    if len(rows) > len(_RATES[groups[0].first.criterion]):
        notes.append(f"{len(groups) - 1} runs are compared with the first: the more runs, the more differ by chance")
    notes += _about_deviations(groups)
    return RunComparison(groups, tables, notes)


def write_comparison(path: Path, found: RunComparison) -> None:
    """Write the page: notes, learning curves over each other, tables."""
    write_page(
        path,
        "compare.html",
        title=f"{' and '.join(one.name for one in found.groups[:2])}{' …' if len(found.groups) > 2 else ''}",
        curves=curves_together(found.logs()),
        tables=found.tables,
        notes=found.notes,
    )


def draw_comparison(path: Path, found: RunComparison) -> None:
    """Draw the learning curves over each other, as a PNG file."""
    with drawing(path, (11, 4 + 0.2 * len(found.groups))) as figure:
        draw_together(figure, found.logs())


def _unfinished(groups: Sequence[Group]) -> Iterator[str]:
    for run in (run for one in groups for run in one.runs):
        if run.stopped is None:
            planned = int(run.log[-1].get("epochs", run.config.training.epochs))
            yield f"{run.name}: is unfinished, after epoch {run.log[-1]['epoch']} of {planned}"


def _mixed(groups: Sequence[Group]) -> Iterator[str]:
    """Say where seeds of a group were trained by different programs or machines, or where nobody knows."""
    for one in groups:
        known = [run.origin for run in one.runs if run.origin is not None]
        programs = {(origin.program.git_commit, *origin.program.versions.items()) for origin in known}
        if len(programs) > 1 or len({origin.machine for origin in known}) > 1:
            yield f"{one.name}: its seeds were trained by different programs or on different machines"
    unknown = [run.name for one in groups for run in one.runs if run.origin is None]
    if unknown and len(groups) > 1:
        yield f"{', '.join(unknown)}: trained by a version that did not record its data, so only its settings are known"


def _settings(groups: Sequence[Group]) -> Table:
    """List the settings that differ; of data and files that have equal names, also their contents."""
    trees = [{**facts(one.first), **_origin(one)} for one in groups]
    names = dict.fromkeys(name for tree in trees for name in tree)
    if any(one.first.origin is None for one in groups):  # its contents and its program are not known
        names = {name: None for name in names if name in groups[0].first.settings}
    rows: list[tuple[Cell, ...]] = [
        (name, *(_shown(tree.get(name)) for tree in trees))
        for name in names
        if len({repr(tree.get(name)) for tree in trees}) > 1
    ]
    return Table("Settings that differ", ("setting", *(one.name for one in groups)), rows)


def _origin(one: Group) -> dict[str, Any]:
    if one.first.origin is None:
        return {}
    program, machine = one.first.origin.program, one.first.origin.machine
    found = {f"version of {name}": version for name, version in program.versions.items()}
    return {"commit": program.git_commit, **found, **machine.model_dump()}


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    else:
        text = "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _results(groups: Sequence[Group], counts: dict[str, Counts]) -> Table:
    """List the validation error rates: mean and standard deviation over seeds, and the counts of all seeds."""
    fields = _RATES[groups[0].first.criterion]
    rows: list[tuple[Cell, ...]] = []
    for one in groups:
        spreads = [Spread(tuple(float(run.kept[field]) for run in one.runs)) for field in fields]
        known = [counts[run.name] for run in one.runs if run.name in counts]
        pooled = [_pooled(known, field) if len(known) == len(one.runs) else "–" for field in fields]
        seeds, epochs = (
            ", ".join(str(value) for value in values) for values in zip(*map(_facts, one.runs), strict=True)
        )
        rows.append((one.name, seeds, epochs, *map(str, spreads), *pooled))
    columns = ("run", "seeds", "kept epoch", *(f"{_NAMES[field]} %" for field in fields))
    return Table(
        "Validation errors",
        (*columns, *(f"errors / {_ITEMS[field]}" for field in fields)),
        rows,
    )


def _facts(run: Run) -> tuple[int, int]:
    return run.seed, run.kept["epoch"]


def _pooled(known: Sequence[Counts], field: str) -> str:
    errors = sum(int(found.errors[field].sum()) for found in known)
    return f"{errors} / {sum(int(found.items[field].sum()) for found in known)}"


def _counts(run: Run, notes: list[str]) -> Counts | None:
    """Count the errors of a run on its validation data; add a note and return None if it left no hypotheses."""
    try:
        pairs = sorted(validation_pairs(run), key=lambda pair: (pair.id, pair.reference))
        references, hypotheses = [pair.reference for pair in pairs], [pair.hypothesis for pair in pairs]
        if run.criterion == "error_rate":
            wrong = np.array([r != h for r, h in zip(references, hypotheses, strict=True)], np.int64)
            return Counts(pairs, {"error_rate": np.ones_like(wrong)}, {"error_rate": wrong})
        found = score(references, hypotheses, interval=False)
    except AsrError as error:
        notes.append(str(error))
        return None
    tables = {"cer": count_errors(found.characters), "wer": count_errors(found.words)}
    items = {field: table[:, 0] for field, table in tables.items()}
    return Counts(pairs, items, {field: table[:, 1:].sum(axis=1) for field, table in tables.items()})


def _differences(
    baseline: Group, other: Group, counts: dict[str, Counts], notes: list[str]
) -> Iterator[tuple[Cell, ...]]:
    """Yield a row for each rate; add a note and yield nothing if the groups cannot be compared."""
    if reason := _obstacle(baseline, other, counts):
        notes.append(f"{other.name}: is not compared with {baseline.name}: {reason}")
        return
    a, b = ([counts[run.name] for run in one.runs] for one in (baseline, other))
    speakers = [pair.speaker for pair in a[0].pairs]
    for field in _RATES[baseline.first.criterion]:
        found = compare_groups(
            [one.errors[field] for one in a], [one.errors[field] for one in b], a[0].items[field], speakers
        )
        low, high = found.interval
        few = found.differing < FEW
        yield (
            other.name,
            _NAMES[field],
            f"{found.points:+.2f}",
            f"– ({found.differing} differ)" if few else f"{low:+.2f} to {high:+.2f}",
            found.resampled,
            "–" if few else f"{100 * found.probability:.1f} %",
            "–" if found.p_value is None else f"{found.p_value:.3f}",
        )


def _obstacle(baseline: Group, other: Group, counts: dict[str, Counts]) -> str | None:
    """Return why the error rates of two groups cannot be compared, or None."""
    ours, theirs = baseline.first.config.text, other.first.config.text
    if ours.model_dump(include=_NORMALISATION) != theirs.model_dump(include=_NORMALISATION):
        return f"their texts are normalised in other ways ({ours.normalizer}; {theirs.normalizer})"
    runs = [*baseline.runs, *other.runs]
    if any(run.name not in counts for run in runs):
        return "the hypotheses of a run are not known, see above"
    expected = [(pair.id, pair.reference) for pair in counts[runs[0].name].pairs]
    for run in runs[1:]:
        found = [(pair.id, pair.reference) for pair in counts[run.name].pairs]
        if found != expected:
            return (
                f"they were validated on other utterances or texts: {len(expected)} in {runs[0].name}, {len(found)} in "
                f"{run.name}, {len(set(expected) & set(found))} of them equal; compare them on one test set with asr "
                "score"
            )
    digests = [contents(one.first.origin).get("validation") for one in (baseline, other) if one.first.origin]
    if len(set(digests)) > 1:
        return "their validation data has equal ids and texts, but other recordings"
    return None


def _about_deviations(groups: Sequence[Group]) -> Iterator[str]:
    for number in sorted({len(one.runs) for one in groups} - {1}):
        low, high = deviation_factors(number)
        yield (
            f"± is the standard deviation of {number} seeds; with so few, the true one is {low:.2f} to {high:.1f} "
            "times as large (95 % interval, if the rates are normal)"
        )
