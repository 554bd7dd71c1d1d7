"""Groups of commands: the default command of a group, and the help of commands and groups."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.testing import CliRunner

from asr.cli.groups import Commands, DefaultGroup, SectionedGroup


def _app() -> typer.Typer:
    def of_a_run(run: str, deep: bool = False) -> None:
        """Show a run."""
        print("run", run, deep)

    def gradients(run: str) -> None:
        """Show gradients."""
        print("gradients", run)

    report = Commands(cls=DefaultGroup)
    report.command()(of_a_run)
    report.command()(gradients)
    app = Commands(rich_markup_mode=None, add_completion=False)
    app.add_typer(report, name="report")
    app.command()(gradients)
    return app


def test_the_first_command_runs_if_no_other_is_named() -> None:
    for arguments, shown in (
        (["report", "runs/a"], "run runs/a False\n"),
        (["report", "--deep", "runs/a"], "run runs/a True\n"),
        (["report", "of-a-run"], "run of-a-run False\n"),
        (["report", "gradients", "runs/a"], "gradients runs/a\n"),
    ):
        done = CliRunner().invoke(_app(), arguments)
        assert (done.exit_code, done.output) == (0, shown)


def test_help_and_wrong_calls() -> None:
    for arguments, status, shown in (
        (["report", "--help"], 0, "Usage: root report [OPTIONS] RUN"),
        (["report", "--help"], 0, "report gradients"),
        (["report", "gradients", "--help"], 0, "Usage: root report gradients [OPTIONS] RUN"),
        (["report"], 2, "Missing argument"),
        (["report", "a", "b"], 2, "unexpected extra argument"),
        (["--help"], 0, "Show a run."),
    ):
        done = CliRunner().invoke(_app(), arguments)
        assert done.exit_code == status and shown in done.output, done.output


def test_help_of_options_and_sections() -> None:
    def work(
        files: Annotated[list[Path], typer.Argument(help="Files to read.")],
        more: Annotated[str | None, typer.Argument(help="Text.")] = None,
        out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path("runs"),
        size: Annotated[int, typer.Option(min=1, max=9, help="Size.")] = 3,
        rate: Annotated[float | None, typer.Option(help="Rate, in Hz (default: the file's).")] = None,
        units: Annotated[Literal["words", "characters"], typer.Option(help="Units")] = "words",
        lower: Annotated[bool, typer.Option(help="Lower the case.")] = False,
        key: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Set.")] = None,
    ) -> None:
        """Do the work. Then rest.

        Details.
        """

    app = Commands(cls=SectionedGroup, rich_markup_mode=None, add_completion=False)
    app.command(rich_help_panel="Labour")(work)
    app.command(rich_help_panel="Rest")(lambda: None)
    listed = CliRunner().invoke(app, ["--help"]).output
    assert "\nLabour:\n  work      Do the work.\n\nRest:\n" in listed
    shown = CliRunner().invoke(app, ["work", "--help"]).output
    assert shown.startswith("Usage: root work [OPTIONS] FILES… [MORE]\n")
    lines = {line.strip() for line in shown.splitlines()}
    for line in (
        "FILES  Files to read.",
        "-o, --out PATH            Folder to write (default: runs).",
        "--size N                  Size (default: 3, 1 to 9).",
        "--rate X                  Rate, in Hz (default: the file's).",
        "--units words|characters  Units (default: words)",
        "--lower                   Lower the case.",
        "--key K=V                 Set.",
    ):
        assert line in lines, shown
