"""The folder of a run: one training at a time; no results lost without a word; a run that is extended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asr.config import Config
from asr.config_text import flatten
from asr.errors import ConfigError, TrainingError
from asr.model_file import MODEL_FILE
from asr.origin import ORIGIN_FILE
from asr.run_log import CONFIG_FILE, HYPOTHESES_FILE, LOG_FILE, read_log
from asr.training.build import data_summary
from asr.training.checkpoint import Checkpoints
from asr.training.hardware import in_main_process, processes
from asr.training.loop import BEST_FILE, Position
from asr.training.speech import PAGE_FILE, PICTURE_FILE, SpeechTask
from asr.training.watch import say
from asr.wording import counted

_LOCK_FILE = ".training.lock"
_LEASE = 120.0  # seconds until a network file system frees the lock of a host that was lost; an elastic job restarts
_RESULTS = (
    MODEL_FILE,
    BEST_FILE,
    LOG_FILE,
    CONFIG_FILE,
    ORIGIN_FILE,
    HYPOTHESES_FILE,
    "checkpoint-*.pt",
    "not-finite-*",
    PICTURE_FILE,
    PAGE_FILE,
)
_EXTENDABLE = {  # settings that may change when a run is extended
    "training.epochs",
    "training.parts",
    "training.learning_rate",
    "training.warmup",
    "training.weight_decay",
    "training.gradient_clip",
    "training.patience",
    "training.checkpoint_minutes",
    "training.trackers",
}
_CHOICES = "--extend continues it with the settings given, --overwrite starts over, --out names another folder"


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Create the folder `out`, and lock it for this training.

    Raises TrainingError if another training holds the folder, or if the folder cannot be written.
    """
    lock = FileLock(out / _LOCK_FILE)

    def acquire() -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_LEASE if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) else 0)
        except Timeout:
            raise TrainingError(
                f"{out}: another training is running in this folder; wait until it ends, or name another folder"
            ) from None
        except NotImplementedError:  # a network file system without locks
            say(f"{out}: this file system has no locks; do not start another training in this folder")
        except OSError as error:
            raise TrainingError(
                f"{out}: cannot be written: {error.strerror or error}; name another folder for the results"
            ) from None

    in_main_process(acquire)
    try:
        yield
    finally:
        lock.release()


def is_finished(out: Path) -> bool:
    """Return whether `out` holds the model of a finished run."""
    return (out / MODEL_FILE).exists() and not any(out.glob("checkpoint-*.pt"))


def refuse_finished(out: Path, choices: str = _CHOICES) -> None:
    """Raise TrainingError if `out` holds the model of a finished run."""
    if is_finished(out):
        raise TrainingError(f"{out / MODEL_FILE}: is the model of a finished run; {choices}")


def settle(checkpoints: Checkpoints, *, overwrite: bool, config: Config | None = None, choices: str = _CHOICES) -> None:
    """Make a folder ready for the run of `checkpoints`: leave its own checkpoints, and remove what `overwrite` allows.

    Raises TrainingError if the folder holds another run and `overwrite` is not set. `config` is the configuration of
    the run; the error names the settings in which the other run differs, and the `choices` of the user.
    """
    out = checkpoints.folder
    if state := checkpoints.find(checkpoints.fingerprint, say):
        _move(checkpoints, state)
        return
    if checkpoints.own() or not (is_finished(out) or checkpoints.others()):
        return
    if not overwrite:
        refuse_finished(out, choices)
        raise TrainingError(f"{out}: holds an unfinished run {_difference(out, config)}; {choices}")
    _remove(out)
    say(f"{out}: removed the results of an earlier run (--overwrite)")


def extended(out: Path, config: Config) -> tuple[Config, Config]:
    """Return the configuration of the run in `out`, and this configuration with the settings of `config`.

    Settings that `config` leaves open stay as they are in the run. Raises TrainingError if there is no run, and
    ConfigError if settings differ that must stay.
    """
    if not (out / CONFIG_FILE).exists():
        raise TrainingError(f"--extend: {out} has no {CONFIG_FILE} of a run; leave --extend out to begin a run there")
    before = Config.load(out / CONFIG_FILE)
    tree = before.model_dump(mode="json")
    for section, settings in config.model_dump(mode="json", exclude_unset=True).items():
        tree[section] = tree[section] | settings if isinstance(settings, dict) else settings
    changed = _differences(before.model_dump(mode="json"), tree)
    if fixed := [line for name, line in changed.items() if name not in _EXTENDABLE]:
        raise ConfigError(
            f"--extend: {out}: {'; '.join(fixed)}; only {', '.join(sorted(_EXTENDABLE))} may change. To begin another "
            "run with its weights, use --from and another --out"
        )
    tree["training"]["budget_minutes"] = None  # the run keeps the size that was chosen for its budget
    return before, Config.model_validate(tree)


