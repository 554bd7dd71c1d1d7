"""Pauses made of an utterance's own quiet frames, which have the spectrum of its room."""

import math

import numpy as np
import torch

_FRAME = 0.04  # seconds
_STEPS = 4  # frames begin every quarter of a frame
_SHARE, _FEWEST = 0.1, 4  # share and fewest number of frames that count as quiet
_BELOW_DB = 25.0  # smallest difference between the levels of speech and pause: a trimmed word has no quiet frame
_LOWER_DB = 20.0  # largest further attenuation: recordings to come may have less noise
_FAINT_DB = 60.0, 80.0  # below the speech: faint noise under every pause, because no room is digitally silent
_SILENCE = 1e-12  # power


def make_pause(samples: np.ndarray, length: int, sample_rate: int) -> np.ndarray:
    """Make a pause of `length` samples, float32, from the quietest frames of `samples` `(N,)`.

    The frames are drawn with either sign, and half of each overlaps the next one. They are at least 25 dB below the
    samples, and are lowered by up to 20 dB. White noise 60 to 80 dB below the samples is added. Random numbers come
    from torch's default generator.
    """
    hop = round(_FRAME * sample_rate / 2)
    padded = np.pad(samples, (0, max(0, 2 * hop - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[:: max(1, 2 * hop // _STEPS)]
    powers = frames.var(axis=1)
    quiet = np.argsort(powers, kind="stable")[: max(_FEWEST, round(_SHARE * len(frames)))]
    power = float(np.square(samples).mean())
    ratio = (float(powers[quiet].mean()) + _SILENCE) / (power + _SILENCE)
    gain_db = min(0.0, -_BELOW_DB - 10 * math.log10(ratio)) - _LOWER_DB * torch.rand(()).item()
    count = math.ceil(length / hop) + 1
    drawn = frames[quiet[torch.randint(len(quiet), (count,)).numpy()]]
    signs = 2 * torch.randint(2, (count, 1)).numpy() - 1
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))  # the squares of two that overlap sum to 1
    shaped = (drawn - drawn.mean(axis=1, keepdims=True)) * signs * window * 10 ** (gain_db / 20)
    low, high = _FAINT_DB
    faint = math.sqrt(power) * 10 ** (-(low + (high - low) * torch.rand(()).item()) / 20)
    room = (shaped[:-1, hop:] + shaped[1:, :hop]).ravel()[:length]
    pause: np.ndarray = (room + faint * torch.randn(length).numpy()).astype(np.float32)
    return pause
