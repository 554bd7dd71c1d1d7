"""Groups of commands, and their help: plain text of 80 columns, without type names, without importing rich."""

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

# The value of an option, by the type that typer names where the option sets no metavar.
_METAVARS = {"path": "PATH", "file": "FILE", "directory": "DIR", "str": "TEXT", "int": "N", "float": "X"}


class PlainCommand(TyperCommand):
    """Command whose help reads like a manual page; `subcommands` of its group are listed below its options."""

    subcommands: dict[str, str]

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.subcommands = {}

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [param for param in self.params if isinstance(param, TyperArgument) and not param.hidden]
        return ["[OPTIONS]", *map(_usage, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self, ctx, formatter)
        if self.subcommands:
            with formatter.section("More commands"):
                formatter.write_dl(list(self.subcommands.items()))


class SectionedGroup(TyperGroup):
    """Group whose help lists commands in sections, which `rich_help_panel` of each command names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            section = str(getattr(command, "rich_help_panel", None) or "Commands")
            sections.setdefault(section, []).append((name, summary(command)))
        width = max(map(len, self.commands))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])
        _write_parameters(self, ctx, formatter)


class DefaultGroup(TyperGroup):
    """Group whose first command runs when the user names no command of the group.

    report = Commands(cls=DefaultGroup)
    report.command()(of_a_run)  # asr report RUN
    report.command()(gradients)  # asr report gradients RUN
    app.add_typer(report, name="report")
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.default, *self.others = self.commands
        command = self.commands[self.default]
        if isinstance(command, PlainCommand):
            command.subcommands = {f"{self.name} {name}": summary(self.commands[name]) for name in self.others}

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if args and args[0] in self.others:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[self.default].make_context(info_name, args, parent, **extra)

    def get_short_help_str(self, limit: int = 45) -> str:
        return summary(self)


class Commands(typer.Typer):
    """Typer application whose commands have plain help."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        settings.setdefault("cls", PlainCommand)
        return super().command(name, **settings)


def summary(command: Any) -> str:
    """Return the first sentence of a command's help; of a DefaultGroup, that of its first command."""
    if isinstance(command, DefaultGroup):
        command = command.commands[command.default]
    paragraph = " ".join((command.help or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?]) ", paragraph)[0]


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the sections "Arguments" and "Options" of a command's help."""
    shown = [parameter for parameter in command.get_params(ctx) if not parameter.hidden]
    arguments = [(_metavar(p, ctx), p.help or "") for p in shown if isinstance(p, TyperArgument)]
    options = [(_names(p, ctx), _described(p)) for p in shown if isinstance(p, TyperOption)]
    for title, rows in (("Arguments", arguments), ("Options", options)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _usage(argument: TyperArgument) -> str:
    name = argument.metavar or argument.name.upper()
    if argument.nargs != 1 and not name.endswith("…"):
        name += "…"
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _metavar(parameter: Any, ctx: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if isinstance(parameter, TyperArgument):
        return parameter.name.upper()
    kind = re.sub(r"list\[(.*)\]", r"\1", parameter.display_type(ctx).strip("<>")).removesuffix(" range")
    return _METAVARS.get(kind.lower(), kind)


def _names(option: TyperOption, ctx: Any) -> str:
    """Return the names of an option with its value: `-o, --output PATH`; a flag that is off has no `--no-…`."""
    names = sorted(option.opts, key=len)
    if option.is_flag:
        return ", ".join([*names, *(option.secondary_opts if option.default else [])])
    return f"{', '.join(names)} {_metavar(option, ctx)}"


def _described(option: TyperOption) -> str:
    """Return the help of an option, with its default and the range of its value, unless its text names the default."""
    text = (option.help or "").rstrip()
    notes = []
    if option.required:
        notes.append("required")
    elif "(default" not in text and option.show_default and not option.is_flag and option.default not in (None, ""):
        notes.append(f"default: {option.default}")
    if option.min is not None and option.max is not None:
        notes.append(f"{option.min:g} to {option.max:g}")
    if not notes:
        return text
    return f"{text.removesuffix('.')} ({', '.join(notes)})" + ("." if text.endswith(".") else "")
