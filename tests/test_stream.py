"""Streams hear what the offline model hears, however the sound is divided."""

import numpy as np
import pytest
import torch
from oracles import random_waveforms, randomise

from asr.batching import pad
from asr.config import Config
from asr.model import Recognizer
from asr.stream import AcousticStream
from asr.text import Units

RATE = 8000


def streaming(**model: object) -> Recognizer:
    """A small one-directional recogniser with random weights, whose output depends visibly on every input."""
    settings = {
        "data": {"train": "t.jsonl", "validation": "v.jsonl"},
        "features": {"sample_rate": RATE, "bins": 20, "level": "running"},
        "model": {"hidden": 12, "layers": 2, "channels": 4, "bidirectional": False, **model},
    }
    torch.manual_seed(0)
    recognizer = Recognizer(Config.model_validate(settings), Units("abcé "))
    randomise(recognizer.acoustic_model, 0)
    recognizer.features.fit([pad(random_waveforms(9, 4))])
    return recognizer


def chunks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def streamed(recognizer: Recognizer, parts: list[np.ndarray]) -> torch.Tensor:
    stream = AcousticStream(recognizer)
    given = [*(stream.feed(part) for part in parts), stream.feed(np.zeros(0, np.float32), last=True)]
    return torch.cat([log_probs for log_probs in given if log_probs is not None])


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "subsampling": 4},
        {"cell": "gru", "subsampling": 3},
        {"cell": "rnn_tanh", "subsampling": 2},
        {"cell": "rnn_relu", "subsampling": 1, "hidden": 4},
        {"cell": "lstm", "frontend": "stack"},
    ],
)
def test_log_probabilities_are_the_offline_ones_at_any_chunking(options: dict) -> None:
    recognizer = streaming(**options)
    for samples in random_waveforms(3, 3)[:2]:
        expected = recognizer.log_probs(*pad([samples]))[0][0]
        assert len(expected) == recognizer.num_output_frames(len(samples))
        for size in (7, 80, 1000, len(samples)):
            torch.testing.assert_close(streamed(recognizer, chunks(samples, size)), expected, atol=1e-4, rtol=0)


def test_sample_by_sample_and_divided_at_random() -> None:
    recognizer = streaming()
    samples = random_waveforms(4, 1)[0][:3001]
    expected = recognizer.log_probs(*pad([samples]))[0][0]
    torch.testing.assert_close(streamed(recognizer, chunks(samples, 1)), expected, atol=1e-4, rtol=0)
    generator = np.random.default_rng(0)
    for _ in range(5):
        parts = np.split(samples, np.sort(generator.integers(0, len(samples), 12)))  # empty ones too
        torch.testing.assert_close(streamed(recognizer, parts), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [*range(1, 6), 79, 80, 81, 400, 1279, 1280, 1281, 1600])
@pytest.mark.parametrize("options", [{"subsampling": 4}, {"subsampling": 3}, {"frontend": "stack"}])
def test_short_sounds_have_every_frame(length: int, options: dict) -> None:
    recognizer = streaming(**options)
    samples = random_waveforms(5, 1)[0][:length]
    expected = recognizer.log_probs(*pad([samples]))[0][0]
    torch.testing.assert_close(streamed(recognizer, chunks(samples, 33)), expected, atol=1e-4, rtol=0)
