"""Speed of the CTC loss and its gradient: our loss for CUDA beside PyTorch's, whose gradient there varies.

Prints one JSON line for each size: milliseconds of both losses on the GPU (on the CPU, if there is no GPU), and of
PyTorch's loss on the CPU, including copies to the CPU and back.
"""

import json
from collections.abc import Callable
from functools import partial
from timeit import timeit

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.benchmark import timer

from asr.nn.ctc import steady_ctc_loss
from asr.text import BLANK

SIZES = ((8, 110, 33, 40), (24, 110, 33, 40), (128, 110, 33, 40), (24, 400, 33, 150), (24, 110, 3000, 20))
CALLS, TURNS = 5, 4
Loss = Callable[[Tensor, Tensor, list[list[int]]], Tensor]


def torch_ctc_loss(log_probs: Tensor, lengths: Tensor, targets: list[list[int]]) -> Tensor:
    flat = torch.tensor([unit for target in targets for unit in target])
    sizes = torch.tensor([len(target) for target in targets])
    return functional.ctc_loss(log_probs.transpose(0, 1), flat, lengths.cpu(), sizes, blank=BLANK, reduction="none")


def on_cpu(log_probs: Tensor, lengths: Tensor, targets: list[list[int]]) -> Tensor:
    return torch_ctc_loss(log_probs.cpu(), lengths, targets).to(log_probs.device)


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    losses: dict[str, Loss] = {"ours": steady_ctc_loss, "PyTorch's": torch_ctc_loss, "PyTorch's, CPU": on_cpu}
    for batch, frames, units, size in SIZES:
        scores = torch.randn(batch, frames, units, device=device, requires_grad=True)
        lengths = torch.randint(frames * 9 // 10, frames + 1, (batch,)).to(device)
        targets = torch.randint(1, units, (batch, size)).tolist()

        def step(loss: Loss, data: tuple[Tensor, Tensor, list[list[int]]]) -> None:
            loss(data[0].log_softmax(-1), *data[1:]).sum().backward()

        best = dict.fromkeys(losses, float("inf"))
        for turn in range(TURNS + 1):  # the first turn compiles code
            for name, loss in losses.items():
                call = partial(step, loss, (scores, lengths, targets))
                seconds = timeit(call, number=CALLS, timer=timer) / CALLS  # waits for the GPU
                best[name] = min(best[name], seconds) if turn else best[name]
        result = {
            "bench": "ctc_loss",
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
            "batch": batch,
            "frames": frames,
            "units": units,
            "targets": size,
            "ms": {name: round(1000 * seconds, 2) for name, seconds in best.items()},
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
