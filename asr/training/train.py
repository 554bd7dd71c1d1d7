"""A training run from its configuration to its results, for every task."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from asr.config import Config
from asr.config_text import flatten
from asr.files import write_whole
from asr.model import SpeechModel
from asr.run_log import CONFIG_FILE
from asr.training.agreement import agree, ending_together, in_turn, is_visible, share
from asr.training.budget import forecast, within_budget
from asr.training.build import (
    data_summary,
    describe,
    describe_corpora,
    is_keyed,
    program,
    require_surroundings,
    with_its_settings,
)
from asr.training.classification import ClassificationTask
from asr.training.data import Corpora, open_corpora, open_data
from asr.training.folder import claimed, extended, is_finished, refuse_finished, settle
from asr.training.folder import extend as extend_run
from asr.training.hardware import from_main_process, in_main_process, keep_memory, processes, steady_numbers
from asr.training.loop import MODEL_FILE, checkpoints_of, fit
from asr.training.recognition import RecognitionTask
from asr.training.record import digest_of, record_origin
from asr.training.sizes import sized
from asr.training.speech import PAGE_FILE, PICTURE_FILE, SpeechTask
from asr.training.watch import say

_TASKS: dict[str, tuple[Callable[..., Any], Callable[..., SpeechTask[Any, Any]]]] = {
    "recognition": (open_data, RecognitionTask),
    "classification": (open_corpora, ClassificationTask),
}


@steady_numbers()
def train(
    config: Config,
    out: str | Path,
    *,
    strict: bool = False,
    overwrite: bool = False,
    extend: bool = False,
    begun: float | None = None,
) -> SpeechModel[Any]:
    """Train a model, and write `model.safetensors`, `config.yaml`, `log.jsonl`, `training.png` and a page to `out`.

    Returns a Recognizer or a Classifier: the model of the epoch with the lowest validation CER or error rate, and of
    equal epochs the one with the lowest validation loss. Equal configurations, seeds and machines give equal model
    files, byte for byte. If a run was interrupted in any way, repeat the call: it resumes from the last checkpoint in
    `out` and gives the same bytes. Progress is logged by the logger `asr`, at level INFO.

    Args:
        config: The configuration of the run.
        out: The folder for the results. One training at a time uses it.
        strict: Raise TrainingError if any utterance is unusable, in place of leaving it out.
        overwrite: Replace the results of another run, or of a finished run, in `out`.
        extend: Continue the run in `out` with more epochs or another learning rate. Settings that `config` leaves open
            stay as they are in the run.
        begun: The value of `time.monotonic()` from which a time budget counts (default: the time of the call).

    Raises ManifestError, TextError, ConfigError or TrainingError if training on the data is impossible, and
    TrainingError if another training uses `out`, or if `out` holds another or a finished run.
    """
    out = Path(out)
    begun = time.monotonic() if begun is None else begun
    asked_for = digest_of(config)
    asked = {"--strict": strict, "--overwrite": overwrite, "--extend": extend}
    with ending_together(), claimed(out):
        agree(lambda: _versions() | flatten(config.model_dump(mode="json")) | asked)
        share(out)
        if extend:
            before, config = extended(out, config)
        elif not overwrite:
            refuse_finished(out)
        task = _planned_task(config, out, strict=strict, replan=overwrite and is_finished(out))
        config = task.config
        agree(lambda: _facts(task))
        checkpoints = checkpoints_of(task, config.training, out)
        if extend:
            in_main_process(lambda: extend_run(checkpoints, before, task))
        else:
            in_main_process(lambda: settle(checkpoints, overwrite=overwrite, config=config))
        process = processes()
        if process.is_main_process:
            record_origin(out, config, asked=asked_for, resumed=bool(checkpoints.own()), extended=extend)
            write_whole(out / CONFIG_FILE, config.to_yaml().encode())
        log = fit(task, config.training, out, begun=None if config.training.budget_minutes is None else begun)
        is_visible(out / MODEL_FILE)
        task.model = type(task.model).from_file(out / MODEL_FILE, process.device)
        if process.is_main_process:
            task.draw(out, log, done=True)
            say(f"learning curve and output of the model: {out / PICTURE_FILE}, {out / PAGE_FILE}")
        return task.model


@steady_numbers()
def dry_run(
    config: Config, out: str | Path, *, strict: bool = False, overwrite: bool = False, extend: bool = False
) -> list[str]:
    """Do all that `train` does before the first step, and return lines with the steps, time and memory of the run.

    The data is checked and packed; nothing is written to `out`. The arguments and errors are those of `train`.
    """
    out = Path(out)
    if extend:
        _, config = extended(out, config)
    elif not overwrite:
        refuse_finished(out)
    task = _planned_task(config, out, strict=strict, replan=overwrite and is_finished(out))
    return forecast(task)


def _planned_task(config: Config, out: Path, *, strict: bool, replan: bool) -> SpeechTask[Any, Any]:
    """Open the data, choose the settings that `config` leaves open, build the task, and describe it.

    The plan for a budget is that of an earlier call in `out`, unless `replan` is set.
    """
    keep_memory()
    process = processes()
    set_seed(config.training.seed)
    require_surroundings(config)
    open_its_data, make_task = _TASKS[config.task]
    config = with_its_settings(config, say)
    data = in_turn(lambda: open_its_data(config, say, strict=strict))  # the others find the data checked and packed
    if config.training.budget_minutes is not None:
        config = _planned(config, data, lambda config: make_task(config, data, process.device), None if replan else out)
        set_seed(config.training.seed)
    config = sized(config, data, say)
    task = make_task(config, data, process.device)
    say(describe(task.model, task.data))
    if task.augment.surroundings is not None:
        for line in task.augment.surroundings.facts():
            say(line)
    if is_keyed(config):
        say(describe_corpora(config, task.data))
    say(f"a model that ignores the audio would reach a loss of {task.baseline_loss:.3f} nats per {task.target}")
    return task


def _versions() -> dict[str, Any]:
    """Return the versions on which numbers depend."""
    of_program = program()
    return {
        **{f"the version of {name}": of_program["versions"][name] for name in ("asr", "torch")},
        "the commit of asr": of_program["git_commit"],
    }


def _facts(task: SpeechTask[Any, Any]) -> dict[str, Any]:
    """Return what all processes must have in common before the first step: data, chosen settings, first weights."""
    return {
        **data_summary(task.data),
        **flatten(task.config.model_dump(mode="json")),
        "the digest of texts, lengths and settings": task.fingerprint()[:12],
    }


def _planned(
    config: Config, data: Corpora, make_task: Callable[[Config], SpeechTask[Any, Any]], out: Path | None
) -> Config:
    """Return `config` with the model size, batches and epochs that fit its budget; other settings stay open.

    The plan is that of an earlier call in `out` for an equal configuration and equal data, or a new plan.
    """
    if out is not None and (out / CONFIG_FILE).exists():
        before = Config.load(out / CONFIG_FILE)
        planned = _with_plan(config, before)
        if sized(planned, data, lambda line: None) == before:
            size = f"{before.model.layers} layers of {before.model.hidden}"
            say(f"budget: {size}, {before.training.epochs} epochs, as planned before")
            return planned
    task = make_task(sized(config, data, lambda line: None))
    plan = within_budget(task, 60 * (config.training.budget_minutes or 0.0), say)
    return _with_plan(config, from_main_process(plan))  # every process measures its own time


def _with_plan(config: Config, plan: Config) -> Config:
    """Return `config` with the model size, batches and epochs of `plan`."""
    size = {"layers": plan.model.layers, "hidden": plan.model.hidden}
    length = {"epochs": plan.training.epochs, "batch_utterances": plan.training.batch_utterances}
    sections = {"model": config.model.model_copy(update=size), "training": config.training.model_copy(update=length)}
    return config.model_copy(update=sections)
