"""Forward and backward through a bidirectional LSTM on a padded batch: ours against PyTorch's packed sequences.

Prints one JSON line. Both compute the same outputs (tests/test_rnn.py); they take turns in one process.
"""

import json
from functools import partial
from timeit import timeit

import torch
from torch.utils.benchmark import timer

from asr.nn.rnn import RNNLayer

BATCH, FRAMES, HIDDEN, TURNS = 24, 120, 320, 7

seconds_of = partial(timeit, number=1, timer=timer)  # until the GPU is done too


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    lengths = torch.randint(FRAMES * 8 // 10, FRAMES + 1, (BATCH,))
    lengths[0] = FRAMES
    x = torch.randn(BATCH, FRAMES, 2 * HIDDEN, device=device)
    ours = RNNLayer(input_size=2 * HIDDEN, hidden_size=HIDDEN).to(device)
    packed = torch.nn.LSTM(2 * HIDDEN, HIDDEN, batch_first=True, bidirectional=True).to(device)

    def step_ours() -> None:
        ours(x, lengths.to(device))[0].square().mean().backward()

    def step_packed() -> None:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed(sequence)[0].data.square().mean().backward()

    seconds = {"reversed": [seconds_of(step_ours)], "packed": [seconds_of(step_packed)]}  # the first turn warms up
    for _ in range(TURNS):
        seconds["reversed"].append(seconds_of(step_ours))
        seconds["packed"].append(seconds_of(step_packed))
    best = {name: min(times[1:]) for name, times in seconds.items()}
    result = {
        "bench": "recurrent_layer",
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "shape": {"batch": BATCH, "frames": FRAMES, "hidden": HIDDEN},
        "seconds": {name: round(value, 4) for name, value in best.items()},
        "times_faster_than_packed": round(best["packed"] / best["reversed"], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
