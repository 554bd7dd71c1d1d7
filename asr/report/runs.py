"""Finished and unfinished runs as they lie in their folders: settings, log, origin, validation hypotheses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.config import Config
from asr.config_text import flatten
from asr.corpus.manifest import json_rows
from asr.errors import AsrError, ManifestError
from asr.files import read_text
from asr.origin import Origin, read_origin
from asr.run_log import CONFIG_FILE, HYPOTHESES_FILE, LOG_FILE, Row, kept_row, read_log, stop_reason
from asr.scoring.files import Pair
from asr.text import Normalizer

_SEED = "training.seed"
_NOT_COMPARED = {_SEED, "training.checkpoint_minutes", "training.trackers"}  # settings that change no result


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its name, its settings by names such as `training.epochs`, its log, and the row of its kept epoch."""

    folder: Path
    name: str
    config: Config
    settings: dict[str, Any]
    log: list[Row]
    kept: Row
    origin: Origin | None

    @property
    def criterion(self) -> str:
        """The field of the log that decides which epoch is kept."""
        return _criterion(self.log)

    @property
    def seed(self) -> int:
        return self.config.training.seed

    @property
    def stopped(self) -> str | None:
        """Why the run stopped, or None if it is unfinished."""
        training = self.config.training
        return stop_reason(self.log, epochs=training.epochs, patience=training.patience, criterion=self.criterion)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose settings and data differ in the seed alone."""

    name: str
    runs: list[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]


def read_run(folder: Path) -> Run:
    """Read the run in `folder`. Raises AsrError if it has no configuration or no complete epoch."""
    if not (folder / CONFIG_FILE).is_file() or not (folder / LOG_FILE).is_file():
        raise AsrError(
            f"{folder}: is no run: it lacks {CONFIG_FILE} or {LOG_FILE}; give the folder of a training run, such as "
            "runs/NAME, or the folder that `asr train --seeds` wrote"
        )
    config = Config.load(folder / CONFIG_FILE)
    log = read_log(folder / LOG_FILE)
    try:
        kept = kept_row(log, _criterion(log))
    except (KeyError, TypeError):
        raise AsrError(f"{folder / LOG_FILE}: has no validation error rate in each epoch; train again") from None
    return Run(folder, str(folder), config, flatten(config.model_dump(mode="json")), log, kept, read_origin(folder))


def _criterion(log: Sequence[Row]) -> str:
    return "error_rate" if "error_rate" in log[-1] else "cer"


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the runs in `folders`; a folder without a log of its own stands for the runs `seed-…` inside it.

    Raises AsrError for a folder without runs, and for a run that is named twice.
    """
    runs: list[Run] = []
    for folder in folders:
        inside = sorted(folder.glob(f"seed-*/{LOG_FILE}"), key=lambda path: (len(path.parent.name), path.parent.name))
        found = [path.parent for path in inside] if inside and not (folder / LOG_FILE).is_file() else [folder]
        runs += map(read_run, found)
    seen: set[Path] = set()
    for run in runs:
        if run.folder.resolve() in seen:
            raise AsrError(f"{run.folder}: is named twice; name each run once")
        seen.add(run.folder.resolve())
    return runs


def group(runs: Sequence[Run]) -> list[Group]:
    """Put runs together whose settings and data differ in the seed alone, in the order of their first runs.

    Two runs of one seed stay apart, because their difference is of interest. Groups of several runs are named after
    the folder that holds them all, or after their first run.
    """
    groups: list[list[Run]] = []
    for run in runs:
        for members in groups:
            if _alike(members[0], run) and run.seed not in {member.seed for member in members}:
                members.append(run)
                break
        else:
            groups.append([run])
    names = [_name_of(members) for members in groups]
    return [
        Group(name if names.count(name) == 1 else members[0].name, members)
        for name, members in zip(names, groups, strict=True)
    ]


def _name_of(members: Sequence[Run]) -> str:
    parents = {run.folder.parent for run in members}
    if len(members) > 1 and len(parents) == 1 and all(run.folder.name.startswith("seed-") for run in members):
        return str(parents.pop())
    return members[0].name


def _alike(one: Run, other: Run) -> bool:
    return facts(one) == facts(other)


def facts(run: Run) -> dict[str, Any]:
    """Return what must be equal in the runs of a group: settings that change results, digests of data and files."""
    settings = {name: value for name, value in run.settings.items() if name not in _NOT_COMPARED}
    if run.origin is None:
        return settings
    return {**settings, **{f"content of {name}": value for name, value in contents(run.origin).items()}}


def contents(origin: Origin) -> dict[str, str]:
    """Return the beginnings of the digests of data and files; data at an address has none."""
    found = {**origin.data, **origin.files}
    return {name: value[:12] for name, value in found.items() if value is not None}


def validation_pairs(run: Run) -> list[Pair]:
    """Return the validation references and hypotheses of the kept model, normalised as the model does.

    Raises AsrError that says how to make the file, if the run was trained by a version that did not leave it.
    """
    path = run.folder / HYPOTHESES_FILE
    if not path.is_file():
        manifest = run.config.data.validation[0]
        raise AsrError(
            f"{path}: is not there, since an older version trained the run; make it: asr transcribe {run.folder} "
            f"{manifest} -o {path}"
        )
    normalizer, field = run.config.text.normalizer, run.config.data.text_field
    return [_pair(path, line, row, normalizer, field) for line, row in json_rows(read_text(path, ManifestError))]


def _pair(path: Path, line: int, row: Any, normalizer: Normalizer, field: str) -> Pair:
    found = row if isinstance(row, dict) else {}
    reference, hypothesis, identifier = found.get(field, found.get("text")), found.get("hypothesis"), found.get("id")
    speaker = found.get("speaker")
    if not isinstance(hypothesis, str) or not isinstance(reference, str | int | float) or identifier is None:
        problem = row if isinstance(row, ValueError) else f"has no {field}, hypothesis and id"
        raise ManifestError(f"{path}:{line}: {problem}; transcribe the validation data again")
    own = None if speaker is None else str(speaker)
    return Pair(str(identifier), normalizer(str(reference)), normalizer(hypothesis), own)
