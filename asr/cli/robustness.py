"""The command `asr report robustness`."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Device, Model
from asr.errors import AsrError
from asr.wording import counted


def robustness(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Test data with texts: .jsonl .csv .tsv.")],
    conditions: Annotated[
        str | None,
        typer.Option(
            metavar="A,B…",
            help="clean, noise-DB (noise-10), room, telephone, gsm, opus, mp3, narrow, clipping, quiet; several follow "
            "each other in A+B (default: all, with noise at 20, 10 and 5 dB).",
        ),
    ] = None,
    noise: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of recordings of noise (default: made noise, pink).")
    ] = None,
    rooms: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of impulse responses of rooms (default: simulated rooms)."),
    ] = None,
    utterances: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Use at most N utterances, evenly spaced (default: all)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the hypotheses of each condition: NAME.jsonl."),
    ] = None,
    device: Device = None,
) -> None:
    """Show how a model bears noise, rooms, telephones and codecs: WER and CER under each condition.

    All models get equal noise, rooms and channels for equal utterances.
    """
    from asr.api import load_transcriber
    from asr.cli.inputs import require_no_input
    from asr.cli.next_step import after_robustness
    from asr.files import require_folder
    from asr.progress import ProgressBar
    from asr.report.robustness import CONDITIONS, Conditions
    from asr.report.robustness import robustness as test_robustness

    show_log(logging.WARNING, prefix="asr: ")
    if output is not None:
        require_folder(output)
    recognizer = load_transcriber(model, device)
    names = CONDITIONS if conditions is None else [name.strip() for name in conditions.split(",")]
    chosen = Conditions(names, recognizer.sample_rate, noise=noise, rooms=rooms)
    for name in chosen.names:
        require_no_input(output and output / f"{name}.jsonl", [str(manifest)])
    for line in chosen.facts():
        tell(line)
    with ProgressBar("transcribing", None) as bar:
        result = test_robustness(recognizer, manifest, chosen, most=utterances, output=output, bar=bar)
    print(result.table())
    if output is not None:
        tell(f"hypotheses of each condition: {output}/NAME.jsonl")
    after_robustness(model, result.worse())
    if result.failed:
        left_out = counted("{} recording<s> <is|are> left out:", len(result.failed))
        raise AsrError("\n  ".join([left_out, *result.failed]))
