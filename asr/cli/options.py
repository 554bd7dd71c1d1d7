"""Arguments and options that several commands share."""

from pathlib import Path
from shlex import quote
from typing import Annotated, overload

import typer

from asr.errors import AsrError

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a value of the configuration: training.epochs=20. Repeatable."
    ),
]

Seed = Annotated[int | None, typer.Option(metavar="N", min=0, help="Seed of all random numbers (default: 0).")]


@overload
def model_file(path: Path) -> Path: ...


@overload
def model_file(path: None) -> None: ...


def model_file(path: Path | None) -> Path | None:
    """Return the model file that an argument names: itself, that of a training run, or of an address of the hub."""
    from asr.hub import is_address, local_file
    from asr.model_file import find_model

    if path is not None and is_address(path):
        return local_file(path)
    return None if path is None else find_model(path)


def require_own_folder(model: Path, option: str) -> None:
    """Raise AsrError for a model in the cache of the hub: what belongs beside a model needs another place there."""
    from asr.hub import address_of

    if address := address_of(model):
        raise AsrError(
            f"{address}: lies in a cache, beside which nothing is written; name the file to write with {option}"
        )


def config_file(path: Path | None) -> Path | None:
    """Return the configuration that an argument names: itself, or `config.yaml` in a folder of data or of a run."""
    if path is None or not path.is_dir():
        return path
    if (path / "config.yaml").is_file():
        return path / "config.yaml"
    others = ", ".join(sorted(file.name for file in path.glob("*.y*ml"))[:5])
    raise AsrError(
        f"{path}: is a folder without config.yaml{f', it holds {others}' if others else ''}; name a configuration, or "
        f"let asr prepare write one: asr prepare {quote(str(path))} -o data/NAME"
    )


def run_name(config: Path) -> str:
    """Return the name of a run: that of its configuration, or of the folder of `config.yaml`."""
    return config.resolve().parent.name if config.stem == "config" else config.stem


def with_seed(override: list[str] | None, seed: int | None) -> list[str]:
    """Return the settings that --set and --seed name."""
    return [*(override or []), *([] if seed is None else [f"training.seed={seed}"])]


def parse_time(option: str, time: str) -> float:
    """Convert the value of an option, a time such as 90s, 20m or 2h, to seconds. Raises AsrError for another value."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        seconds = float(time[:-1]) * units[time[-1:]]
    except (KeyError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise AsrError(f"{option} {time}: must be a positive number with a unit: 90s, 20m or 2h")
    return seconds


TrainingConfig = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        callback=config_file,
        help="Folder that asr prepare wrote, or a configuration (YAML) such as recipes/fsdd/config.yaml.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="ASR_CACHE",
        help="Folder for packed audio and results of the check, which can be computed again (default: beside the "
        "manifest, or the user's cache folder if that cannot be written).",
    ),
]
_MODEL = typer.Argument(
    metavar="MODEL",
    callback=model_file,
    help="Model file, folder of a run (runs/NAME), or address of the Hugging Face hub: hf://USER/NAME.",
)
Model = Annotated[Path, _MODEL]
OptionalModel = Annotated[Path | None, _MODEL]
_INPUT = typer.Argument(
    metavar="INPUT…", help="Recordings, folders, globs, manifests (.jsonl .csv .tsv .parquet), or - for standard input."
)
Inputs = Annotated[list[str], _INPUT]
OptionalInputs = Annotated[list[str] | None, _INPUT]
Formats = Annotated[
    str | None,
    typer.Option(
        "-f",
        "--format",
        metavar="A,B…",
        help="Formats of the files to write: txt, json, jsonl, srt, vtt, tsv, ctm, TextGrid, eaf.",
    ),
]
Eaf = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With -f eaf: the ELAN file to add a tier to (default: the file of the recording's name beside it).",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", help="Device to compute on: cpu, cuda, cuda:1 … (default: a GPU, else cpu)."),
]
