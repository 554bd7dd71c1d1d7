"""Start and speed of streamed training on a manifest of many lines, against one of 10,000 lines.

    python bench/index.py [LINES] [--times N] [--folder FOLDER]

Writes a synthetic manifest (no recordings; default: 5 million lines) and a small one, and builds the index of both.
Then the larger manifest and its index are written ten times one after another (`--times`), 50 million lines and 10
GB, which is faster than building so large an index. A fresh process for each manifest opens its index, plans the
first epoch, and reads the lines of its batches. Prints one JSON line for each manifest. `start_seconds` is from the
start of opening to the first batch. `batches_per_second` are of planning an epoch and of reading its lines, without
audio.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

if TYPE_CHECKING:
    from asr.config import Config

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


def config_of(manifest: Path) -> "Config":
    from asr.config import Config

    settings = {"train": str(manifest), "validation": str(manifest), "stream": True}
    return Config.model_validate({"data": settings, "features": {"sample_rate": RATE}, "augment": {"join": 0.2}})


def measure(manifest: Path) -> dict[str, float]:
    """Open the index of a manifest, or build it, plan an epoch, and read the lines of batches of it."""
    from asr.training.build import plan_epochs
    from asr.training.data import Corpora
    from asr.training.streamed import open_streamed

    config = config_of(manifest)
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


def repeat(manifest: Path, times: int) -> Path:
    """Write a manifest and its index several times one after another, as one; return the manifest."""
    from asr.corpus.index import _TAIL, COLUMNS, Header, Index, open_index
    from asr.training.streamed import line_rules

    index: Index = open_index(manifest, line_rules(config_of(manifest)))
    larger = manifest.with_name(f"{times}-{manifest.name}")
    size = manifest.stat().st_size
    with larger.open("wb") as file:
        for _ in range(times):
            with manifest.open("rb") as part:
                shutil.copyfileobj(part, file, 1 << 24)
    changes = {name: times * getattr(index.header, name) for name in ("size", "lines", "samples", "units")}
    changes |= {name: [times * n for n in getattr(index.header, name)] for name in ("infeasible", "encoder_frames")}
    header = Header(**asdict(index.header) | changes | {"modified": larger.stat().st_mtime_ns})
    content = json.dumps(asdict(header)).encode()
    with index.path.with_name(index.path.name.replace(manifest.name, larger.name)).open("wb") as file:
        for name in COLUMNS:
            for turn in range(times):
                file.write((index.columns[name] + (turn * size if name == "offset" else 0)).tobytes())
        file.write(content + _TAIL.pack(len(content), hashlib.sha256(content).digest()))
    return larger


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lines", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--times", type=int, default=10, help="how often the lines are repeated (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder for the manifests (default: a temporary one)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)), flush=True)
        return
    os.environ.pop("ASR_CACHE", None)  # the index lies beside its manifest
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        small, large = (Path(folder) / f"{lines}.jsonl" for lines in (SMALL, options.lines))
        for manifest, lines in ((small, SMALL), (large, options.lines)):
            write_manifest(manifest, lines)
            building = in_process(manifest)["open_seconds"]
            tell(manifest, building_seconds=building, lines_per_second_of_building=round(lines / building))
        tell(repeat(large, options.times))


def tell(manifest: Path, **more: float) -> None:
    """Print what a fresh process measures of a manifest whose index is there."""
    begun = time.perf_counter()
    result = in_process(manifest)
    seconds = round(time.perf_counter() - begun, 2)  # with the import of the program
    sizes = {
        "manifest_mb": round(manifest.stat().st_size / 1e6),
        "index_mb": round(sum(path.stat().st_size for path in manifest.parent.glob(f"{manifest.name}*.idx")) / 1e6),
    }
    print(json.dumps({"bench": "index", **result, **sizes, **more, "process_seconds": seconds}), flush=True)


def in_process(manifest: Path) -> dict[str, float]:
    """Measure a manifest in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(manifest)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
