"""Pauses made of an utterance's own quiet frames, which have the spectrum and the level of its room."""

import math

import numpy as np
import torch

_FRAME = 0.04  # seconds
_STEPS = 4  # frames begin every quarter of a frame
_SHARE, _FEWEST = 0.1, 4  # share and fewest number of frames that count as quiet


def make_pause(samples: np.ndarray, length: int, sample_rate: int) -> np.ndarray:
    """Make a pause of `length` samples, float32, from the quietest frames of `samples` `(N,)`.

    The frames are drawn with either sign, and half of each overlaps the next one. Random numbers come from torch's
    default generator.
    """
    hop = round(_FRAME * sample_rate / 2)
    padded = np.pad(samples, (0, max(0, 2 * hop - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[:: max(1, 2 * hop // _STEPS)]
    quiet = np.argsort(frames.var(axis=1), kind="stable")[: max(_FEWEST, round(_SHARE * len(frames)))]
    count = math.ceil(length / hop) + 1
    drawn = frames[quiet[torch.randint(len(quiet), (count,)).numpy()]]
    signs = 2 * torch.randint(2, (count, 1)).numpy() - 1
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))  # the squares of two that overlap sum to 1
    shaped = (drawn - drawn.mean(axis=1, keepdims=True)) * signs * window
    pause: np.ndarray = (shaped[:-1, hop:] + shaped[1:, :hop]).ravel()[:length].astype(np.float32)
    return pause
