"""`asr train` and `asr selftest`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import Set
from asr.errors import AsrError


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as recipes/fsdd/config.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where results go; by default runs/NAME, NAME being the recipe's folder."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="MODEL", help="Begin with the weights of this model.")
    ] = None,
    override: Set = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="20m or 2h: choose size and epochs so that training takes that long here."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse if anything is unusable; see `asr check`.")] = False,
) -> None:
    """Train a recogniser, or with `task: classification` a classifier; its one file is OUT/model.safetensors.

    The data is checked first; what is unusable is named and left out. The same command goes on where an interrupted
    one stopped.
    """
    _let_threads_rest()
    from asr.config import Config

    overrides = list(override or [])
    if start is not None:
        overrides.append(f"training.start_from={start}")
    if budget is not None:
        overrides.append(f"training.budget_minutes={_minutes(budget)}")
    settings = Config.load(config, overrides)
    from asr.training.train import train as train_model

    name = config.resolve().parent.name if config.stem == "config" else config.stem
    train_model(settings, out or Path("runs") / name, strict=strict)


def selftest(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What you mean to train on.")],
) -> None:
    """Is it my data or the program? In about a minute: do texts fit their recordings, can a few be learned by heart?"""
    _let_threads_rest()
    from asr.training.selftest import selftest as run_selftest

    run_selftest(manifest, print)


def _let_threads_rest() -> None:
    """Lets PyTorch's threads, once they have worked, wait busily for 50 us, not for milliseconds.

    For the steps of an LSTM run on others. Its OpenMP reads this when it is loaded.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _minutes(time: str) -> float:
    """Minutes in 90s, 20m, 2h."""
    units = {"s": 1 / 60, "m": 1.0, "h": 60.0}
    try:
        minutes = float(time[:-1]) * units[time[-1:]]
    except (KeyError, ValueError):
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise AsrError(f"--budget {time}: must be a time such as 90s, 20m or 2h")
    return minutes
