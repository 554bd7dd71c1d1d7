"""Pitch bins: how well each fundamental frequency explains the harmonics of a frame.

A pitch bin is the autocorrelation of a frame at the period of one fundamental frequency, divided by that at lag 0: 1 if
the frame repeats itself after this period, about 0 for noise and silence. The autocorrelation is computed from the
fourth root of the power spectrum, so that weak harmonics count, and without the higher frequencies, whose harmonics
drift apart within a window (generalised autocorrelation: Tolonen and Karjalainen 2000,
https://doi.org/10.1109/89.876309).
"""

import numpy as np

LOWEST, HIGHEST = 60.0, 400.0  # Hz, of voices
_FADE = 750.0, 1500.0  # Hz, between which the weight of a frequency falls from 1 to 0


def fundamentals(bins: int) -> np.ndarray:
    """Return the fundamental frequency of each pitch bin in Hz `(K,)`, ascending in equal musical intervals."""
    return np.geomspace(LOWEST, HIGHEST, bins)


def autocorrelation(n_fft: int, sample_rate: int, bins: int) -> np.ndarray:
    """Return the matrix `(n_fft / 2 + 1, K + 1)` from the fourth root of power to the autocorrelation.

    Its columns are the periods of all pitch bins, and lag 0.
    """
    frequencies = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    low, high = _FADE
    weights = np.clip((high - frequencies) / (high - low), 0, 1)
    periods = np.append(1 / fundamentals(bins), 0)
    return weights[:, None] * np.cos(2 * np.pi * frequencies[:, None] * periods)
