"""Start and speed of streamed training on a manifest of many lines, against one of 10,000 lines.

    python bench/index.py [LINES] [--folder FOLDER]

Writes a synthetic manifest (no recordings; default: 50 million lines, about 8 GB) and a small one, and builds the index
of both. A fresh process for each then opens the index, plans the first epoch, and reads the lines of its batches.
Prints one JSON line for each manifest. `start_seconds` is from the start of opening to the first batch.
`batches_per_second` are of planning an epoch and of reading its lines, without audio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

SMALL = 10_000  # lines
RATE = 16000  # Hz
READ = 2000  # batches whose lines are read
BLOCK = 100_000  # lines that are made at a time
WORDS = ("the", "of", "and", "recognition", "speech", "is", "language", "a", "small", "corpus", "river", "morning")


def write_manifest(path: Path, lines: int) -> None:
    """Write lines of 1 to 15 s, with about 12 characters a second."""
    generator = np.random.default_rng(0)
    with path.open("w") as file:
        for first in range(0, lines, BLOCK):
            count = min(BLOCK, lines - first)
            seconds = generator.uniform(1, 15, count).round(2)
            words = generator.integers(len(WORDS), size=(count, 32))
            speakers = generator.integers(10_000, size=count)
            file.writelines(
                f'{{"id": "{first + at:08d}", "audio_filepath": "{(first + at) // 1000:05d}/{first + at:08d}.flac", '
                f'"text": "{" ".join(WORDS[w] for w in words[at, : int(2 * seconds[at])])}", '
                f'"duration": {seconds[at]}, "speaker": "s{speakers[at]}"}}\n'
                for at in range(count)
            )


def measure(manifest: Path) -> dict[str, float]:
    """Open the index of a manifest, or build it, plan an epoch, and read the lines of batches of it."""
    from asr.config import Config
    from asr.training.build import plan_epochs
    from asr.training.data import Corpora
    from asr.training.streamed import open_streamed

    settings = {"train": str(manifest), "validation": str(manifest), "stream": True}
    config = Config.model_validate({"data": settings, "features": {"sample_rate": RATE}, "augment": {"join": 0.2}})
    begun = time.perf_counter()
    corpus = open_streamed(config, print)
    opened = time.perf_counter()
    plans = plan_epochs(config, Corpora(corpus, None))  # type: ignore[arg-type]
    plan = plans[0]
    planned = time.perf_counter()
    for batch in plan[:READ]:
        for joined in batch:
            for index in joined.parts:
                corpus.utterance(index)
    read = time.perf_counter()
    again = time.perf_counter()
    batches = len(plans[1])
    return {
        "lines": len(corpus),
        "hours": round(corpus.seconds / 3600),
        "open_seconds": round(opened - begun, 3),
        "start_seconds": round(planned - begun, 3),
        "planned_batches": len(plan),
        "planning_batches_per_second": round(batches / (time.perf_counter() - again), 1),
        "reading_batches_per_second": round(min(READ, len(plan)) / (read - planned), 1),
        "memory_mb": round(psutil.Process().memory_info().rss / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lines", type=int, nargs="?", default=50_000_000)
    parser.add_argument("--folder", type=Path, help="folder for the manifests (default: a temporary one)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)), flush=True)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for lines in (SMALL, options.lines):
            manifest = Path(folder) / f"{lines}.jsonl"
            write_manifest(manifest, lines)
            seconds = []
            for _ in range(2):  # the first process builds the index, the second one opens it
                begun = time.perf_counter()
                command = [sys.executable, __file__, "--measure", str(manifest)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                seconds.append(time.perf_counter() - begun)
                result = json.loads(done.stdout.splitlines()[-1])
                if len(seconds) == 1:
                    building = result["open_seconds"]
            result |= {
                "bench": "index",
                "manifest_mb": round(manifest.stat().st_size / 1e6),
                "index_mb": round(sum(path.stat().st_size for path in Path(folder).glob(f"{lines}*.idx")) / 1e6),
                "building_seconds": building,
                "lines_per_second_of_building": round(lines / building),
                "process_seconds": round(seconds[1], 2),  # with the import of the program
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
