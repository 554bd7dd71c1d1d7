"""Parts of a training step: reading the audio, features with augmentation, forward and backward pass, optimiser.

    python bench/step_parts.py recipes/mboshi/config.yaml data.train=data/subsets/mboshi/train20.jsonl

The rest is settings, as for `asr train --set`. Prints one JSON line: milliseconds of a step, of the clock and of the
processor, and the share of each part. Reading and features could run on a thread of their own; their share bounds what
that can gain.
"""

import json
import os
import sys
import time
from collections import defaultdict

import torch
from torch import Tensor, nn

from asr.config import Config
from asr.training.data import open_data
from asr.training.hardware import keep_memory, steady_numbers
from asr.training.recognition import RecognitionTask
from asr.training.sizes import sized

WARM, TIMED = 20, 60  # steps


@steady_numbers()
def main() -> None:
    keep_memory()
    path, *settings = sys.argv[1:]
    config = Config.load(path, settings)
    torch.manual_seed(config.training.seed)
    data = open_data(config, lambda line: None)
    config = sized(config, data, lambda line: None)
    task = RecognitionTask(config, data, torch.device("cpu"))
    optimizer = torch.optim.AdamW(task.module.parameters(), 1e-4, fused=True)
    clocks = {"clock": time.perf_counter, "processor": time.process_time}  # the processor's: of all threads
    parts: dict[str, dict[str, float]] = {name: defaultdict(float) for name in clocks}
    started: dict[str, float] = {}

    def lap(part: str) -> None:
        for name, clock in clocks.items():
            now = clock()
            parts[name][part] += now - started.get(name, now)
            started[name] = now

    of_features = task.features

    def features(audio: Tensor, lengths: Tensor, shortest: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        lap("forward")  # what the loss does before its features
        result = of_features(audio, lengths, shortest, views)
        lap("features")
        return result

    task.features = features  # type: ignore[method-assign]
    batches = [batch for plan in task.plans(3) for batch in plan][: WARM + TIMED]
    task.module.train()
    for number, batch in enumerate(batches):
        if number == WARM:
            for spent in parts.values():
                spent.clear()
        started.clear()
        lap("reading")
        loaded = task.load(batch)
        lap("reading")
        loss = task.loss(task.module, loaded)
        lap("forward")
        optimizer.zero_grad()
        (loss / task.num_targets(batch)).backward()
        lap("backward")
        nn.utils.clip_grad_norm_(task.module.parameters(), 1.0)
        optimizer.step()
        lap("optimiser")
    total = {name: sum(spent.values()) for name, spent in parts.items()}
    steps = len(batches) - WARM
    print(
        json.dumps(
            {
                "bench": "step_parts",
                "model": f"{config.model.layers} x {config.model.hidden}",
                "utterances": config.training.batch_utterances,
                "views": 2 if config.training.consistency else 1,
                "threads": torch.get_num_threads(),
                "cores": len(os.sched_getaffinity(0)),
                "steps": steps,
                "ms": {name: round(1000 * seconds / steps, 1) for name, seconds in total.items()},
                "shares": {
                    name: {part: round(seconds / total[name], 3) for part, seconds in spent.items()}
                    for name, spent in parts.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
