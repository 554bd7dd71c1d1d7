"""Benchmark of packed audio: speed of packing, speed of reading batches against decoding the files, and memory.

It prints one JSON line per result. The recordings are noise, in utterances of 2 to 10 seconds. `--hours 0.5,4` sets the
sizes for the comparison of memory. Packed audio and files are read in turns, one epoch of padded batches each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16000
LAYOUTS = (("wav", 16000), ("flac", 16000), ("wav", 44100), ("mp3", 16000))
TURNS = 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--hours", default="0.25,2", help="sizes of the corpora, separated by commas (default: %(default)s)"
    )
    arguments.add_argument("--memory-of", nargs=2, metavar=("MANIFEST", "PACKED"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.memory_of:
        print(json.dumps(memory(*map(Path, options.memory_of))))
        return
    sizes = [float(hours) for hours in options.hours.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for extension, rate in LAYOUTS:
            print(
                json.dumps(speed(make(Path(folder), sizes[0], extension, rate), f"{extension} {rate} Hz")), flush=True
            )
        for hours in sizes:
            manifest = make(Path(folder), hours, "wav", 16000)
            # Each size has a process of its own, so that its peak of memory is its own too.
            command = [sys.executable, __file__, "--memory-of", str(manifest), f"{manifest}.memory.arrow"]
            measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(json.dumps({"bench": "pack_memory", "hours": hours, **measured}), flush=True)


def make(folder: Path, hours: float, extension: str, rate: int) -> Path:
    """Write a corpus of about `hours` hours, cut from one signal of noise, and return its manifest."""
    from asr.corpus.manifest import write_manifest
    from asr.utterance import Utterance

    generator = np.random.default_rng(0)
    noise = generator.normal(0, 0.1, 60 * rate).clip(-1, 1)
    corpus = folder / f"{hours}-{extension}-{rate}"
    corpus.mkdir(exist_ok=True)
    utterances = []
    for number in range(round(hours * 600)):  # 6 seconds on average
        length, start = generator.integers(2 * rate, 10 * rate), generator.integers(0, 50 * rate)
        path = corpus / f"{number}.{extension}"
        soundfile.write(path, noise[start : start + length], rate, subtype=None if extension == "mp3" else "PCM_16")
        utterances.append(Utterance(str(number), path, "text"))
    write_manifest(corpus / "all.jsonl", utterances)
    return corpus / "all.jsonl"


def speed(manifest: Path, layout: str) -> dict[str, object]:
    """Measure the hours packed per minute, and the batches per second from the packed file and from the recordings."""
    from asr.batching import pad, plan_batches
    from asr.corpus.manifest import read_manifest
    from asr.corpus.pack import pack

    utterances = read_manifest(manifest)
    started = time.perf_counter()
    corpus = pack(utterances, RATE, manifest.with_suffix(".arrow"))
    packing = time.perf_counter() - started
    plan = plan_batches(corpus.num_samples, max_samples=120 * RATE, max_utterances=64)

    def from_file(index: int) -> np.ndarray:
        samples, rate = soundfile.read(utterances[index].audio, dtype="float32")
        return samples if rate == RATE else soxr.resample(samples, rate, RATE)

    def epoch(read: Callable[[int], np.ndarray]) -> float:
        started = time.perf_counter()
        for batch in plan:
            pad(read(index) for index in batch)
        return time.perf_counter() - started

    turns = [(epoch(corpus.audio), epoch(from_file)) for _ in range(TURNS)]
    packed, files = map(min, zip(*turns, strict=True))
    return {
        "bench": "pack",
        "recordings": layout,
        "hours": round(corpus.seconds / 3600, 3),
        "cpus": os.cpu_count(),
        "hours_packed_per_minute": round(corpus.seconds / 60 / packing, 2),
        "batches_per_second": {"packed": round(len(plan) / packed, 1), "soundfile": round(len(plan) / files, 1)},
        "times_faster_than_soundfile": round(files / packed, 2),
    }


def memory(manifest: Path, packed: Path) -> dict[str, float]:
    """Measure the memory (MB) of this process beyond its imports, while packing and while reading every utterance.

    Pages of the packed file are resident after reading, but the system can take them back. It cannot take back
    `anonymous` memory.
    """
    from asr.corpus.manifest import read_manifest
    from asr.corpus.pack import pack

    imported = resident("VmRSS")
    utterances = read_manifest(manifest)
    with_manifest = resident("VmRSS")
    corpus = pack(utterances, RATE, packed)
    packing = resident("VmHWM")  # ru_maxrss would include memory of the parent process
    before_reading = resident("RssAnon")
    for index in range(len(corpus)):
        corpus.audio(index)
    return {
        "manifest_MB": round(with_manifest - imported, 1),
        "packing_MB": round(packing - with_manifest, 1),
        "reading_anonymous_MB": round(resident("RssAnon") - before_reading, 1),
        "resident_after_reading_MB": round(resident("VmRSS"), 1),
        "packed_file_MB": round(packed.stat().st_size / 1e6, 1),
    }


def resident(kind: str) -> float:
    """Return memory of this process in MB from Linux: `VmRSS` now, `VmHWM` at most, `RssAnon` without files."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{kind}:"))


if __name__ == "__main__":
    main()
