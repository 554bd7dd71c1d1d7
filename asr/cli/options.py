"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. training.epochs=20.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file: runs/NAME/model.safetensors.")]
_INPUT = typer.Argument(metavar="INPUT…", help="Recordings, folders, globs, manifests (.jsonl .csv .tsv), - for stdin.")
Inputs = Annotated[list[str], _INPUT]
OptionalInputs = Annotated[list[str] | None, _INPUT]
Formats = Annotated[
    str | None,
    typer.Option("-f", "--format", metavar="A,B…", help="txt, json, jsonl, srt, vtt, tsv, ctm, TextGrid, eaf."),
]
Eaf = Annotated[
    Path | None,
    typer.Option(help="With -f eaf: the ELAN file that gets a tier more; by default the one beside the recording."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default a GPU if there is one.")]
