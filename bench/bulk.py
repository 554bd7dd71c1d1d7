"""Bulk transcription of many hours: killed at random and begun again, and with two processes, beside one process.

    python bench/bulk.py MODEL MANIFEST [--hours 20] [--shards 20] [--kills 3]

The manifest is repeated until it has `--hours`; its lines need durations. Four runs transcribe the same lines: `asr
transcribe -o NAME.jsonl`; `--shard all/N` with one process; with two processes; and with one process that is killed
with SIGKILL at random moments, and begun again. All four must give equal bytes. Every process computes on one thread.
Prints a JSON line for each run: seconds, processor seconds, and hours of audio an hour of one core. Exits with 1 if
results differ.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil

from asr.corpus.manifest import read_manifest, write_manifest
from asr.utterance import Utterance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--hours", type=float, default=20.0, help="hours of audio (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=20, help="number of shards (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=3, help="times that a process is killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hours = repeat(arguments.manifest, folder / "input.jsonl", arguments.hours)
        plain = ["transcribe", str(arguments.model), str(folder / "input.jsonl"), "-o"]
        results = {}

        def measure(run: str, *commands: list[str], kills: tuple[float, ...] = ()) -> float:
            """Run commands at once, the first of them again after each kill; return the seconds of all."""
            begin, spent = time.perf_counter(), 0.0
            for moment in kills:
                process = start(commands[0])
                try:
                    process.wait(moment)
                except subprocess.TimeoutExpired:
                    spent += processor_seconds(process)
                    process.kill()
                process.wait()
            before = children_seconds()
            for process in [start(command) for command in commands]:
                if process.wait():
                    sys.exit(f"{run}: exit status {process.returncode}")
            spent += children_seconds() - before
            seconds = time.perf_counter() - begin
            out = Path(commands[0][4])
            if out.is_dir():
                start(["transcribe", "-o", str(out), "--merge", str(folder / f"{run}.jsonl")]).wait()
            results[run] = (folder / f"{run}.jsonl").read_bytes()
            line = {"bench": "bulk", "run": run, "hours": round(hours, 2), "shards": arguments.shards}
            line |= {"seconds": round(seconds, 1), "processor_seconds": round(spent, 1), "kills": len(kills)}
            line |= {"hours_an_hour": round(hours * 3600 / seconds, 1)}
            line |= {"hours_a_core_hour": round(hours * 3600 / spent, 1), "equal": results[run] == results["plain"]}
            print(json.dumps(line), flush=True)
            return seconds

        def sharded(run: str) -> list[str]:
            return [*plain, str(folder / run), "--shard", f"all/{arguments.shards}"]

        measure("plain", [*plain, str(folder / "plain.jsonl")])
        seconds = measure("one process", sharded("one process"))
        measure("two processes", *[sharded("two processes")] * 2)
        moments = random.Random(arguments.seed)
        kills = tuple(moments.uniform(0.1, 0.6) * seconds for _ in range(arguments.kills))
        measure("killed", sharded("killed"), kills=kills)
    if len(set(results.values())) > 1:
        sys.exit("the results differ")


def repeat(manifest: Path, path: Path, hours: float) -> float:
    """Write a manifest of `hours`, the utterances of another one again and again, with new ids; return its hours."""
    utterances = read_manifest(manifest)
    if any(one.duration is None for one in utterances):
        sys.exit(f"{manifest}: has lines without a duration; let asr prepare write it")
    lines: list[Utterance] = []
    seconds = 0.0
    while seconds < hours * 3600:
        one = utterances[len(lines) % len(utterances)]
        lines.append(replace(one, id=f"{one.id}-{len(lines) // len(utterances)}"))
        seconds += one.duration or 0.0
    write_manifest(path, lines)
    return seconds / 3600


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a command of `asr` on one thread."""
    one = {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "asr", *arguments], env={**os.environ, **one}, stderr=subprocess.DEVNULL
    )


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the processor seconds of a process that runs."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def children_seconds() -> float:
    """Return the processor seconds of all processes that ended."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
