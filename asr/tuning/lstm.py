"""A character LSTM of the texts of the n-gram models, which `asr tune` trains by itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asr.config import TrainingConfig
from asr.lm.base import RecurrentModel
from asr.lm.ngram import NGram
from asr.lm.restore import load_for_decoding
from asr.text import Normalizer
from asr.training.language import train

# Characters of text. With fewer, n-grams alone are as good (docs/experiments/decoding.md). With more, training takes
# longer than minutes.
LEAST, MOST = 30_000, 300_000
_SETTINGS: dict[str, Any] = {"cell": "lstm", "hidden": 256, "layers": 1, "dropout": 0.2}
_OPTIONS = TrainingConfig(epochs=20, learning_rate=4e-3, patience=5)


def lstm_of_texts(
    sentences: Sequence[str],
    validation: Sequence[str],
    ngrams: NGram,
    normalizer: Normalizer,
    report: Callable[[str], None],
) -> RecurrentModel | None:
    """Train a character LSTM on normalised sentences; return None for few or many of them.

    `ngrams` is the n-gram model of their characters. The epoch with the lowest perplexity of the `validation` sentences
    is kept.
    """
    size = sum(map(len, sentences))
    if size < LEAST:
        return None
    if size > MOST:
        report(f"{size} characters of text: no LSTM is trained on so many; `asr lm train-rnn` does, for --rnn-lm")
        return None
    report(f"training a character LSTM on {size} characters of text")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "lm.safetensors"
        train(sentences, validation, file, ngrams=ngrams, normalizer=normalizer, options=_OPTIONS, **_SETTINGS)
        return load_for_decoding(file)
