"""The training loop, in the order things happen: one for every task."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list, gather_object

from asr.config import TrainingConfig
from asr.errors import ConfigError, TrainingError
from asr.progress import ProgressBar
from asr.run_log import Row, epochs_without_gain, kept_row, write_log
from asr.training.checkpoint import Checkpoints, StopSignals, random_state, set_random_state
from asr.training.gradients import Gradients
from asr.training.hardware import memory_mb, processes, use_bf16
from asr.training.schedule import warmup_cosine
from asr.training.task import Task
from asr.training.watch import epoch_lines, gradient_norms, say

BEST_FILE = "best.safetensors"  # the best so far, until training is done: an interrupted run leaves no MODEL_FILE
MODEL_FILE, LOG_FILE = "model.safetensors", "log.jsonl"
MAX_SKIPPED = 10  # batches without a finite loss or gradient, before training gives up
_DRAWN_EVERY = 60.0  # seconds between two pictures


@dataclass
class Position:
    """Where a run stands: the next batch, the sums over the epoch so far, and the epochs behind it."""

    epoch: int = 1
    batch: int = 0
    step: int = 0
    nats: float = 0.0
    num_targets: int = 0
    skipped: int = 0
    parts: int = 1  # into which each batch is divided, where the whole does not fit in memory
    seconds: float = 0.0
    log: list[Row] = field(default_factory=list)


def fit(task: Task[Any], options: TrainingConfig, out: Path) -> list[Row]:
    """Trains `task`; leaves `model.safetensors` and `log.jsonl` in `out`, and returns the rows of the log.

    The model of the epoch with the lowest criterion (of equals, the last, which has annealed longest) is kept. The
    same task, seed and machine give the same model, byte for byte, also when the run was interrupted in any way and
    the call repeated: it goes on from the last checkpoint in `out`. Under torchrun each process computes its share of
    every batch. Raises TrainingError where going on is of no use.
    """
    accelerator = _accelerator(options.trackers, out)
    device, rank = accelerator.device, accelerator.process_index
    plans = task.plans()
    total = sum(map(len, plans))
    parameters = task.module.parameters()
    optimizer = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True)
    model, optimizer = accelerator.prepare(task.module, optimizer)
    gradients = Gradients(task, model, accelerator, bf16=use_bf16(options.precision, device))
    if rank > 0:
        torch.manual_seed(options.seed + rank)  # the first weights are the same everywhere, augmentation is not

    at = Position()
    fingerprint = f"{task.fingerprint()} {accelerator.num_processes}"
    checkpoints = Checkpoints(out, fingerprint=fingerprint, minutes=options.checkpoint_minutes)
    if state := checkpoints.restore(say):
        task.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        task.load_state(state["task"])
        set_random_state(state["random"][rank])
        at = Position(**state["position"])
        gradients.parts = at.parts
        say(f"going on from the checkpoint in {out}: epoch {at.epoch}, batch {at.batch + 1}")
    started = time.monotonic() - at.seconds
    drawn = time.monotonic()

    def save_checkpoint(stopping: bool) -> None:
        at.seconds, at.parts = time.monotonic() - started, gradients.parts
        random = gather_object([random_state()])  # of every process
        if accelerator.is_main_process:
            parts = {"model": task.module.state_dict(), "optimizer": optimizer.state_dict(), "task": task.state()}
            checkpoints.save(at.step, {**parts, "random": random, "position": asdict(at)})
        if stopping:
            why = stop.received.name if stop.received else "another process was stopped"
            bar.print(f"{why}: saved in {out}; the same command goes on from here")
            raise KeyboardInterrupt

    with ProgressBar("training", total, done=at.step) as bar, StopSignals() as stop:
        if device.type == "cuda" and at.step < total:  # what does not fit shall be known at once, not after an hour
            random, carried = random_state(), task.state()
            gradients.of(task.heaviest([batch for plan in plans for batch in plan]), bar.print)
            set_random_state(random)
            task.load_state(carried)
        while at.epoch <= options.epochs and not (
            at.log and epochs_without_gain(at.log, task.criterion) >= options.patience
        ):
            model.train()
            plan = plans[at.epoch - 1]
            epoch_started, gradients.loading = time.monotonic(), 0.0
            for batch in plan[at.batch :]:
                rate = options.learning_rate * warmup_cosine(at.step, total=total, warmup=options.warmup)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                nats = gradients.of(batch, bar.print)
                norm = float(accelerator.clip_grad_norm_(model.parameters(), options.gradient_clip))
                nats, stopping, due = _sum(accelerator, nats, stop.received is not None, checkpoints.due())
                if math.isfinite(nats) and math.isfinite(norm):
                    optimizer.step()
                    at.nats, at.num_targets = at.nats + nats, at.num_targets + task.num_targets(batch)
                else:
                    at.skipped += 1
                    _leave_out(task, batch, at, out, bar)
                at.batch, at.step = at.batch + 1, at.step + 1
                bar.advance(note=f"epoch {at.epoch} loss {at.nats / max(at.num_targets, 1):.3f}")
                if at.batch < len(plan) and (stopping or due):
                    save_checkpoint(bool(stopping))

            row = Row()
            if accelerator.is_main_process:
                seconds = time.monotonic() - epoch_started
                row = {
                    "epoch": at.epoch,
                    "step": at.step,
                    "seconds": round(time.monotonic() - started, 1),
                    "load_share": gradients.loading / seconds,
                    "memory_mb": round(memory_mb(device), 1),
                    "train_loss": at.nats / max(at.num_targets, 1),
                    **task.evaluate(),
                    "gradient_norms": gradient_norms(task.module, scale=max(1.0, norm / options.gradient_clip)),
                }
            (row,) = broadcast_object_list([row])
            at.log.append(row)
            is_best = kept_row(at.log, task.criterion) is row
            eta = (time.monotonic() - started) / at.step * (total - at.step)
            if accelerator.is_main_process:
                if is_best:
                    task.save(out / BEST_FILE, row)
                write_log(out / LOG_FILE, at.log)
                bar.print(epoch_lines(row, task.line(row), epochs=options.epochs, best=is_best, eta=eta))
                if time.monotonic() - drawn > _DRAWN_EVERY and at.epoch < options.epochs:
                    task.draw(out, at.log)
                    drawn = time.monotonic()
            accelerator.log({name: value for name, value in row.items() if isinstance(value, float)}, step=at.step)
            task.check(at.log, at.step)
            at.epoch, at.batch, at.nats, at.num_targets = at.epoch + 1, 0, 0.0, 0
            _, stopping = _sum(accelerator, 0.0, stop.received is not None)
            save_checkpoint(bool(stopping))

    if accelerator.is_main_process:
        (out / BEST_FILE).replace(out / MODEL_FILE)
        checkpoints.remove()
    accelerator.wait_for_everyone()
    accelerator.end_training()
    best, last = kept_row(at.log, task.criterion), at.log[-1]
    if last["epoch"] < options.epochs:
        say(f"no better {task.criterion} for {options.patience} epochs: stopped early, after epoch {last['epoch']}")
    say(
        f"kept epoch {best['epoch']}, the one of the lowest validation {task.criterion}, {best[task.criterion]:.2f}, "
        f"after {time.monotonic() - started:.0f} s of training: {out / MODEL_FILE}"
    )
    return at.log


def _accelerator(trackers: Sequence[str], out: Path) -> Accelerator:
    """Devices and processes, and trackers of the run by their names. Raises ConfigError for one that is not there."""
    known = {str(tracker.value) for tracker in get_available_trackers()}
    if missing := set(trackers) - known:
        raise ConfigError(
            f"training.trackers: {', '.join(sorted(missing))}: is not installed, or not known to Accelerate; "
            f"install its package with pip; installed are: {', '.join(sorted(known)) or 'none'}"
        )
    accelerator = Accelerator(cpu=processes().device.type == "cpu", log_with=list(trackers) or None, project_dir=out)
    accelerator.init_trackers(out.name)
    return accelerator


def _sum(accelerator: Accelerator, nats: float, *flags: bool) -> tuple[float, ...]:
    """The loss over all processes, and for each flag in how many it is set."""
    if accelerator.num_processes == 1:
        return nats, *flags
    values = torch.tensor([nats, *flags], dtype=torch.float64, device=accelerator.device)
    return tuple(accelerator.reduce(values, "sum").tolist())


def _leave_out(task: Task[Any], batch: Any, at: Position, out: Path, bar: ProgressBar) -> None:
    """Names a batch whose loss or gradient is not finite, and saves it for study. Raises TrainingError after many."""
    named = task.leave_out(batch, out / f"not-finite-{at.step}")
    bar.print(f"the loss is not finite in epoch {at.epoch}, in the batch of {named}: left out")
    if at.skipped > MAX_SKIPPED:
        raise TrainingError(
            f"{at.skipped} batches had no finite loss: stopped. Look at the last, {named}, and lower "
            f"training.learning_rate; the best model so far is {out / BEST_FILE}, if an epoch was completed"
        )
