"""The command line: parse arguments, call the library, print. Commands import heavy packages only when they run."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from asr.cli import (
    classification,
    combining,
    comparison,
    corpus,
    doctor,
    exporting,
    gradients,
    language,
    learning,
    models,
    receipts,
    reports,
    robustness,
    scoring,
    serving,
    sharing,
    training,
    transcription,
    tuning,
)
from asr.cli.groups import Commands, SectionedGroup
from asr.cli.log import tell
from asr.errors import OutputError, explain, printable
from asr.extras import missing_package

SECTIONS = {
    "Data": (corpus.prepare, corpus.check, corpus.pack, reports.suspects),
    "Train": (
        training.train,
        training.selftest,
        tuning.tune,
        combining.distil,
        learning.curve,
        learning.next_,
        language.lm,
    ),
    "Use": (
        transcription.transcribe,
        transcription.align,
        classification.classify,
        exporting.export,
        serving.serve,
        models.info,
    ),
    "Evaluate": (
        scoring.score,
        combining.rover,
        reports.reports,
        comparison.compare,
        receipts.receipt,
        receipts.verify,
    ),
    "Share": (sharing.card, sharing.push, sharing.archive),
    "Help": (doctor.doctor,),
}
NAMES: dict[typer.Typer, str] = {language.lm: "lm", reports.reports: "report"}  # names of command groups

reports.reports.command()(gradients.gradients)
reports.reports.command()(robustness.robustness)
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
            app.command(name=member.__name__.rstrip("_"), rich_help_panel=section)(member)


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

    The status is 0; 1 after an error, which is printed on stderr in one line; 2 after a wrong call; 130 after Ctrl-C.
    `subject` names the program in the message about an optional package that is not installed. With `ASR_DEBUG=1` in
    the environment, an error is printed with its traceback.
    """
    try:
        with _plain_stdout():
            program()
    except KeyboardInterrupt:
        tell("asr: interrupted")
        sys.exit(130)
    except BrokenPipeError:  # `asr … | head`
        sys.exit(1)
    except Exception as error:
        if isinstance(error, ImportError):
            explained = missing_package(error, subject)
        else:
            explained = explain(error, " ".join(sys.argv[1:]) or subject)
        if explained is None or os.environ.get("ASR_DEBUG") == "1":
            raise
        tell(f"asr: {explained}")
        sys.exit(1)


@contextmanager
def _plain_stdout() -> Iterator[None]:
    """Let the block write on stdout without control characters, and write all of it before the block ends.

    Raises OutputError if stdout cannot be written, BrokenPipeError if its reader has gone.
    """
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):  # a notebook, or no stdout at all
        yield
        return
    before.flush()
    sys.stdout = _PlainText(
        before.buffer, encoding=before.encoding, errors=before.errors, line_buffering=before.line_buffering
    )
    try:
        yield
    finally:
        output, sys.stdout = sys.stdout, before
        try:
            output.detach()  # which writes what is left
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), before.fileno())  # Python writes it again when it ends
            raise


class _PlainText(io.TextIOWrapper):
    """A text file that writes control characters as escapes, and whose errors name standard output."""

    def write(self, text: str) -> int:
        with _naming_stdout():
            return super().write(printable(text))

    def flush(self) -> None:
        with _naming_stdout():
            super().flush()


@contextmanager
def _naming_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror, "standard output") from None
    except UnicodeEncodeError as error:
        raise explain(error, "standard output") or error from None
