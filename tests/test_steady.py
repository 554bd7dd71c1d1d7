"""Silence, hum and white noise decode to nothing, on every trained model there is, however it decodes."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY

from asr.decoding.decoder import Decoder
from asr.decoding.phrases import Phrases
from asr.errors import ModelFileError
from asr.recognition.recognizer import Recognizer, load

RUNS = Path(os.environ.get("ASR_RUNS") or REPOSITORY / "runs")
MODELS = sorted(RUNS.glob("*/model*.safetensors"), key=lambda path: path.stat().st_mtime)[-6:]


def steady_sounds(rate: int) -> list[np.ndarray]:
    """Two seconds of each, faint and loud."""
    generator = np.random.default_rng(0)
    time = np.arange(2 * rate) / rate
    hum = np.sum([np.sin(2 * np.pi * 50 * number * time) / number for number in range(1, 9)], axis=0)
    noise = generator.standard_normal(len(time))
    sounds = [0 * time, *(level * sound for level in (0.003, 0.1) for sound in (hum, noise, hum + 0.3 * noise))]
    return [sound.astype(np.float32) for sound in sounds]


def assert_nothing_is_said(recognizer: Recognizer) -> None:
    """By no decoder; test_recipes.py asks the same of the models that it trains."""
    sounds = steady_sounds(recognizer.sample_rate)
    assert recognizer.recognize(sounds) == [""] * len(sounds)
    rows = [None] * len(sounds)
    for indices, log_probs, lengths in recognizer.batches([len(s) for s in sounds], sounds.__getitem__):
        for index, row, length in zip(indices, log_probs, lengths.tolist(), strict=True):
            rows[index] = row[:length].numpy()
    word = recognizer.units.symbols[-1]
    for decoder in (Decoder(recognizer.units), Phrases([word], recognizer.units, recognizer.rejection)):
        assert [best.units for (best,) in decoder.decode_n_best(rows, 1)] == [()] * len(sounds)


@pytest.mark.skipif(not MODELS, reason=f"no trained model in {RUNS}; train one with `make demo`, or set ASR_RUNS")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_said_in_steady_sounds(path: Path) -> None:
    try:
        recognizer = load(path, "cpu")
    except ModelFileError as error:
        pytest.skip(f"is of an older version: {error}"[:200])
    assert_nothing_is_said(recognizer)
