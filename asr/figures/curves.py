"""Curves over the epochs of a run, or of several runs: losses, validation errors, gradient norms."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from asr.figures.numbers import significant
from asr.figures.style import BLUE, COLOURS, INK, MARKERS, VERMILION, Picture, diagram, legend_above, log_scale
from asr.run_log import Row, kept_row

_SIZE = (4.6, 3.1)  # inches
_LOSSES = (("train_loss", "training", BLUE, "o", "-"), ("validation_loss", "validation", VERMILION, "s", "--"))
_ERRORS = {  # criterion of a task -> label of its loss; its errors with label, colour, marker and line style
    "cer": ("loss in nats per unit", (("wer", "WER", VERMILION, "s", "--"), ("cer", "CER", BLUE, "o", "-"))),
    "error_rate": ("cross-entropy in nats per utterance", (("error_rate", "error rate", BLUE, "o", "-"),)),
}
_FRONTENDS = {"conv": "convolutions", "stack": "projection"}


def learning_curves(log: Sequence[Row]) -> list[Picture]:
    """Draw the losses and the validation errors of each epoch, as two pictures for a page."""
    return [
        diagram(_SIZE, lambda figure: _draw_losses(figure.subplots(), log)),
        diagram(_SIZE, lambda figure: _draw_errors(figure.subplots(), log)),
    ]


def curves_together(runs: Mapping[str, Sequence[Sequence[Row]]]) -> list[Picture]:
    """Draw the losses and the validation errors of several runs over each other, as two pictures for a page.

    `runs` has the logs of the seeds of each run, by the name of the run. All runs have one task.
    """
    size = (_SIZE[0], _SIZE[1] + 0.2 * len(runs))  # room for the legend
    return [
        diagram(size, lambda figure: _draw_losses_together(figure.subplots(), runs)),
        diagram(size, lambda figure: _draw_errors_together(figure.subplots(), runs)),
    ]


def draw_together(figure: Figure | SubFigure, runs: Mapping[str, Sequence[Sequence[Row]]]) -> None:
    """Draw the losses of several runs beside their validation errors."""
    losses, errors = figure.subplots(1, 2)
    _draw_losses_together(losses, runs)
    _draw_errors_together(errors, runs)


def _draw_losses_together(axes: Axes, runs: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    label, _ = _ERRORS[_criterion(next(iter(runs.values()))[0])]
    for number, logs in enumerate(runs.values()):
        for log in logs:
            epochs, style = [row["epoch"] for row in log], _style(number)
            axes.plot(epochs, [row["validation_loss"] for row in log], **style)
            axes.plot(epochs, [row["train_loss"] for row in log], color=style["color"], linewidth=0.8, alpha=0.6)
    axes.set(ylabel=label)
    log_scale(axes)
    _finish_together(axes, runs, "with markers: validation; thin: training")
    return f"{label.capitalize()} by epoch, of training and validation, of {', '.join(runs)}"


def _draw_errors_together(axes: Axes, runs: Mapping[str, Sequence[Sequence[Row]]]) -> str:
    criterion = _criterion(next(iter(runs.values()))[0])
    _, fields = _ERRORS[criterion]
    (name,) = (label for field, label, *_ in fields if field == criterion)
    kept: dict[str, list[str]] = {}
    for number, (run, logs) in enumerate(runs.items()):
        for log in logs:
            axes.plot([row["epoch"] for row in log], [row[criterion] for row in log], **_style(number))
            best = kept_row(log, criterion)
            axes.plot(
                best["epoch"], best[criterion], marker="o", markersize=11, markerfacecolor="none",
                markeredgecolor=_style(number)["color"], linestyle="none", clip_on=False, zorder=5,
            )  # fmt: skip
            kept.setdefault(run, []).append(f"{best[criterion]:.2f} %")
    axes.set(ylabel=f"validation {name} in %", ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _finish_together(axes, runs, "circle: the kept epoch")
    return f"Validation {name} by epoch; kept: " + "; ".join(f"{run} {', '.join(found)}" for run, found in kept.items())


def _style(number: int) -> dict[str, Any]:
    """Return colour, marker and line style of run `number`."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": ("-", "--", ":")[number // len(COLOURS) % 3],
        "markersize": 3,
        "linewidth": 1.2,
    }


