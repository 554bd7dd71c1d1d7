"""Time budgets: the model size, batches and epochs that fit a stated time on this machine."""

import time
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import nn

from asr.batching import Joined
from asr.config import Config
from asr.progress import format_duration
from asr.run_log import Row
from asr.training.build import plan_epochs
from asr.training.epochs import planned_batches
from asr.training.hardware import memory_mb, use_bf16
from asr.training.sizes import sizes_for
from asr.training.speech import SpeechTask
from asr.wording import counted

MIN_EPOCHS, MIN_STEPS = 8, 3000  # with fewer, a larger model is worse than a smaller one
MAX_EPOCHS = 100
MIN_UTTERANCES = 8  # utterances in a batch; smaller batches waste the processor
_SHARE = 0.97  # planned share of the budget
_CLOSING = 6.0  # seconds that a plan leaves, at least, for the last pictures
_EVALUATION = 0.35  # time to recognise audio, as a share of the time to train on it
_MEASURED = 3  # steps that are timed
_RECENT = 3  # epochs whose mean time is expected of all that are left
_TOLERANCE = 0.04  # share of the budget by which a plan may miss it; closer plans are not changed


def within_budget(task: SpeechTask[Any, Any], seconds: float, say: Callable[[str], None]) -> Config:
    """Return the configuration of `task` with the model size, batches and epochs that fit a budget of `seconds`.

    The chosen model is the largest model for the hours of data that gets enough epochs and steps in the time, with
    smaller batches if necessary. Each size is timed on real batches, so two calls may choose differently. The choice is
    reported.
    """
    sizes = sizes_for(task.data.training.seconds / 3600)
    planned, epochs, each = task.config, 0, 0.0
    for (layers, hidden), utterances in product(reversed(sizes), halves(task.config.training.batch_utterances)):
        if utterances < planned.training.batch_utterances and epochs < MIN_EPOCHS:
            continue  # an epoch of smaller batches takes even longer
        model = task.config.model.model_copy(update={"layers": layers, "hidden": hidden})
        training = task.config.training.model_copy(update={"batch_utterances": utterances, "epochs": 1})
        planned = task.config.model_copy(update={"model": model, "training": training})
        (batches,) = plan_epochs(planned, task.data)
        each = epoch_seconds(task, batches, task.model.fresh_network(model).to(task.model.device))
        epochs = min(MAX_EPOCHS, int(_SHARE * seconds / each))
        if epochs >= max(MIN_EPOCHS, MIN_STEPS / len(batches)):
            break
    say(
        f"budget of {seconds / 60:.3g} minutes: {planned.model.layers} layers of {planned.model.hidden}, batches of up "
        f"to {planned.training.batch_utterances} utterances, {counted('{} epoch<s>', max(epochs, 1))} of about "
        f"{each:.1f} s on this machine"
        + ("" if epochs >= MIN_EPOCHS else "; this is too short for so much data, expect a poor model")
    )
    return planned.model_copy(update={"training": planned.training.model_copy(update={"epochs": max(epochs, 1)})})


def epochs_within(log: Sequence[Row], *, epochs: int, seconds: float) -> int:
    """Return the number of epochs with which a run of `epochs` planned epochs ends after `seconds`.

    The times of the last epochs in `log` decide, so equal logs give equal plans. The first epoch never counts, because
    it compiles code. One more epoch at least is planned, in which the learning rate falls to its end.
    """
    ends = [float(row["seconds"]) for row in log]
    if len(ends) < 2:
        return epochs
    first = max(0, len(ends) - 1 - _RECENT)
    each = (ends[-1] - ends[first]) / (len(ends) - 1 - first)
    end = min(_SHARE * seconds, seconds - _CLOSING)
    missed = ends[-1] + (epochs - len(ends)) * each - end
    if each <= 0 or abs(missed) <= _TOLERANCE * seconds:
        return epochs
    left = max(1, round((end - ends[-1]) / each))
    return min(max(MAX_EPOCHS, epochs), len(ends) + left)


def forecast(task: SpeechTask[Any, Any]) -> list[str]:
    """Return lines with the steps, the time and the memory of a run, measured on a few batches without training."""
    plans, options = task.plans(), task.config.training
    network = task.model.fresh_network(task.config.model).to(task.model.device)
    device = task.model.device
    heaviest = task.heaviest(planned_batches(plans))
    with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(options.precision, device)):
        loss = task.loss(network, task.load(task.split(heaviest, 0, options.parts)))
    loss.backward()
    memory = memory_mb(device)
    each = epoch_seconds(task, plans[0], network)
    seconds = task.padded_samples(heaviest) / task.data.training.sample_rate
    return [
        f"{counted('{} epoch<s>', options.epochs)} of {counted('{} step<s>', len(plans[0]))}; an epoch takes about "
        f"{format_duration(each)}, all epochs about {format_duration(each * options.epochs)} on this machine",
        f"memory: about {memory / 1000:.1f} GB on {device.type}, with the largest batch: {len(heaviest)} utterances, "
        f"{seconds:.0f} s with padding" + (f", in {options.parts} parts" if options.parts > 1 else ""),
    ]


def halves(utterances: int) -> list[int]:
    """Return the batch sizes to try: `utterances`, its half, and so on down to MIN_UTTERANCES."""
    found = [utterances]
    while found[-1] >= 2 * MIN_UTTERANCES:
        found.append(found[-1] // 2)
    return found


def epoch_seconds(task: SpeechTask[Any, Any], batches: list[list[Joined]], model: nn.Module) -> float:
    """Measure the seconds of an epoch of `model` with evaluation, from a few steps on batches of median length.

    The steps change the weights slightly, so pass a model that is not trained afterwards.
    """
    config, data, device = task.config, task.data, task.model.device
    optimizer = torch.optim.AdamW(model.parameters(), 1e-9, fused=True)
    padded = [task.padded_samples(batch) for batch in batches]
    median = sorted(range(len(batches)), key=padded.__getitem__)[len(batches) // 2 :][: _MEASURED + 1]
    started, spent = 0.0, 0
    for number, index in enumerate(median):
        if number == 1 or len(median) == 1:  # do not time the first step, which compiles code
            started = time.perf_counter()
            spent = 0
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(config.training.precision, device)):
            loss = task.loss(model, task.load(batches[index]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        spent += padded[index]
    per_sample = (time.perf_counter() - started) / spent
    return per_sample * (sum(padded) + _EVALUATION * int(data.validation.num_samples.sum()))
