"""Gradients of a batch: of this process's share of it, in as many parts as memory needs."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from asr.errors import TrainingError
from asr.training.task import Task


class Gradients:
    """Computes those of the parameters of `model`, the module of `task` as `accelerator` has prepared it."""

    def __init__(self, task: Task[Any], model: nn.Module, accelerator: Accelerator, *, bf16: bool) -> None:
        self.task = task
        self.model = model
        self.accelerator = accelerator
        self.bf16 = bf16
        self.parts = 1  # into which each batch is divided: more than one where the whole did not fit in memory
        self.loading = 0.0  # seconds that reading the data has taken

    def of(self, batch: Any, say: Callable[[str], None]) -> float:
        """Takes the gradients of a batch in place of older ones; the loss of this process's share, in nats.

        Where memory does not do, the batch is computed in twice as many parts, as all are from then on, and that is
        said. Raises TrainingError where it does not do for parts of one utterance, or for one of several processes,
        which would leave the others waiting.
        """
        device = self.accelerator.device
        while True:
            self.model.zero_grad()
            try:
                return self._in_parts(batch)
            except torch.OutOfMemoryError:
                if self.accelerator.num_processes > 1 or self.parts >= len(batch):
                    raise TrainingError(
                        f"{device} has too little memory for a batch; lower training.batch_seconds, "
                        "or training.batch_utterances, or model.hidden; checkpoints stay valid"
                    ) from None
                self.parts *= 2
                say(f"{device} is out of memory: from here on each batch is computed in {self.parts} parts")
                torch.cuda.empty_cache()

    def _in_parts(self, batch: Any) -> float:
        task, accelerator = self.task, self.accelerator
        mine = task.split(batch, accelerator.process_index, accelerator.num_processes)
        shares = [share for part in range(self.parts) if len(share := task.split(mine, part, self.parts))]
        targets = task.num_targets(batch) / accelerator.num_processes  # whose gradients are averaged
        nats = 0.0
        for share in shares or [task.split(batch, 0, len(batch))]:  # with nothing to do, it keeps step with the others
            is_last = not shares or share is shares[-1]
            with nullcontext() if is_last else accelerator.no_sync(self.model):
                before = time.monotonic()
                data = task.load(share)
                self.loading += time.monotonic() - before
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.bf16):
                    loss = task.loss(self.model, data) * bool(shares)
                accelerator.backward(loss / targets)
                nats += loss.item()
        return nats
