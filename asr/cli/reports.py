"""`asr suspects` and `asr report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.groups import DefaultGroup
from asr.cli.log import show_log
from asr.cli.options import Set
from asr.errors import AsrError


def suspects(
    judge: Annotated[
        Path, typer.Argument(metavar="CONFIG|MODEL", help="What trains the judges, or one that is trained already.")
    ],
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="With MODEL: transcripts that it was not trained on.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for results; by default runs/NAME/suspects.")
    ] = None,
    folds: Annotated[int, typer.Option(help="With CONFIG: parts, each judged by a model of all the others.")] = 2,
    show: Annotated[int, typer.Option(help="Utterances shown, at least; all that stand out are.")] = 40,
    override: Set = None,
) -> None:
    """Find transcripts that do not fit their recordings, the worst first, and say why.

    With CONFIG the training data is judged by cross-validation: each part by a model trained on the other parts, which
    takes FOLDS - 1 times as long as one training. The same command goes on where an interrupted one stopped. OUTPUT
    gets suspects.html, to listen to them, and exclude.txt, a list of ids for `asr train --set data.exclude=…`.
    """
    import tempfile

    is_config = judge.suffix in (".yaml", ".yml")
    if is_config and manifest is not None:
        raise AsrError(f"{judge} names its training data itself; leave out {manifest}, or give a model to judge it")
    if not is_config and manifest is None:
        raise AsrError(f"{judge}: name the manifest that this model is to judge, or give a configuration (.yaml)")
    if not is_config and override:
        raise AsrError("--set: goes with a configuration")
    name = judge.resolve().parent.name if judge.stem == "config" else judge.stem
    out = output or (Path("runs") / name if is_config else judge.parent) / "suspects"

    from asr.files import write_whole
    from asr.report.suspects import write_suspects
    from asr.suspects import find_suspects, open_corpus, require_judges, said_of_training
    from asr.suspects import judge as judge_utterances

    with tempfile.TemporaryDirectory(prefix="asr-") as temporary:
        if is_config:
            from asr.config import Config
            from asr.training.data import open_data
            from asr.training.folds import cross_validate

            show_log()
            settings = Config.load(judge, override or [])
            require_judges(settings)
            data = open_data(settings, _say)
            corpus, judged_by = data.training, f"{folds} models, each by one that has not seen it"
            parts = cross_validate(settings, data, out, folds, _say)
        else:
            from asr.recognition.recognizer import load

            recognizer = load(judge)
            corpus = open_corpus(recognizer, Path(str(manifest)), Path(temporary), _say)
            judged_by = f"{judge}; {said_of_training(recognizer, corpus.utterances)}"
            parts = iter([(recognizer, list(range(len(corpus))))])
        judged = [(model, found) for model, indices in parts for found in judge_utterances(model, corpus, indices)]
        suspects, fence = find_suspects(judged, corpus, show)
        outstanding = [suspect.utterance.id for suspect in suspects if suspect.stands_out]
        lines = [
            f"{len(judged)} utterances judged by {judged_by}",
            f"{len(outstanding)} stand out, with an excess above {fence:.2f} nats a unit: {out / 'exclude.txt'}",
        ]
        write_suspects(out / "suspects.html", corpus, suspects, lines, f"Suspect transcripts of {manifest or judge}")
    write_whole(out / "exclude.txt", "".join(f"{identifier}\n" for identifier in outstanding).encode())
    for suspect in suspects:
        print(f"{suspect.utterance.id}\t{suspect.excess:.2f}\t{'; '.join(suspect.reasons)}")
    for line in [*lines, f"listen to them: {out / 'suspects.html'}"]:
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run: runs/NAME.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page to write; by default RUN/report.html.")
    ] = None,
) -> None:
    """Show a training run as one page: learning curves, errors, the worst utterances to see and to listen to.

    The page needs no network and no server, and can be sent or printed. The data is looked for where the configuration
    says, from the folder that this command is run in.
    """
    from asr.report.run import write_report

    if not run.is_dir():
        raise AsrError(f"{run}: no such folder; `asr train` leaves one in runs/NAME")
    path = output or run / "report.html"
    write_report(run, path)
    _say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


reports = typer.Typer(cls=DefaultGroup)
reports.command()(report)
