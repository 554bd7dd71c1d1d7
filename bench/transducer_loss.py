"""Speed of the transducer's loss and its gradient: ours, with the joint network in parts, beside torchaudio's.

Torchaudio's loss takes the scores of all units at all places, so PyTorch computes the joint network for it. Prints one
JSON line for each size: milliseconds of processor time on one thread, or of the GPU, and the megabytes of all scores.
Torchaudio's loss needs them beside its gradient, and ours never has them in memory.
"""

import json
import time
from collections.abc import Callable

import torch
import torchaudio
from torch import Tensor

from asr.nn.transducer import transducer_loss

SIZES = ((8, 110, 33, 40, 128), (24, 110, 33, 40, 128), (8, 300, 33, 120, 256), (8, 110, 500, 20, 128))
CALLS, TURNS = 2, 3
Loss = Callable[[list[Tensor], Tensor, Tensor], Tensor]


def ours(parts: list[Tensor], lengths: Tensor, targets: Tensor) -> Tensor:
    frames, units, weight, bias = parts
    return transducer_loss(frames, units, weight, bias, lengths, targets.tolist()).sum()


def of_torchaudio(parts: list[Tensor], lengths: Tensor, targets: Tensor) -> Tensor:
    frames, units, weight, bias = parts
    scores = torch.tanh(frames[:, :, None] + units[:, None]) @ weight.t() + bias
    sizes = torch.full((len(targets),), targets.shape[1], dtype=torch.int32, device=targets.device)
    loss: Tensor = torchaudio.functional.rnnt_loss(
        scores, targets.int(), lengths.int(), sizes, blank=0, reduction="sum"
    )
    return loss


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    losses: dict[str, Loss] = {"ours": ours, "torchaudio's": of_torchaudio}
    for batch, frames, units, size, joint in SIZES:
        shapes = ((batch, frames, joint), (batch, size + 1, joint), (units, joint), (units,))
        parts = [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
        lengths = torch.full((batch,), frames, device=device)
        targets = torch.randint(1, units, (batch, size), device=device)
        best = dict.fromkeys(losses, float("inf"))
        for turn in range(TURNS + 1):  # the first turn compiles code
            for name, loss in losses.items():
                begin = _clock(device)
                for _ in range(CALLS):
                    loss(parts, lengths, targets).backward()
                seconds = (_clock(device) - begin) / CALLS
                best[name] = min(best[name], seconds) if turn else best[name]
        result = {
            "bench": "transducer_loss",
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
            "batch": batch,
            "frames": frames,
            "units": units,
            "targets": size,
            "joint": joint,
            "ms": {name: round(1000 * seconds, 1) for name, seconds in best.items()},
            "scores_mb": round(4e-6 * batch * frames * (size + 1) * units, 1),
        }
        print(json.dumps(result), flush=True)


def _clock(device: torch.device) -> float:
    """Return seconds of this process, which other programs do not lengthen; on a GPU seconds after all work is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
