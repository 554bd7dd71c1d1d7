"""Silence, hum and white noise decode to nothing, by every decoder; test_recipes.py checks it on trained models."""

import numpy as np
import pytest
from conftest import fresh_recognizer

from asr.batching import pad
from asr.decoding.decoder import Decoder
from asr.decoding.phrases import Phrases
from asr.recognition.recognizer import Recognizer


def steady_sounds(rate: int) -> list[np.ndarray]:
    """Make two seconds of each sound, faint and loud."""
    generator = np.random.default_rng(0)
    time = np.arange(2 * rate) / rate
    hum = np.sum([np.sin(2 * np.pi * 50 * number * time) / number for number in range(1, 9)], axis=0)
    noise = generator.standard_normal(len(time))
    sounds = [0 * time, *(level * sound for level in (0.003, 0.1) for sound in (hum, noise, hum + 0.3 * noise))]
    return [sound.astype(np.float32) for sound in sounds]


def assert_nothing_is_said(recognizer: Recognizer) -> None:
    """Assert that no decoder finds a word in steady sounds."""
    sounds = steady_sounds(recognizer.sample_rate)
    assert recognizer.recognize(sounds) == [""] * len(sounds)
    rows = [None] * len(sounds)
    for indices, log_probs, lengths in recognizer.batches([len(s) for s in sounds], sounds.__getitem__):
        for index, row, length in zip(indices, log_probs, lengths.tolist(), strict=True):
            rows[index] = row[:length].numpy()
    word = recognizer.units.symbols[-1]
    for decoder in (Decoder(recognizer.units), Phrases([word], recognizer.units, recognizer.rejection)):
        assert [best.units for (best,) in decoder.decode_n_best(rows, 1)] == [()] * len(sounds)


def test_nothing_is_decoded_in_steady_sounds() -> None:
    """A model with random weights emits units in such sounds, so that the test would see them."""
    recognizer = fresh_recognizer()
    assert all(recognizer.texts(*recognizer.log_probs(*pad([sound]))) != [""] for sound in steady_sounds(8000))
    assert_nothing_is_said(recognizer)


@pytest.mark.parametrize("decoder", ["attention", "joint"])
def test_nothing_is_decoded_with_attention(decoder: str) -> None:
    config = fresh_recognizer().config
    recognizer = Recognizer(
        config.model_copy(update={"model": config.model.model_copy(update={"decoder": decoder})}),
        fresh_recognizer().units,
    )
    sounds = steady_sounds(8000)
    assert recognizer.recognize(sounds) == [""] * len(sounds)
