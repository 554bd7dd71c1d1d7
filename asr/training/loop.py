"""The training loop of all tasks, in the order in which things happen."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from torch import nn

from asr.config import TrainingConfig
from asr.errors import ConfigError, TrainingError
from asr.model_file import MODEL_FILE
from asr.progress import ProgressBar, RemainingTime, format_duration
from asr.run_log import CRITERION_NAMES, LOG_FILE, Row, kept_row, stop_reason, write_log
from asr.training.budget import epochs_within
from asr.training.checkpoint import Checkpoints, StopSignals, random_state, set_random_state
from asr.training.epochs import count_steps, planned_batches
from asr.training.gradients import Gradients
from asr.training.hardware import from_main_process, gather, memory_mb, processes, use_bf16
from asr.training.schedule import warmup_cosine
from asr.training.task import Task
from asr.training.watch import epoch_lines, format_loss, gradient_norms, say

BEST_FILE = "best.safetensors"  # best model so far; it becomes MODEL_FILE when training is done
MAX_SKIPPED = 10  # batches without a finite loss or gradient after which training stops
_LOWER_RATE = "lower training.learning_rate, or train with training.precision=fp32"
_AHEAD = 4  # batches, the one to be computed included, of which the task knows
_DRAWN_EVERY = 60.0  # seconds between two updates of the page


@dataclass
class Position:
    """The position of a run: the next batch, the sums over the current epoch, and the log of finished epochs."""

    epoch: int = 1
    batch: int = 0
    step: int = 0
    nats: float = 0.0
    num_targets: int = 0
    skipped: int = 0
    parts: int = 1  # parts into which each batch is divided to fit in memory
    seconds: float = 0.0
    begun: int = 0  # step at which the optimiser began: after 0 if a finished run is extended
    extended: int = 0  # epochs before the run was extended
    epochs: int = 0  # planned epochs; a run with a time budget plans them anew
    ahead: float = 0.0  # steps by which the learning-rate schedule is ahead of `step`
    pace: float = 1.0  # steps by which the schedule advances in each step
    log: list[Row] = field(default_factory=list)

    def plan(self, epochs: int, *, left: int, total: int) -> None:
        """Plan `epochs` epochs, with `left` steps in which the schedule of `total` steps goes on to its end."""
        self.epochs, self.pace = epochs, (total - self.step - self.ahead) / left

    @property
    def loss(self) -> float:
        """The loss of the current epoch in nats per target; NaN before the first finite batch."""
        return self.nats / self.num_targets if self.num_targets else math.nan


def checkpoints_of(task: Task[Any], options: TrainingConfig, out: Path) -> Checkpoints:
    """Return the checkpoints in `out` of the run that trains `task` with as many processes as there are now."""
    return Checkpoints(out, fingerprint=run_fingerprint(task.fingerprint()), minutes=options.checkpoint_minutes)


def run_fingerprint(of_task: str) -> str:
    """Return the fingerprint of a run of a task with as many processes as there are now."""
    return f"{of_task} {processes().num_processes}"


def fit(task: Task[Any], options: TrainingConfig, out: Path, *, begun: float | None = None) -> list[Row]:
    """Train `task`, write `model.safetensors` and `log.jsonl` to `out`, and return the rows of the log.

    The model of the epoch that `kept_row` returns is kept. Equal tasks, seeds and machines give equal model files, byte
    for byte. If a run was interrupted in any way, repeat the call: it resumes from the last checkpoint in `out` and
    gives the same bytes. Under torchrun, each process computes its share of every batch.

    With a time budget, epochs are planned anew after each epoch, from the times in the log, so that the run ends in
    time. The learning rate goes on from where it is, and falls to its end in the epochs that are left. Checkpoints hold
    the plan. `begun` is the time of `time.monotonic()` from which a new run counts (default: now).

    Raises TrainingError if the model ignores the audio, if too many losses or the validation loss are not finite, or if
    a batch does not fit in memory.
    """
    accelerator = _accelerator(options.trackers, out)
    device, rank = accelerator.device, accelerator.process_index
    plans = task.plans()
    total = count_steps(plans)  # steps of the learning-rate schedule
    parameters = task.module.parameters()
    optimizer = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True)
    model, optimizer = accelerator.prepare(task.module, optimizer)
    gradients = Gradients(task, model, accelerator, bf16=use_bf16(options.precision, device), parts=options.parts)
    if rank > 0:
        torch.manual_seed(options.seed + rank)  # processes have equal first weights, but different augmentation

    at = Position(seconds=0.0 if begun is None else time.monotonic() - begun)
    checkpoints = checkpoints_of(task, options, out)
    # The main process reads: another host may still see an old listing of the folder.
    state = from_main_process(checkpoints.restore(say) if accelerator.is_main_process else None)
    if state:
        task.module.load_state_dict(state["model"])
        if state["optimizer"] is not None:  # else a finished run is extended
            optimizer.load_state_dict(state["optimizer"])
        if len(state["random"] or ()) == accelerator.num_processes:
            of_all = state["task"]  # the state of the main process alone in checkpoints of older versions
            task.load_state(of_all[rank] if isinstance(of_all, list) else of_all)
            set_random_state(state["random"][rank])
        else:
            torch.manual_seed(options.seed + rank)
        at = Position(**state["position"])
        gradients.parts = max(at.parts, options.parts)
        say(f"resuming from the checkpoint in {out}: epoch {at.epoch}, batch {at.batch + 1}")
    at.epochs = at.epochs or options.epochs
    if at.epochs != options.epochs:
        plans = task.plans(at.epochs)
    started = time.monotonic() - at.seconds
    drawn = time.monotonic()
    steps = count_steps(plans)
    remaining = RemainingTime(steps, done=at.step)

    def reason() -> str | None:
        limits = {"epochs": at.epochs, "patience": options.patience, "extended": at.extended}
        return stop_reason(at.log, criterion=task.criterion, **limits)

    def give_up(why: str) -> NoReturn:
        if at.log:
            at.log[-1]["stopped"] = f"error: {why}"
            if accelerator.is_main_process:
                write_log(out / LOG_FILE, at.log)
        raise TrainingError(why)

    def save_checkpoint(stopping: bool) -> None:
        at.seconds, at.parts = time.monotonic() - started, gradients.parts
        random, of_all = gather(random_state()), gather(task.state())
        if accelerator.is_main_process:
            parts = {"model": task.module.state_dict(), "optimizer": optimizer.state_dict(), "task": of_all}
            checkpoints.save(at.step, {**parts, "random": random, "position": asdict(at)})
        if stopping:
            why = stop.received.name if stop.received else "another process was stopped"
            say(f"{why}: saved a checkpoint in {out}; the same command resumes from it")
            raise KeyboardInterrupt

    with ProgressBar("training", steps, done=at.step, shown=rank == 0) as bar, StopSignals() as stop:
        if device.type == "cuda" and at.step < steps:  # learn now, not after an hour, that a batch does not fit
            random, carried = random_state(), task.state()
            gradients.of(task.heaviest(planned_batches(plans)))
            set_random_state(random)
            task.load_state(carried)
        while reason() is None:
            model.train()
            plan = plans[at.epoch - 1]
            epoch_started, gradients.loading = time.monotonic(), 0.0
            for batch in plan[at.batch :]:
                rate = options.learning_rate * warmup_cosine(
                    at.step + at.ahead, total=total, warmup=options.warmup, begun=at.begun
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                task.expect(plan[at.batch : at.batch + _AHEAD])
                nats = gradients.of(batch)
                norm = float(accelerator.clip_grad_norm_(model.parameters(), options.gradient_clip))
                nats, stopping, due = _sum(accelerator, nats, stop.received is not None, checkpoints.due())
                if math.isfinite(nats) and math.isfinite(norm):
                    optimizer.step()
                    at.nats, at.num_targets = at.nats + nats, at.num_targets + task.num_targets(batch)
                else:
                    at.skipped += 1
                    _leave_out(task, batch, at, out)
                at.batch, at.step, at.ahead = at.batch + 1, at.step + 1, at.ahead + at.pace - 1
                remaining.advance(1)
                bar.advance(note=f"epoch {at.epoch} loss {format_loss(at.loss)}")
                if at.batch < len(plan) and (stopping or due):
                    save_checkpoint(bool(stopping))

            if not at.num_targets:
                give_up(f"no batch of epoch {at.epoch} has a finite loss; {_LOWER_RATE}")
            row = Row()
            if accelerator.is_main_process:
                load_share = gradients.loading / (time.monotonic() - epoch_started)
                scores = task.evaluate()
                row = {
                    "epoch": at.epoch,
                    "step": at.step,
                    "seconds": round(time.monotonic() - started, 1),
                    "load_share": load_share,
                    "memory_mb": round(memory_mb(device), 1),
                    "train_loss": at.loss,
                    **scores,
                    "gradient_norms": gradient_norms(task.module, scale=max(1.0, norm / options.gradient_clip)),
                }
            row = from_main_process(row)
            at.log.append(row)
            if not math.isfinite(row["validation_loss"]):
                give_up(_no_validation_loss(task.module, at.epoch))
            if stopped := reason():
                row["stopped"] = stopped
            elif options.budget_minutes is not None:
                epochs = epochs_within(at.log, epochs=at.epochs, seconds=60 * options.budget_minutes)
                if epochs != at.epochs:
                    say(f"budget: {epochs} epochs in place of {at.epochs}, by the time that the last epochs took")
                    plans = task.plans(epochs)
                    at.plan(epochs, left=count_steps(plans[at.epoch :]), total=total)
                    for display in (bar, remaining):
                        display.expect(count_steps(plans))
            row["epochs"] = at.epochs
            is_best = kept_row(at.log, task.criterion) is row
            if accelerator.is_main_process:
                if is_best:
                    task.save(out / BEST_FILE, row)
                write_log(out / LOG_FILE, at.log)
                left, warning = None if stopped else remaining.seconds(), task.warning(row)
                say(epoch_lines(row, task.line(row), epochs=at.epochs, best=is_best, remaining=left, warning=warning))
                if time.monotonic() - drawn > _DRAWN_EVERY and at.epoch < at.epochs:
                    task.draw(out, at.log)
                    drawn = time.monotonic()
            accelerator.log({name: value for name, value in row.items() if isinstance(value, float)}, step=at.step)
            try:
                task.check(at.log, at.step)
            except TrainingError as error:
                give_up(str(error))
            at.epoch, at.batch, at.nats, at.num_targets = at.epoch + 1, 0, 0.0, 0
            _, stopping = _sum(accelerator, 0.0, stop.received is not None)
            save_checkpoint(bool(stopping))

    if accelerator.is_main_process:
        if (out / BEST_FILE).exists():  # it is gone if the program was killed between these two lines
            (out / BEST_FILE).replace(out / MODEL_FILE)
        checkpoints.remove()
    accelerator.wait_for_everyone()
    for tracker in accelerator.trackers:  # `end_training` would also end the group, which callers still need
        tracker.finish()
    best, name = kept_row(at.log, task.criterion), CRITERION_NAMES[task.criterion]
    say(f"stopped after epoch {at.log[-1]['epoch']} of {at.epochs}: {reason()}")
    say(
        f"kept epoch {best['epoch']}, with the best validation {name}, {best[task.criterion]:.2f}; "
        f"training took {format_duration(time.monotonic() - started)}: {out / MODEL_FILE}"
    )
    for line in task.verdict(at.log, best):
        say(line)
    return at.log


def _accelerator(trackers: Sequence[str], out: Path) -> Accelerator:
    """Set up devices, processes and the named trackers. Raises ConfigError for a tracker that is not installed."""
    known = {str(tracker.value) for tracker in get_available_trackers()}
    if missing := set(trackers) - known:
        raise ConfigError(
            f"training.trackers: {', '.join(sorted(missing))}: is not installed, or Accelerate does not support it; "
            f"install its package with pip; installed trackers: {', '.join(sorted(known)) or 'none'}"
        )
    accelerator = Accelerator(cpu=processes().device.type == "cpu", log_with=list(trackers) or None, project_dir=out)
    accelerator.init_trackers(out.name)
    return accelerator


def _sum(accelerator: Accelerator, nats: float, *flags: bool) -> tuple[float, ...]:
    """Sum the loss over all processes, and for each flag count the processes in which it is set."""
    if accelerator.num_processes == 1:
        return nats, *flags
    values = torch.tensor([nats, *flags], dtype=torch.float64, device=accelerator.device)
    return tuple(accelerator.reduce(values, "sum").tolist())


def _no_validation_loss(module: nn.Module, epoch: int) -> str:
    """Return why the validation loss of an epoch is not finite, and the cure."""
    if all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters()):
        return (
            f"no validation utterance has a finite loss after epoch {epoch}: their texts need more encoder frames than "
            "their recordings have; run `asr check` on the validation manifest, or lower model.subsampling"
        )
    return f"the weights of the model are not finite after epoch {epoch}; {_LOWER_RATE}"


def _leave_out(task: Task[Any], batch: Any, at: Position, out: Path) -> None:
    """Report a batch whose loss or gradient is not finite, and save it. Raises TrainingError after MAX_SKIPPED."""
    named = task.leave_out(batch, out / f"not-finite-{at.step}")
    say(f"epoch {at.epoch}: the loss is not finite; this batch is left out: {named}")
    if at.skipped > MAX_SKIPPED:
        raise TrainingError(
            f"training stopped: {at.skipped} batches had no finite loss. Look at the last batch, {named}, and "
            f"{_LOWER_RATE}" + (f". The best model so far is {out / BEST_FILE}" if at.log else "")
        )
