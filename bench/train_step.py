"""Speed of whole optimiser steps of the acoustic model, beside a model with `nn.LSTM` on padded and packed batches.

Prints one JSON line for each batch size: seconds of audio per second for each model, and the share of the limit, which
is the rate of a large matrix product. All models get equal batches, front ends, losses and optimisers, and take turns
in one process. The padded `nn.LSTM` computes another result, because its backward direction starts in the padding. Run
the program with `make bench`, which sets GOMP_SPINCOUNT as `asr train` does.
"""

import json
from collections.abc import Callable
from functools import partial
from timeit import timeit
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.benchmark import timer

from asr.nn.ctc import ctc_loss
from asr.nn.encoder import AcousticModel
from asr.training.hardware import keep_memory, steady_numbers, use_bf16

HIDDEN, LAYERS, BINS, UNITS, SUBSAMPLING, HOP = 320, 3, 80, 33, 4, 0.01
SECONDS = (2.0, 3.1, 4.5)  # longest utterance of each batch; all others last at least 0.9 of it
TURNS = 3  # timed turns of each model

seconds_of = partial(timeit, number=1, timer=timer)  # waits for the GPU


class Stack(nn.Module):
    """Recurrent layers of the baseline: `nn.LSTM` in two directions, packed or not."""

    def __init__(self, input_size: int, *, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.lengths = torch.zeros(0)
        self.lstm = nn.LSTM(input_size, HIDDEN, LAYERS, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.packed:
            return self.lstm(x)[0]
        sequence = pack_padded_sequence(x, self.lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(sequence)[0], batch_first=True)[0]


class Plain(nn.Module):
    """The baseline: the front end and output layer of `AcousticModel` around a `Stack`."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        model = AcousticModel(num_bins=BINS, num_units=UNITS, subsampling=SUBSAMPLING, hidden=HIDDEN, layers=1)
        self.subsampling, self.output = model.subsampling, model.output
        self.stack = Stack(model.subsampling.output_size, packed=packed)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, lengths = self.subsampling(features, lengths)
        self.stack.lengths = lengths
        return self.output(self.stack(x)).float().log_softmax(-1), lengths


@steady_numbers()
def main() -> None:
    keep_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    for batch_size in (8, 24) if device.type == "cpu" else (8, 24, 128):
        batches = [make_batch(seconds, batch_size, device) for seconds in SECONDS]
        audio = sum(float(batch[1].sum()) * HOP for batch in batches)
        models: dict[str, nn.Module] = {
            "ours": AcousticModel(
                num_bins=BINS, num_units=UNITS, subsampling=SUBSAMPLING, hidden=HIDDEN, layers=LAYERS
            ),
            "padded nn.LSTM": Plain(packed=False),
            "packed nn.LSTM": Plain(packed=True),
        }
        names = [(name, precision) for name in models for precision in ("fp32", "bf16")]
        if not use_bf16("auto", device):
            names = [(name, precision) for name, precision in names if precision == "fp32"]
        steps = {name: make_step(models[name[0]].to(device), batches, device, name[1] == "bf16") for name in names}
        best = dict.fromkeys(steps, float("inf"))
        for turn in range(TURNS + 1):  # the first turn compiles code
            for name, step in steps.items():
                seconds = seconds_of(step)
                best[name] = min(best[name], seconds) if turn else best[name]
        rates = {" ".join(name): audio / seconds for name, seconds in best.items()}
        ours = max(rate for name, rate in rates.items() if name.startswith("ours"))
        result = {
            "bench": "train_step",
            "device": torch.cuda.get_device_name()
            if device.type == "cuda"
            else f"{torch.get_num_threads()} CPU threads",
            "batch": batch_size,
            "audio_seconds_per_second": {name: round(rate, 1) for name, rate in rates.items()},
            "times_faster_than": {
                kind: round(ours / rates[f"{kind} nn.LSTM fp32"], 2) for kind in ("padded", "packed")
            },
            "share_of_matrix_product_rate": round(ours * flops_per_second_of_audio() / peak(device), 2),
        }
        if device.type == "cuda":
            result["share_of_gpu_work_in_rnns"] = round(rnn_share(steps["ours", "bf16"]), 2)
        print(json.dumps(result), flush=True)


def make_batch(seconds: float, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, list[list[int]]]:
    """Draw features `(B, T, F)`, lengths, and targets with 12 units for each second."""
    frames = round(seconds / HOP)
    lengths = torch.randint(frames * 9 // 10, frames + 1, (size,))
    lengths[0] = frames
    targets = [torch.randint(1, UNITS, (round(12 * seconds * 0.9),)).tolist() for _ in range(size)]
    return torch.randn(size, frames, BINS, device=device), lengths.to(device), targets


def make_step(model: nn.Module, batches: list[Any], device: torch.device, bf16: bool) -> Callable[[], None]:
    """Create a function that makes one optimiser step on each batch."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        for features, lengths, targets in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                log_probs, frames = model(features, lengths)
            optimizer.zero_grad()
            (ctc_loss(log_probs, frames, targets).sum() / sum(map(len, targets))).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return step


def rnn_share(step: Callable[[], None]) -> float:
    """Return the share of the recurrent steps in the time of all GPU kernels of a training step."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    kernels = {event.key: event.self_device_time_total for event in profiler.key_averages()}
    return (kernels["_forward"] + kernels["_backward"]) / sum(kernels.values())


def flops_per_second_of_audio() -> float:
    """Return the operations of the recurrent layers per second of audio; the backward pass counts twice."""
    per_frame = LAYERS * 2 * 2 * 4 * HIDDEN * (2 * HIDDEN + HIDDEN)
    return 3 * per_frame / (HOP * SUBSAMPLING)


def peak(device: torch.device) -> float:
    """Measure operations per second of a large matrix product, in the precision that training chooses."""
    dtype = torch.bfloat16 if use_bf16("auto", device) else torch.float32
    a, b = (torch.randn(2048, 2048, device=device, dtype=dtype) for _ in range(2))
    seconds = min(seconds_of(lambda: a @ b) for _ in range(5))
    return 2 * 2048**3 / seconds


if __name__ == "__main__":
    main()
