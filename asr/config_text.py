"""The text of a configuration: plain YAML, overrides, and errors that say in plain words what a value must be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from asr.errors import ConfigError

SHARDS = "manifest.jsonl"  # the manifest of a folder of shards
_LONGEST = 300  # characters of a value that a message quotes
_DEEPEST = 10  # levels of a YAML file
_RULES = {  # types of pydantic's errors -> what a value must be
    "missing": "has too few values",
    "too_long": "has more than {max_length} values",
    "too_short": "has fewer than {min_length} values",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text; put it in quotes",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list, such as [a, b]",
    "literal_error": "must be {expected}",
    "model_type": "must be a section with settings",
    "invalid_key": "is not the name of a setting, which is a text",
}


class _Loader(yaml.SafeLoader):
    """A loader of plain YAML: no aliases, which can grow without bounds, no deep nesting, and no key twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="has an alias (*name); write the value out", problem_mark=mark)
        if self.depth >= _DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {_DEEPEST} levels", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise yaml.MarkedYAMLError(problem="the name of a setting is no text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is set twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(content: str, source: str) -> Any:
    """Parse YAML. Raises ConfigError that names `source`, and the line if there are several."""
    try:
        return yaml.load(content, _Loader)
    except yaml.MarkedYAMLError as error:
        mark, several = error.problem_mark, "\n" in content.strip()
        place = f"{source}:{mark.line + 1}" if mark and several else source
        raise ConfigError(f"{place}: is not valid YAML: {str(error.problem)[:_LONGEST]}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: is not valid YAML: {str(error).partition(chr(10))[0][:_LONGEST]}") from None


def to_yaml(tree: dict[str, Any]) -> str:
    """Return a tree of settings as YAML, in the order of the settings."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def locate(
    tree: dict[str, Any],
    settings: Sequence[tuple[str, str]],
    config: Path,
    *,
    folders: bool = False,
    words: Sequence[str] = (),
) -> None:
    """Lead the relative paths of some settings, as (section, name), to the files beside the configuration `config`.

    A folder of shards counts as a file; with `folders`, any folder does. A path that leads to no file there stays
    relative to the current folder. A value in `words` is no path. Raises ConfigError for a path that leads to a file in
    either folder, and not to the same file, unless it begins with `./`, the folder of the configuration.
    """
    for section, name in settings:
        values = tree.get(section)
        if isinstance(values, dict) and isinstance(values.get(name), list):
            values[name] = [_located(value, f"{section}.{name}", config, folders) for value in values[name]]
        elif isinstance(values, dict) and name in values and values[name] not in words:
            values[name] = _located(values[name], f"{section}.{name}", config, folders)


def _located(value: Any, setting: str, config: Path, folders: bool) -> Any:
    if not isinstance(value, str):  # a fault that `explain` names
        return value
    try:
        beside, here = config.parent / value, Path(value)
        if not (beside.is_file() or (beside / SHARDS).is_file() or (folders and beside.is_dir())):
            return value
        if not value.startswith("./") and here.exists() and not here.samefile(beside):
            raise ConfigError(
                f"{config}: {setting}: {value} is a file beside the configuration, {beside}, and another one in the "
                f"current folder; write ./{value} for the first, or its absolute path"
            )
    except (OSError, ValueError):  # not a name of a file
        return value
    return str(beside)


def apply(tree: dict[str, Any], override: str) -> str:
    """Set a value of the tree by an override `SECTION.SETTING=VALUE`; return `SECTION.SETTING`. Raises ConfigError."""
    key, separator, value = override.partition("=")
    path = key.strip().split(".")
    if not separator or not all(path):
        raise ConfigError(f"--set {override}: must have the form SECTION.SETTING=VALUE, such as training.epochs=20")
    parsed = parse(value, f"--set {override[:_LONGEST]}")
    for name in path[:-1]:
        section = tree.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {name} is a setting, not a section")
        tree = section
    tree[path[-1]] = parsed
    return key.strip()


def flatten(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration by names such as `training.epochs`."""
    flat = {}
    for section, settings in tree.items():
        for name, value in settings.items() if isinstance(settings, dict) else [("", settings)]:
            flat[f"{section}.{name}".rstrip(".")] = value
    return flat


def explain(error: ValidationError, config: type[BaseModel], path: str, set_by: dict[str, str]) -> str:
    """Return one line for each fault: who set the setting, its name, what it must be, and what was found.

    `path` is the file of the settings, `set_by` the option that set a setting of another source.
    """
    lines: dict[str, str] = {}  # the first fault of each setting
    for fault in error.errors():
        location = fault["loc"]
        while len(location) > 1 and isinstance(location[-1], int):  # one of several values
            location = location[:-1]
        field = ".".join(str(part) for part in location)
        is_rule = fault["type"] == "value_error" and isinstance(fault["input"], dict)  # about settings of a section
        source = next(
            (
                flag
                for key, flag in set_by.items()
                if f"{field}.".startswith(f"{key}.") or (is_rule and key.startswith(f"{field}."))
            ),
            path,
        )
        found = f" (found {repr(fault['input'])[:_LONGEST]})"
        if fault["type"] == "extra_forbidden":
            problem, found = f"is not a setting; {_settings(config, location)}", ""
        elif fault["type"] == "missing" and len(location) == len(fault["loc"]):
            problem, found = "is required", ""
        elif fault["type"] == "value_error":
            problem = str(fault["ctx"]["error"])
            found = "" if is_rule else found  # a rule quotes what it found
        else:
            limits = {
                k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in fault.get("ctx", {}).items()
            }
            problem = _RULES.get(fault["type"], "has a value of a wrong kind").format(**limits)
        lines.setdefault(field, f"{source}: {field[:_LONGEST]} {problem}{found}")
    return "\n".join(lines.values())


def _settings(config: type[BaseModel], location: tuple[int | str, ...]) -> str:
    section: Any = config
    for part in location[:-1]:
        section = section.model_fields[str(part)].annotation
        if not hasattr(section, "model_fields"):
            return "its value has no options of its own"
    return "the settings there are " + ", ".join(section.model_fields)
