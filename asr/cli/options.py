"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a value of the configuration: training.epochs=20. Repeatable."
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file: runs/NAME/model.safetensors.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="ASR_CACHE",
        help="Folder for packed audio and results of the check, which can be computed again (default: beside the "
        "manifest, or the user's cache folder if that cannot be written).",
    ),
]
_INPUT = typer.Argument(
    metavar="INPUT…", help="Recordings, folders, globs, manifests (.jsonl .csv .tsv), or - for standard input."
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
