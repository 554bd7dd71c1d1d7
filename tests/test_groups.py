import typer
from typer.testing import CliRunner

from asr.cli.groups import DefaultGroup


def _app() -> typer.Typer:
    def of_a_run(run: str, deep: bool = False) -> None:
        """Shows a run."""
        print("run", run, deep)

    def gradients(run: str) -> None:
        """Shows gradients."""
        print("gradients", run)

    report = typer.Typer(cls=DefaultGroup)
    report.command()(of_a_run)
    report.command()(gradients)
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.add_typer(report, name="report")
    app.command()(gradients)
    return app


def test_the_first_command_is_meant_where_no_other_is_named() -> None:
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
        (["report", "--help"], 0, "Usage: root report [OPTIONS] {run}"),
        (["report", "--help"], 0, "report gradients"),
        (["report", "gradients", "--help"], 0, "Usage: root report gradients [OPTIONS] {run}"),
        (["report"], 2, "Missing argument"),
        (["report", "a", "b"], 2, "unexpected extra argument"),
        (["--help"], 0, "Shows a run."),
    ):
        done = CliRunner().invoke(_app(), arguments)
        assert done.exit_code == status and shown in done.output, done.output
