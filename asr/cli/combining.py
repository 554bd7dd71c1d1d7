"""`asr distil` and `asr rover`: several models as one model, and their texts as one text."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Device, Seed, Set, config_file, model_file, with_seed
from asr.cli.training import shorten_busy_waiting
from asr.errors import AsrError


def distil(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL…", help="Model files or folders of runs: the teachers.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for results, as of asr train.")],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            callback=config_file,
            help="Configuration of the new model, with its data (default: that of the first teacher).",
        ),
    ] = None,
    untranscribed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MANIFEST|FOLDER",
            help="Learn from recordings without texts too: the teachers transcribe them. Repeatable.",
        ),
    ] = None,
    override: Set = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of a finished run, or of another run, in DIR.")
    ] = False,
) -> None:
    """Train one model on what several models say, so that it knows nearly what they know together.

    The models that transcribe as one (asr transcribe A B C INPUT…) take the time of all; the new model takes the time
    of one. It learns their averaged log-probabilities, frame by frame, and the transcripts: --set
    training.teacher_weight=0.5 sets the share of the teachers. A repeated command resumes an interrupted one.
    """
    shorten_busy_waiting()
    show_log()
    from asr.cli.inputs import find_untranscribed
    from asr.cli.next_step import after_training
    from asr.config import Config
    from asr.learning.distil import distillation
    from asr.learning.selftrain import with_pseudo
    from asr.training.folder import refuse_finished
    from asr.training.hardware import use_device
    from asr.training.train import train

    if device is not None:
        use_device(device)
    teachers = [found for model in models if (found := model_file(model)) is not None]
    base = None if config is None else Config.load(config)
    settings = distillation(teachers, base).overridden(with_seed(override, seed))
    if untranscribed:
        if not overwrite:
            refuse_finished(out)
        settings = with_pseudo(settings, out, find_untranscribed(untranscribed), teachers, tell)
    train(settings, out, overwrite=overwrite)
    after_training(settings, out)


def rover(
    hypotheses: Annotated[
        list[Path], typer.Argument(metavar="HYP…", help="Manifests that asr transcribe -o wrote, one of each model.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The manifest to write: NAME.jsonl.")],
) -> None:
    """Combine the texts of several models by a vote on each word.

    It combines recognisers of any kind, also those that cannot transcribe as one. A word needs the most votes; of equal
    votes, the first manifest decides. Three models are better than two.
    """
    from asr.cli.inputs import require_no_input
    from asr.cli.next_step import show_next
    from asr.corpus.manifest import write_manifest
    from asr.learning.rover import combine_files

    show_log()
    require_no_input(output, list(map(str, hypotheses)))
    if output.suffix != ".jsonl":
        raise AsrError(f"-o {output}: must be a manifest, NAME.jsonl")
    lines, changed = combine_files(hypotheses)
    write_manifest(output, lines)
    tell(f"{len(hypotheses)} texts of each recording combined; {changed} of {len(lines)} differ from {hypotheses[0]}")
    tell(f"written: {output}")
    if any(line.text for line in lines):
        show_next("score", output, output)
