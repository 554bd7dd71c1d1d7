"""Commands that have others beside them: `asr report RUN` and `asr report gradients RUN`."""

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """A group whose first command is the one meant where no other is named.

    report = typer.Typer(cls=DefaultGroup)
    report.command()(of_a_run)  # asr report RUN
    report.command()(gradients)  # asr report gradients RUN
    app.add_typer(report, name="report")
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.default, *self.others = self.commands
        if self.others:
            self.commands[self.default].epilog = f"Beside it: {self.name} " + f", {self.name} ".join(self.others)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if args and args[0] in self.others:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[self.default].make_context(info_name, args, parent, **extra)

    def get_short_help_str(self, limit: int = 45) -> str:
        return self.commands[self.default].get_short_help_str(limit)
