"""`asr train` and `asr selftest`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import Set


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
    strict: Annotated[bool, typer.Option("--strict", help="Refuse if anything is unusable; see `asr check`.")] = False,
) -> None:
    """Train a recogniser, or with `task: classification` a classifier; its one file is OUT/model.safetensors.

    The data is checked first; what is unusable is named and left out. The same command goes on where an interrupted
    one stopped.
    """
    from asr.config import Config

    settings = Config.load(config, [*(override or []), *([f"training.start_from={start}"] if start else [])])
    from asr.training.train import train as train_model

    name = config.resolve().parent.name if config.stem == "config" else config.stem
    train_model(settings, out or Path("runs") / name, strict=strict)


def selftest(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What you mean to train on.")],
) -> None:
    """Is it my data or the program? In about a minute: do texts fit their recordings, can a few be learned by heart?"""
    from asr.training.selftest import selftest as run_selftest

    run_selftest(manifest, print)
