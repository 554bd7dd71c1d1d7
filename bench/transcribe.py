"""Transcription with a model of 4 layers of 2 x 320 and fresh weights: real-time factor on one core, and the time from
the start of the command to the first word of a recording of 5 s, beside that of importing torch, its lower limit.

Prints one JSON line for each.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import soundfile

from asr.config import Config
from asr.recognition.recognizer import Recognizer
from asr.text import Units

RATE, MINUTES, TURNS = 16000, 10, 3


def main() -> None:
    settings = {"data": {"train": "t.jsonl", "validation": "v.jsonl"}, "model": {"hidden": 320, "layers": 4}}
    recognizer = Recognizer(Config.model_validate(settings), Units("abcdefghijklmnopqrstuvwxyz' "))
    samples = syllables(60 * MINUTES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "long.flac", samples, RATE)
        soundfile.write(folder / "short.wav", samples[: 5 * RATE], RATE)
        recognizer.save(folder / "model.safetensors")
        recognizer.transcribe(folder / "short.wav")  # warms up
        long = [processor_seconds(recognizer, folder / "long.flac") for _ in range(TURNS)]
        command = ["-m", "asr", "transcribe", str(folder / "model.safetensors"), str(folder / "short.wav")]
        first = [wall_seconds(*command) for _ in range(TURNS)]
        limit = [wall_seconds("-c", "import torch") for _ in range(TURNS)]
    device = "1 CPU thread"
    factor = {"real_time_factor": round(min(long) / (60 * MINUTES), 5), "goal": 0.01, "minutes": MINUTES}
    start = {"seconds": round(min(first), 2), "import_torch_seconds": round(min(limit), 2), "goal": 3.0}
    print(json.dumps({"bench": "transcribe", "device": device, "shape": {"layers": 4, "hidden": 320}, **factor}))
    print(json.dumps({"bench": "transcribe_start", "device": device, "recording_seconds": 5, **start}))


def syllables(seconds: int) -> np.ndarray:
    """Make a sound that rises and falls like speech, with a pause every 4 s."""
    time = np.arange(seconds * RATE) / RATE
    loudness = np.maximum(0, np.sin(2 * np.pi * 4 * time)) * (time % 4 < 3.5)
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * loudness * noise).astype(np.float32)


def processor_seconds(recognizer: Recognizer, path: Path) -> float:
    """Return the processor time of all threads in seconds: reading counts, other programs do not."""
    started = time.process_time()
    recognizer.transcribe(path)
    return time.process_time() - started


def wall_seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
