"""Steady sounds: silence, hum and noise, whose level hardly varies, and which hold no speech."""

import math

import numpy as np

from asr.text import BLANK

_FRAME = 0.03  # seconds
_STEADY = 1.4  # variation of the level of a steady sound, at most, as a multiple of white noise
_SURE = -30.0  # log-probability of every unit in a steady sound


def is_steady(samples: np.ndarray, sample_rate: int) -> bool:
    """Tell whether the level of samples `(N,)` hardly varies, as in silence, hum and noise, but never in clear speech.

    Between the 5th and 95th percentile, 30 ms frames of white noise differ by 3.29 deviations of a chi-square
    distribution. The differences of neighbouring samples are measured, which removes rumble.
    """
    size = round(_FRAME * sample_rate)
    steps = np.diff(samples)
    if len(steps) < size:
        return not steps.any()
    levels = 10 * np.log10(np.square(steps[: len(steps) // size * size]).reshape(-1, size).mean(axis=1) + 1e-9)
    low, high = np.percentile(levels, [5, 95])
    return bool(high - low < _STEADY * 3.29 * 10 / math.log(10) * math.sqrt(2 / size))


def blank(frames: int, num_units: int) -> np.ndarray:
    """Return log-probabilities `(S, V)` of frames that are all blank, float32."""
    log_probs = np.full((frames, num_units), _SURE, np.float32)
    log_probs[:, BLANK] = 0.0
    return log_probs