def extend(checkpoints: Checkpoints, before: Config, task: SpeechTask[Any, Any]) -> None:
    """Turn the last state of the run with the configuration `before` into a checkpoint of the run that trains `task`.

    An unfinished run is continued from its last checkpoint, a finished run from its kept model with a new optimiser.
    Raises TrainingError if the data changed, or if all epochs are done already.
    """
    out, after = checkpoints.folder, task.config
    if checkpoints.own():  # an extension that was interrupted
        return
    state = _finished_state(out, task) if is_finished(out) else checkpoints.find(task.fingerprint(before), say)
    if state is None:
        raise TrainingError(
            f"--extend: {out} has no checkpoint with these data; to train on other data, use --from {out / BEST_FILE} "
            "and another --out"
        )
    position = state["position"]
    done = len(position["log"])
    if done >= after.training.epochs:
        raise TrainingError(
            f"--extend: {counted('{} epoch<s> <is|are>', done)} done in {out}; set training.epochs to more than {done}"
        )
    if position["log"]:
        position["log"][-1].pop("stopped", None)
    position |= {"extended": done, "epochs": after.training.epochs, "ahead": 0.0, "pace": 1.0}
    _move(checkpoints, state)
    if (out / MODEL_FILE).exists():
        (out / MODEL_FILE).replace(out / BEST_FILE)
    changed = _differences(before.model_dump(mode="json"), after.model_dump(mode="json"))
    changes = [line for name, line in changed.items() if name != "training.budget_minutes"]
    say(f"extending the run in {out} after epoch {done}: {'; '.join(changes) or 'with its settings'}")


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return a text for each setting that differs: `training.epochs was 30, now 60`, by the name of the setting."""
    old, new = flatten(before), flatten(after)
    return {name: f"{name} was {old[name]}, now {new[name]}" for name in new if old[name] != new[name]}


def _difference(out: Path, config: Config | None) -> str:
    """Describe how an unfinished run differs from the run with `config`."""
    if config is None:
        return "with other settings or other data"
    try:
        found = Config.load(out / CONFIG_FILE).model_dump(mode="json")
    except ConfigError:  # a damaged file
        return "with other settings or other data"
    changed = "; ".join(_differences(found, config.model_dump(mode="json")).values())
    return f"with other settings ({changed})" if changed else "with other data"


def _move(checkpoints: Checkpoints, state: dict[str, Any]) -> None:
    """Save a state under the name of this run, and remove the checkpoints of the run that it came from."""
    origin = state.get("fingerprint")  # None for the state of a finished run
    checkpoints.save(state["position"]["step"], state)
    if origin is None:
        return
    checkpoints.drop(origin)
    before, now = state["random"], processes().num_processes
    if before is not None and len(before) != now:
        say(
            f"{checkpoints.folder}: continues a run of {counted('{} process<es>', len(before))} with {now}: other "
            "random numbers follow, so the model will differ from that of an undisturbed run"
        )


def _finished_state(out: Path, task: SpeechTask[Any, Any]) -> dict[str, Any]:
    """Return the state of a finished run, with the weights of its kept model, and without optimiser."""
    kept = type(task.model).from_file(out / MODEL_FILE, task.model.device)
    data = data_summary(task.data)
    if kept.symbols != task.model.symbols or kept.summary | data != kept.summary:
        raise TrainingError(
            f"--extend: {out / MODEL_FILE} was trained on other data; to train on other data, use --from "
            f"{out / MODEL_FILE} and another --out"
        )
    log = read_log(out / LOG_FILE)
    step, seconds = log[-1]["step"], log[-1]["seconds"]
    position = Position(epoch=log[-1]["epoch"] + 1, step=step, begun=step, seconds=seconds, log=log)
    weights = kept.acoustic_model.state_dict()
    return {"model": weights, "optimizer": None, "task": {}, "random": None, "position": asdict(position)}


def _remove(out: Path) -> None:
    """Delete the files that a run wrote to its folder."""
    for pattern in _RESULTS:
        for path in out.glob(pattern):
            path.unlink()
