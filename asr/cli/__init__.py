"""The command line: parse arguments, call the library, print. Commands import heavy packages only when they run."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from asr.cli import (
    classification,
    corpus,
    doctor,
    gradients,
    language,
    models,
    reports,
    scoring,
    training,
    transcription,
    tuning,
)
from asr.cli.groups import Commands, SectionedGroup
from asr.errors import AsrError
from asr.extras import missing_package

SECTIONS = {
    "Data": (corpus.prepare, corpus.check, reports.suspects),
    "Train": (training.train, training.selftest, tuning.tune, language.lm),
    "Use": (transcription.transcribe, transcription.align, classification.classify, models.info),
    "Evaluate": (scoring.score, reports.reports),
    "Help": (doctor.doctor,),
}
NAMES: dict[typer.Typer, str] = {language.lm: "lm", reports.reports: "report"}  # names of command groups

reports.reports.command()(gradients.gradients)
app = Commands(
    cls=SectionedGroup,
    help="Train your own speech recogniser, and use it.\n\n`asr COMMAND -h` explains a command.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: importing rich would double its time
    pretty_exceptions_enable=False,
    subcommand_metavar="COMMAND …",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for section, members in SECTIONS.items():
    for member in members:
        if isinstance(member, typer.Typer):
            app.add_typer(member, name=NAMES[member], rich_help_panel=section)
        else:
            app.command(rich_help_panel=section)(member)


def _print_version(wanted: bool) -> None:
    if wanted:
        from asr.version import __version__

        print(f"asr {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the options of `asr` itself."""


def main() -> None:
    """Run the command line."""
    run(lambda: app(prog_name="asr"), subject=next(iter(sys.argv[1:]), "asr"))


def run(program: Callable[[], None], subject: str = "this program") -> None:
    """Run a program of the command line or of a recipe, and exit with its status.

    The status is 0; 1 after an error, which is printed on stderr; 2 after a wrong call; 130 after Ctrl-C. `subject`
    names the program in the message about an optional package that is not installed.
    """
    try:
        program()
    except AsrError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        explained = missing_package(error, subject)
        if explained is None:
            raise
        _fail(explained)
    except KeyboardInterrupt:
        print("asr: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `asr … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(error: AsrError) -> None:
    print(f"asr: {error}", file=sys.stderr)
    sys.exit(1)