def _finish_together(axes: Axes, runs: Mapping[str, Sequence[Sequence[Row]]], key: str) -> None:
    """Label the axes, and name each run once, although it has a curve for each seed."""
    axes.set(xlabel=f"epoch ({key})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(which="both")
    handles = [Line2D([], [], **_style(number)) for number in range(len(runs))]
    seeds = [f", {len(logs)} seeds" if len(logs) > 1 else "" for logs in runs.values()]
    names = [f"{name}{number}".replace("$", r"\$") for name, number in zip(runs, seeds, strict=True)]
    axes.legend(handles, names, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=1, borderaxespad=0.2)


def draw_learning(figure: Figure | SubFigure, log: Sequence[Row]) -> None:
    """Draw the losses of each epoch above the validation errors."""
    losses, errors = figure.subplots(2, 1, sharex=True)
    _draw_losses(losses, log)
    _draw_errors(errors, log)
    losses.set(xlabel="")


def gradient_curves(log: Sequence[Row], *, cell: str, frontend: str) -> Picture:
    """Draw the gradient norm of each part of the model at the end of each epoch.

    A norm that falls towards 0 is a vanishing gradient; a norm that grows without limit is an exploding one. `cell`
    and `frontend` are values of the configuration; they name the parts.
    """
    names = {part: part_name(part, cell=cell, frontend=frontend) for part in log[-1]["gradient_norms"]}

    def draw(figure: Figure) -> str:
        axes = figure.subplots()
        for number, (part, name) in enumerate(names.items()):
            axes.plot(
                [row["epoch"] for row in log],
                [row["gradient_norms"].get(part, math.nan) for row in log],
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number % len(MARKERS)],
                linestyle=("-", "--", ":")[number // len(COLOURS) % 3],
                label=name,
            )
        axes.set(ylabel="gradient norm")
        log_scale(axes)
        _finish(axes)
        norms = ", ".join(f"{name} {significant(log[-1]['gradient_norms'][part])}" for part, name in names.items())
        return f"Gradient norms by epoch; in the last epoch: {norms}"

    return diagram((_SIZE[0], _SIZE[1] + 0.1 * len(names)), draw)  # room for the legend


def part_name(part: str, *, cell: str, frontend: str) -> str:
    """Return what a reader calls a part of the model, given its name in the log: "layers.0" is "LSTM layer 1"."""
    name, _, number = part.partition(".")
    kind, _, variant = cell.partition("_")
    layer = f"{int(number) + 1}" if number else ""
    names = {
        "subsampling": _FRONTENDS[frontend],
        "layers": f"{kind.upper()} {variant}".strip() + f" layer {layer}",
        "norms": f"layer norm {layer}",
        "output": "output layer",
        "decoder": "attention decoder",
    }
    return names.get(name, part)


def _draw_losses(axes: Axes, log: Sequence[Row]) -> str:
    label, _ = _ERRORS[_criterion(log)]
    _draw_fields(axes, log, _LOSSES)
    axes.set(ylabel=label)
    log_scale(axes)
    _finish(axes)
    changes = (
        f"{name} from {significant(log[0][field])} to {significant(log[-1][field])}" for field, name, *_ in _LOSSES
    )
    return f"{label.capitalize()} by epoch: {', '.join(changes)}"


def _draw_errors(axes: Axes, log: Sequence[Row]) -> str:
    criterion = _criterion(log)
    _, fields = _ERRORS[criterion]
    _draw_fields(axes, log, fields)
    corpora = _draw_corpora(axes, log, criterion)
    kept = kept_row(log, criterion)
    (name,) = (label for field, label, *_ in fields if field == criterion)
    told = f"epoch {kept['epoch']}, {name} {kept[criterion]:.2f} %"
    axes.plot(
        kept["epoch"], kept[criterion], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK,
        markeredgewidth=1.5, linestyle="none", clip_on=False, zorder=5, label=f"kept: {told}",
    )  # fmt: skip
    highest = max([*(row[field] for row in log for field, *_ in fields), *corpora])
    axes.set(ylabel="validation errors in %", ylim=(0, 1.05 * highest or 1))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    _finish(axes)
    changes = (f"{label} from {log[0][field]:.2f} to {log[-1][field]:.2f} %" for field, label, *_ in fields)
    by_corpus = [
        f"{part['name']} {math.nan if part[criterion] is None else part[criterion]:.2f} %"
        for part in log[-1].get("validation", ())
    ]
    last = f"; {name} of each corpus in the last epoch: {', '.join(by_corpus)}" if by_corpus else ""
    return f"Validation errors by epoch: {', '.join(changes)}; kept: {told}{last}"


def _draw_corpora(axes: Axes, log: Sequence[Row], criterion: str) -> list[float]:
    """Draw the criterion of each of several validation corpora as a thin line; return all values."""
    values: list[float] = []
    for number, name in enumerate(part["name"] for part in log[-1].get("validation", ())):
        of_epochs = [
            next((part[criterion] for part in row.get("validation", ()) if part["name"] == name), None) for row in log
        ]
        rates = [math.nan if rate is None else float(rate) for rate in of_epochs]
        axes.plot(
            [row["epoch"] for row in log],
            rates,
            color=COLOURS[(number + 2) % len(COLOURS)],  # the first two are those of all corpora together
            linestyle=":",
            linewidth=1,
            label=name.replace("$", r"\$"),  # a pair of dollars would be a formula
        )
        values += [rate for rate in rates if not math.isnan(rate)]
    return values


def _draw_fields(axes: Axes, log: Sequence[Row], fields: Sequence[tuple[str, str, str, str, str]]) -> None:
    epochs = [row["epoch"] for row in log]
    for field, label, color, marker, style in fields:
        axes.plot(epochs, [row[field] for row in log], label=label, color=color, marker=marker, linestyle=style)


def _finish(axes: Axes) -> None:
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(which="both")
    legend_above(axes)


def _criterion(log: Sequence[Row]) -> str:
    return next(name for name in _ERRORS if name in log[-1])
