"""Gradients of a batch: of the share of this process, in as many parts as are set, or as memory needs."""

import time
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from asr.errors import TrainingError
from asr.training.task import Task
from asr.training.watch import say


class Gradients:
    """Computation of the gradients of `model`, which is the module of `task` prepared by `accelerator`."""

    def __init__(self, task: Task[Any], model: nn.Module, accelerator: Accelerator, *, bf16: bool, parts: int) -> None:
        """Prepare gradients whose share of a batch is divided into `parts`, or more if memory runs out."""
        self.task = task
        self.model = model
        self.accelerator = accelerator
        self.bf16 = bf16
        self.parts = parts
        self.loading = 0.0  # seconds spent reading data

    def of(self, batch: Any) -> float:
        """Compute the gradients of a batch; return the loss of this process's share, in nats.

        If memory runs out, split this and all later batches in two, and log it. Raises TrainingError if a single
        utterance does not fit, or if memory runs out in one of several processes, because the other processes would
        wait for ever.
        """
        device = self.accelerator.device
        while True:
            self.model.zero_grad()
            try:
                return self._in_parts(batch)
            except torch.OutOfMemoryError:
                if self.accelerator.num_processes > 1 or self.parts >= len(batch):
                    raise TrainingError(
                        f"{device} has too little memory for a batch; raise training.parts, or lower "
                        "training.batch_seconds, training.batch_utterances or model.hidden; checkpoints stay valid"
                    ) from None
                self.parts *= 2
                say(f"{device} is out of memory: from now on, each batch is computed in {self.parts} parts")
                torch.cuda.empty_cache()

    def _in_parts(self, batch: Any) -> float:
        task, accelerator = self.task, self.accelerator
        mine = task.split(batch, accelerator.process_index, accelerator.num_processes)
        shares = [share for part in range(self.parts) if len(share := task.split(mine, part, self.parts))]
        targets = task.num_targets(batch) / accelerator.num_processes  # gradients are averaged over processes
        nats = 0.0
        for share in shares or [task.split(batch, 0, len(batch))]:  # a process without a share computes a dummy share
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
