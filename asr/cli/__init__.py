"""The command line: parses, calls the library, prints. Heavy imports wait inside the commands."""

import os
import sys
from collections.abc import Callable

import typer

from asr.cli import (
    classification,
    corpus,
    gradients,
    language,
    models,
    reports,
    scoring,
    training,
    transcription,
    tuning,
)
from asr.errors import AsrError

app = typer.Typer(
    help="Train your own speech recogniser, and use it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: importing rich would double its time
    pretty_exceptions_enable=False,
)
for command in (
    corpus.prepare,
    corpus.check,
    training.train,
    training.selftest,
    transcription.transcribe,
    transcription.align,
    classification.classify,
    scoring.score,
    reports.suspects,
    tuning.tune,
    models.info,
):
    app.command()(command)
reports.reports.command()(gradients.gradients)
app.add_typer(language.lm, name="lm")
app.add_typer(reports.reports, name="report")


def main() -> None:
    """Runs the command line."""
    run(app)


def run(program: Callable[[], None]) -> None:
    """Runs a program: exit status 0, 1 for an error said on stderr, 2 for a wrong call. Recipes use it too."""
    try:
        program()
    except AsrError as error:
        print(f"asr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("asr: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `asr … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
