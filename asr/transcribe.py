"""Recordings -> transcripts: one model load, many inputs, and no bad file stops the rest."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio import load_audio
from asr.corpus.manifest import Utterance
from asr.errors import AudioError
from asr.model import Recognizer

_WINDOW = 256  # recordings read ahead, then batched by length: bounds memory


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one recording, and its duration in seconds."""

    text: str
    duration: float


def transcribe(
    recognizer: Recognizer, utterances: Sequence[Utterance]
) -> Iterator[tuple[Utterance, Transcript | AudioError]]:
    """Transcribes utterances in their order. A recording that cannot be read gives its AudioError instead."""

    def read(utterance: Utterance) -> np.ndarray | AudioError:
        try:
            return load_audio(
                utterance.audio, recognizer.sample_rate, offset=utterance.offset, duration=utterance.duration
            )
        except AudioError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(utterances), _WINDOW):
            window = utterances[start : start + _WINDOW]
            results = list(pool.map(read, window))
            waveforms = [result for result in results if not isinstance(result, AudioError)]
            texts = iter(recognizer.recognize(waveforms))
            for utterance, result in zip(window, results, strict=True):
                if isinstance(result, AudioError):
                    yield utterance, result
                else:
                    yield utterance, Transcript(next(texts), len(result) / recognizer.sample_rate)


def transcribe_one(recognizer: Recognizer, source: Any, sample_rate: int | None = None) -> Transcript:
    """Transcribes a path, or an array or tensor with its `sample_rate` in Hz. Raises AudioError."""
    is_path = isinstance(source, str | Path)
    samples = load_audio(source, recognizer.sample_rate, source_rate=None if is_path else sample_rate)
    return Transcript(recognizer.recognize([samples])[0], len(samples) / recognizer.sample_rate)
