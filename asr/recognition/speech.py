"""Samples -> where speech begins and ends, by level in frequency bands; steady noise, hum and faint sounds are pauses.

A frame is speech by three criteria. It rises above the floor of its bands, which steady sounds do not. It is not far
below the loud frames of the recording, which faint sounds are. And where sounds that are neither steady nor faint fill
the pauses, as music does, it is near a frame of the louder of two classes (Otsu's threshold).
"""

import numpy as np

STEP, _WINDOW = 0.01, 0.032  # seconds from frame to frame, and of each frame
REACH = 3  # steps: half a window, and the frame beside it that is averaged
_BANDS, _LOWEST, _HIGHEST = 20, 150.0, 6000.0  # number of bands, equally wide in mel; Hz
_SMOOTH = 3  # frames that are averaged
_FLOOR = 10.0  # percentile of the frames of a band that is its floor
_HIGH = 5  # bands, those farthest above their floors, that are averaged: speech does not fill all bands at once
_ABOVE = 5.5  # decibels that speech is above the floor, on average over these bands
_MOST = 30.0  # decibels above the floor that count in this average
_LOUD = 98.0  # percentile of the frames whose level is called loud
_BELOW = 23.5  # decibels that a frame of speech is below the loud level, at most
_PEAK = 17.0  # decibels that the loudest frame of a span of speech is below the loud level, at most
_CLASSES = 12.0, 23.0  # decibels below the loud level between which the threshold of the louder class lies
_RANGE = 40.0  # decibels below the loud level that are divided into two classes
_FILLED = 0.3  # share of the frames apart from the louder class that a recording without pauses exceeds
_NEAR = 0.12  # seconds around the louder class that belong to its speech
_SHORTEST = 0.05  # seconds of a sound that is no click
_DIP = 0.3  # seconds between two sounds of one span, at most
_SILENT = 1e-10  # power that is added, which makes the level of digital silence -100 dB

Spans = list[tuple[int, int]]


def find_speech(samples: np.ndarray, sample_rate: int) -> Spans:
    """Find speech in samples `(N,)`: the first sample and the end of each sound, in order."""
    if len(samples) < round(_WINDOW * sample_rate):
        return []
    step = round(STEP * sample_rate)
    found = speech_frames(band_powers(samples, sample_rate))
    return [(first * step, min(end * step, len(samples))) for first, end in found]


def speech_frames(bands: np.ndarray) -> Spans:
    """Find speech in the powers of bands `(T, bands)`: the first frame and the end of each sound, in order."""
    above, level = _levels(bands)
    level -= np.percentile(level, _LOUD)
    audible = (above > _ABOVE) & (level > -_BELOW)
    nearest, farthest = _CLASSES
    louder = (above > _ABOVE) & (level > np.clip(_otsu(level[level > -_RANGE]), -farthest, -nearest))
    near = _windows(_without_clicks(louder), round(_NEAR / STEP)).any(axis=-1)
    if (audible & ~near).sum() > _FILLED * (~near).sum():
        audible &= near
    sounds = _runs(_without_clicks(audible))
    return [
        span
        for first, end in between_pauses(sounds, round(_DIP / STEP))
        if level[first:end].max() > -_PEAK
        for span in sounds
        if first <= span[0] < end
    ]


def between_pauses(sounds: Spans, pause: int) -> Spans:
    """Join sounds with less than `pause` between them into spans between longer pauses."""
    joined: Spans = []
    for first, end in sounds:
        if joined and first - joined[-1][1] < pause:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
    return joined


def band_powers(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean power of each band `(T, bands)`, smoothed over time; frame `t` is centred on `t` steps.

    A frame depends on samples up to `REACH` steps before and after its centre.
    """
    size = round(_WINDOW * sample_rate)
    padded = np.pad(samples, (size // 2, size // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: round(STEP * sample_rate)]
    spectra = np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1)  # stays in float32
    power = (np.square(spectra.real) + np.square(spectra.imag)) / size
    mel = np.linspace(_mel(_LOWEST), _mel(min(_HIGHEST, 0.48 * sample_rate)), _BANDS + 1)
    edges = np.unique(np.searchsorted(_mel(np.fft.rfftfreq(size, 1 / sample_rate)), mel))
    bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)
    return _windows(bands, _SMOOTH // 2).mean(axis=-1)


def _levels(bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each frame how far its highest bands are above their floors, and its level without the floors."""
    decibels = 10 * np.log10(bands + _SILENT)
    floor = np.percentile(decibels, _FLOOR, axis=0)
    highest = np.partition(np.clip(decibels - floor, 0, _MOST), -_HIGH, axis=1)[:, -_HIGH:]
    rest = np.maximum(bands - 10 ** (floor / 10), 0).sum(axis=1)
    return highest.mean(axis=1), 10 * np.log10(rest + _SILENT)


def _windows(values: np.ndarray, reach: int) -> np.ndarray:
    """Return for each of `(T, …)` the values up to `reach` before and after it, `(T, …, 2 * reach + 1)`."""
    edges = [(reach, reach), *[(0, 0)] * (values.ndim - 1)]
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, edges, mode="edge"), 2 * reach + 1, axis=0)


def _mel(frequency: np.ndarray | float) -> np.ndarray | float:
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def _otsu(values: np.ndarray) -> float:
    """Return the threshold that divides values into the two classes whose means lie farthest apart (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=80)
    centres = (edges[:-1] + edges[1:]) / 2
    share, mean = counts.cumsum() / counts.sum(), (counts * centres).cumsum() / counts.sum()
    inside = (share > 0) & (share < 1)
    between = np.zeros_like(share)
    between[inside] = np.square(mean[-1] * share - mean)[inside] / (share * (1 - share))[inside]
    return float(centres[between.argmax()])


def _runs(mask: np.ndarray) -> Spans:
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _without_clicks(mask: np.ndarray) -> np.ndarray:
    """Return the mask without runs shorter than a sound of speech."""
    kept = np.zeros_like(mask)
    for first, end in _runs(mask):
        kept[first:end] = end - first >= round(_SHORTEST / STEP)
    return kept
