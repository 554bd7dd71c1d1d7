"""How large a model, how many epochs, and of which batches, a stated time allows on this machine."""

import time
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import nn

from asr.batching import Joined
from asr.config import Config
from asr.training.build import plan_epochs
from asr.training.hardware import use_bf16
from asr.training.sizes import worth_training
from asr.training.speech import SpeechTask

MIN_EPOCHS, MIN_STEPS = 8, 3000  # fewer leave the larger model behind the smaller one
MAX_EPOCHS = 100
MIN_UTTERANCES = 8  # in a batch; smaller ones use the processor badly
_RESERVE = 0.9  # of the time is planned for
_EVALUATION = 0.35  # share of a training step that recognising as much audio takes
_MEASURED = 3  # steps


def within_budget(task: SpeechTask[Any, Any], seconds: float, say: Callable[[str], None]) -> Config:
    """The configuration of `task` with size, batches and epochs such that training ends, annealed, after `seconds`.

    The largest model is taken that the hours of data are worth and that the time gives enough epochs and steps, if
    need be by smaller batches; each is timed on real batches, so two calls may differ. What is chosen is said.
    """
    worth = worth_training(task.data.training.seconds / 3600)
    planned, epochs, each = task.config, 0, 0.0
    for (layers, hidden), utterances in product(reversed(worth), halves(task.config.training.batch_utterances)):
        if utterances < planned.training.batch_utterances and epochs < MIN_EPOCHS:
            continue  # smaller batches take longer
        model = task.config.model.model_copy(update={"layers": layers, "hidden": hidden})
        training = task.config.training.model_copy(update={"batch_utterances": utterances, "epochs": 1})
        planned = task.config.model_copy(update={"model": model, "training": training})
        (batches,) = plan_epochs(planned, task.data)
        each = epoch_seconds(task, batches, task.model.fresh_network(model).to(task.model.device))
        epochs = min(MAX_EPOCHS, int(_RESERVE * seconds / each))
        if epochs >= max(MIN_EPOCHS, MIN_STEPS / len(batches)):
            break
    say(
        f"budget of {seconds / 60:.3g} minutes: {planned.model.layers} x {planned.model.hidden}, batches of up to "
        f"{planned.training.batch_utterances} utterances, {max(epochs, 1)} epochs of about {each:.1f} s on this machine"
        + ("" if epochs >= MIN_EPOCHS else "; it is too short for this much data, expect a poor model")
    )
    return planned.model_copy(update={"training": planned.training.model_copy(update={"epochs": max(epochs, 1)})})


def halves(utterances: int) -> list[int]:
    """Numbers of utterances in a batch to try: `utterances`, and halves of it down to MIN_UTTERANCES."""
    found = [utterances]
    while found[-1] >= 2 * MIN_UTTERANCES:
        found.append(found[-1] // 2)
    return found


def epoch_seconds(task: SpeechTask[Any, Any], batches: list[list[Joined]], model: nn.Module) -> float:
    """Time of an epoch of `model` with its evaluation, from a few steps on batches of middling length.

    The weights change as little as AdamW lets them: train another copy.
    """
    config, data, device = task.config, task.data, task.model.device
    optimizer = torch.optim.AdamW(model.parameters(), 1e-9, fused=True)
    padded = [task.padded_samples(batch) for batch in batches]
    middling = sorted(range(len(batches)), key=padded.__getitem__)[len(batches) // 2 :][: _MEASURED + 1]
    started, spent = 0.0, 0
    for number, index in enumerate(middling):
        if number == 1 or len(middling) == 1:  # the first step warms up
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
