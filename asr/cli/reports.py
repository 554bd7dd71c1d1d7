"""The commands `asr suspects` and `asr report`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.groups import Commands, DefaultGroup
from asr.cli.log import show_log, tell
from asr.cli.options import Set, config_file, model_file, run_name
from asr.errors import AsrError, one_line
from asr.files import require_file, require_folder


def suspects(
    judge: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|MODEL", help="Configuration whose training data is judged, or a trained model as the judge."
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="[MANIFEST]", help="With MODEL: the transcripts to judge; it was not trained on them."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for the results (default: runs/NAME/suspects, or suspects beside MODEL).",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(help="With CONFIG: number of parts of the data; each is judged by a model of the other parts."),
    ] = 2,
    show: Annotated[int, typer.Option(help="Show at least this number of utterances; outliers are always shown.")] = 40,
    override: Set = None,
) -> None:
    """Find transcripts that do not fit their recordings, the worst first, and say why.

    With CONFIG the training data is judged by cross-validation: a model trained on the other parts judges each part.
    This takes FOLDS - 1 times as long as one training. If it is interrupted, run the same command again to continue.
    The output folder gets suspects.html, a page on which the recordings can be played, and exclude.txt, a list of ids
    for `asr train --set data.exclude=…`.
    """
    if judge.is_dir():  # the folder of a run holds a configuration and a model
        judge = (config_file if manifest is None else model_file)(judge) or judge
    is_config = judge.suffix in (".yaml", ".yml")
    if is_config and manifest is not None:
        raise AsrError(
            f"{judge} is a configuration and names its training data itself; leave out {manifest}, or give a model"
        )
    if not is_config and manifest is None:
        raise AsrError(f"{judge}: name the manifest that this model is to judge, or give a configuration (.yaml)")
    if not is_config and override:
        raise AsrError("--set: goes with a configuration (.yaml), not with a model, which keeps its settings")
    out = output or (Path("runs") / run_name(judge) if is_config else judge.parent) / "suspects"

    require_folder(out)
    from asr.report.suspects import PAGE_FILE, report_by_model, report_by_training

    if manifest is None:
        show_log()
        found = report_by_training(judge, override or [], out, folds=folds, show=show, say=tell)
    else:
        found = report_by_model(judge, manifest, out, show=show, say=tell)
    for suspect in found.suspects:
        print(f"{one_line(suspect.utterance.id)}\t{suspect.excess:.2f}\t{'; '.join(suspect.reasons)}")
    for line in [*found.lines, f"page with the recordings: {out / PAGE_FILE}"]:
        tell(line)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run: runs/NAME.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Page to write (default: RUN/report.html).")
    ] = None,
) -> None:
    """Show a training run as one page: learning curves, errors, and the worst utterances to see and to play.

    The page is one file that needs no network and no server. Run the command in the folder where the run was trained:
    the paths of the data in its configuration begin there.
    """
    from asr.report.run import write_report

    if not run.is_dir():
        raise AsrError(f"{run}: is no folder; give the folder of a training run, such as runs/NAME")
    path = output or run / "report.html"
    require_file(path, ".html")
    write_report(run, path)
    tell(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


reports = Commands(cls=DefaultGroup)
reports.command()(report)
