"""A corpus for the tests of the check, in which faults can be planted, and the recordings that it is made of."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import soundfile

from asr.corpus.check import Report, check, name_splits
from asr.text import Normalizer, Units

RATE = 16000
SPEED = 14.0  # characters per second
WORDS = ("bado", "kela", "mitu", "nosa", "pivu", "rago", "tiwe", "ulga", "yefi", "zomu", "hela", "duke")


def speech(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Return noise `(N,)` that gets louder and softer like syllables; each seed gives another signal."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return 0.05 * generator.standard_normal(len(time)) * (1 + np.sin(2 * np.pi * 4 * time))


def sentence(seed: int) -> str:
    return " ".join(np.random.default_rng(seed).permutation(WORDS)[:6])


def wav(data: bytes, promised: int, rate: int = RATE) -> bytes:
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + promised, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return head + struct.pack("<4sI", b"data", promised) + data


def encoded(samples: np.ndarray, container: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def run_check(folder: Path) -> Report:
    splits, training = name_splits([folder / "train.jsonl", folder / "test.jsonl"])
    return check(
        splits,
        training=training,
        sample_rate=RATE,
        hop_ms=10,
        subsampling=4,
        normalizer=Normalizer(),
        segment=Units(()).split,
    )


class Corpus:
    """A folder with `train.jsonl` and `test.jsonl`; `expected` holds `(verdict, subject)` of each planted fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: dict[str, list[str]] = {"train": [], "test": []}
        self.expected: set[tuple[str, str]] = set()
        self.seed = 0
        for split, count in (("train", 24), ("test", 8)):
            for number in range(count):
                self.add(split, f"{split}-{number}.wav", speaker=f"{split}-{number % 2}")

    def add(
        self, split: str, name: str, samples: np.ndarray | bytes | None = None, text: str | None = "", **row: object
    ) -> None:
        """Add a line and its recording; without `samples` and `text`, they have no fault."""
        self.seed += 1
        text = sentence(self.seed) if text == "" else text
        if samples is None:
            samples = speech(len(text or "some words of usual length") / SPEED, self.seed)
        if isinstance(samples, bytes):
            (self.folder / name).write_bytes(samples)
        else:
            soundfile.write(self.folder / name, samples, RATE)
        row = {"audio_filepath": name, "text": text, **row}
        self.lines[split].append(json.dumps({key: value for key, value in row.items() if value is not None}))

    def plant(self, verdict: str, split: str, name: str, *content: object, **row: object) -> None:
        self.add(split, name, *content, **row)  # type: ignore[arg-type]
        self.expected.add((verdict, name))

    def write(self) -> None:
        for split, lines in self.lines.items():
            (self.folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
