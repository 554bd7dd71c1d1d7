"""The files of a model that others get: model, configuration, log, without what only its maker's machine has.

A configuration holds the paths of manifests. An absolute path tells the names of a person and of folders, and leads
nowhere on another machine, so the name of the file is left of it. An address loses its password. The tensors of a model
stay as they are, and so does its signature. The log of a run shows some validation texts, which are taken out.
"""

import copy
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from asr.config import FOLDERS, PATHS, Config
from asr.config_text import to_yaml
from asr.corpus.remote import is_url, shown
from asr.errors import AsrError, ModelFileError
from asr.files import read_bytes, read_lines, to_json
from asr.hub import EXPORTED_FILE, address_of
from asr.model_file import EXPORTED_SUFFIX, MODEL_FILE, read_metadata, signature, task_of, with_description
from asr.wording import counted

CARD_FILE, CONFIG_FILE, LOG_FILE = "README.md", "config.yaml", "log.jsonl"
_SYMBOLS = {"recognition": "units", "classification": "classes"}  # fields of the description, by task
_TEXTS = "samples"  # field of a row of the log


class SharedModel:
    """A model file, and its description without the paths of this machine; `remarks` says what was changed."""

    def __init__(self, path: Path) -> None:
        """Read the description of a model file. Raises ModelFileError for a damaged file or for a language model."""
        self.path = path
        self.metadata = read_metadata(path)
        self.task = task_of(self.metadata)
        if self.task not in _SYMBOLS:
            raise ModelFileError(f"{path}: is a {self.task}; recognisers and classifiers are shared")
        try:
            self.config = Config.model_validate(self.metadata["config"]).model_dump(mode="json")
            self.symbols = [*map(str, self.metadata[_SYMBOLS[self.task]])]
        except (LookupError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: its description is damaged ({error!r:.100}); copy it again") from None
        self.is_exported = path.suffix == EXPORTED_SUFFIX
        self.signature = None if self.is_exported else f"sha256:{signature(path)}"
        self.names = shared_names(self.config)

    @property
    def description(self) -> dict[str, Any]:
        """Return what an exported model shares with the model that it was exported from."""
        return {name: self.metadata.get(name) for name in ("config", "training", _SYMBOLS[self.task])}

    @property
    def origin(self) -> str | None:
        """Return the model whose weights training started from: an address of the hub, or the name of a file."""
        start = self.config["training"]["start_from"]
        return None if start is None else self.names.get(start, start)

    @property
    def remarks(self) -> list[str]:
        return [f"path of this machine: {old} is {new} in what is shared" for old, new in self.names.items()]

    def content(self) -> bytes:
        """Return the bytes of the model file: those of the file itself if its description names no such path."""
        if not self.names:
            return read_bytes(self.path)
        return with_description(self.path, {**self.metadata, "config": self._shared(self.metadata["config"])})

    def config_yaml(self) -> bytes:
        """Return the configuration of the model as YAML, without the paths of this machine."""
        return to_yaml(self._shared(self.config)).encode()

    def log(self, path: Path) -> tuple[bytes, list[str]]:
        """Return the log of a run without validation texts, and what was changed. Raises AsrError for another file."""
        lines, texts = [], 0
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                texts += len(row.pop(_TEXTS, ()))
                for part in row.get("validation", ()):
                    part["name"] = self.names.get(part["name"], part["name"])
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                raise AsrError(f"{path}:{number}: is no row of a log; copy the file again") from None
            lines.append(to_json(row) + "\n")
        said = counted("{} validation text<s> <is|are> left out", texts)
        return "".join(lines).encode(), [f"{path}: {said}"] if texts else []

    def _shared(self, settings: dict[str, Any]) -> dict[str, Any]:
        config = copy.deepcopy(settings)
        for section, name in (*PATHS, *FOLDERS):
            found = config.get(section, {}).get(name)
            if isinstance(found, list):
                config[section][name] = [self.names.get(one, one) for one in found]
            elif found in self.names:
                config[section][name] = self.names[found]
        return config


def shared_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands for each path of a configuration that only one machine has, or that holds a password."""
    named: list[str] = []
    for section, name in (*PATHS, *FOLDERS):
        found = config[section].get(name)
        named += [one for one in (found if isinstance(found, list) else [found]) if one is not None]
    local = filter(_is_local, dict.fromkeys(named))
    new = {old: _name(old) for old in local}
    times = Counter([*new.values(), *(old for old in named if old not in new)])
    return {old: name if times[name] == 1 else f"{number}/{name}" for number, (old, name) in enumerate(new.items(), 1)}


def _name(path: str) -> str:
    """Return what stands for a path: the address of a model of the hub, an address without password, or a file name."""
    if address := address_of(Path(path)):
        return str(address)
    return shown(path) if is_url(path) else PureWindowsPath(path).name


def _is_local(path: str) -> bool:
    if is_url(path):
        return shown(path) != path
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute() or path.startswith("~")


def run_files(model: SharedModel) -> tuple[dict[str, bytes], list[str]]:
    """Return the configuration, and the log of the run if it lies beside the model; and what was changed."""
    files, remarks = {CONFIG_FILE: model.config_yaml()}, list(model.remarks)
    log = model.path.with_name(LOG_FILE)
    if log.is_file():
        files[LOG_FILE], changed = model.log(log)
        remarks += changed
    return files, remarks


def shared_name(model: SharedModel) -> str:
    """Return the name under which others get a model, whatever its name is here."""
    return EXPORTED_FILE if model.is_exported else MODEL_FILE
