"""Where speech begins and ends: known borders, with and without other sound, and sounds that are no speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from oracles import random_waveforms

from asr.recognition.speech import Spans, between_pauses, find_speech

PAUSE = 0.5  # seconds


def session(rate: int, seed: int = 0, count: int = 20) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Return bursts of sound with pauses of 0.6 to 2 s between them, in faint noise, and their starts and ends."""
    generator = np.random.default_rng(seed)
    parts, bounds, now = [np.zeros(rate)], [], 1.0
    for burst in random_waveforms(seed, count, rate):
        syllables = burst * (1.1 + np.sin(2 * np.pi * 4 * np.arange(len(burst)) / rate))
        pause = np.zeros(int(generator.uniform(0.6, 2) * rate))
        parts += [syllables, pause]
        bounds.append((now, now + len(burst) / rate))
        now += (len(burst) + len(pause)) / rate
    samples = np.concatenate(parts)
    return samples + 2e-4 * generator.standard_normal(len(samples)), bounds


def music(count: int, rate: int) -> np.ndarray:
    """Return chords that decay, a new one every half second."""
    generator = np.random.default_rng(3)
    time = np.arange(rate // 2) / rate
    chords = [
        sum(np.sin(2 * np.pi * note * time) for note in generator.uniform(200, 2000, 6)) * np.exp(-3 * time)
        for _ in range(count // len(time) + 1)
    ]
    return np.concatenate(chords)[:count]


def spans(samples: np.ndarray, rate: int) -> list[tuple[float, float]]:
    found = between_pauses(find_speech(samples.astype(np.float32), rate), round(PAUSE * rate))
    return [(first / rate, end / rate) for first, end in found]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("sound", ["none", "noise", "hum", "music", "far"])
def test_borders(rate: int, sound: str) -> None:
    samples, bounds = session(rate)
    time = np.arange(len(samples)) / rate
    other = {
        "none": 0 * time,
        "noise": 0.03 * np.random.default_rng(1).standard_normal(len(time)),
        "hum": 0.1 * sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9)),
        "music": 0.008 * music(len(time), rate),
        "far": 0.05 * np.roll(samples, len(samples) // 3),
    }
    found = spans(samples + other[sound], rate)
    assert len(found) == len(bounds)
    np.testing.assert_allclose(found, bounds, atol=0.12)


def test_borders_do_not_depend_on_the_gain() -> None:
    samples, _ = session(8000)
    assert spans(samples, 8000) == spans(samples / 16, 8000)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 60.0])
def test_steady_sounds_are_no_speech(seconds: float) -> None:
    rate = 16000
    time = np.arange(int(rate * seconds)) / rate
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9))
    noise = np.random.default_rng(0).standard_normal(len(time))
    for samples in (
        0 * time,
        0 * time + 1,
        0.1 * hum,
        0.05 * hum + 0.005 * noise,
        np.round(noise) / 32768,
        0.1 * noise,
    ):
        found = spans(samples, rate)
        assert sum(end - start for start, end in found) <= 0.02 * seconds


def test_every_spoken_digit_is_found(corpora: Path) -> None:
    rate = 8000
    digits = [soundfile.read(path)[0] for path in sorted((corpora / "fsdd" / "recordings").glob("*_0.wav"))]
    silence = 1e-4 * np.random.default_rng(0).standard_normal(rate)
    bounds, parts, now = [], [silence], 1.0
    for digit in digits:
        bounds.append((now, now + len(digit) / rate))
        parts += [digit / np.abs(digit).max() / 2, silence]
        now = bounds[-1][1] + 1.0
    found = spans(np.concatenate(parts), rate)
    assert len(found) == len(digits) == 60
    for (start, end), (first, last) in zip(found, bounds, strict=True):
        assert first - 0.05 <= start < end <= last + 0.05


def test_between_pauses() -> None:
    sounds: Spans = [(0, 10), (12, 20), (25, 30)]
    assert between_pauses(sounds, 5) == [(0, 20), (25, 30)]
    assert between_pauses(sounds, 2) == sounds and between_pauses([], 5) == []
