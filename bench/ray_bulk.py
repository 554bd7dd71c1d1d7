"""Bulk transcription on Ray beside one process without Ray: seconds to start, and hours of audio an hour of one core.

    python -m bench.ray_bulk MODEL MANIFEST [--hours 4] [--workers 1 2]

The manifest is repeated until it has `--hours`; its lines need durations. `--shard all/1` and clusters of 1, 2, …
workers on the loopback interface transcribe the same lines, and must give equal bytes. Each first transcribes a single
line: that is the time to start. Every process computes on one thread. Prints a JSON line for each run; `of_shard` is
the rate of one core beside that of `--shard`. A last line has the batches a second of workers that do nothing: what the
command itself can send and take. Exits with 1 if results differ.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from asr.corpus.manifest import read_manifest, write_manifest
from bench.bulk import repeat

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps to the loopback interface
    "RAY_USAGE_STATS_ENABLED": "0",
}

DISPATCH = """
import json, sys, time
from asr.cluster.ray_cluster import cluster
BATCHES = 2000
class Nothing:
    def __call__(self, batch):
        return batch
with cluster(sys.argv[1], room=0):
    import ray.data
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = ray.data.from_items([{"lines": bytes(20_000)}] * BATCHES, override_num_blocks=BATCHES)
    workers = ray.data.ActorPoolStrategy(size=int(sys.argv[2]))
    done = iter(items.map_batches(Nothing, batch_size=1, compute=workers, num_cpus=1).iter_rows())
    next(done)
    begin = time.perf_counter()
    number = sum(1 for _ in done)
    rate = number / (time.perf_counter() - begin)
print(json.dumps({"bench": "ray", "run": "dispatch", "workers": int(sys.argv[2]), "batches_a_second": round(rate)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--hours", type=float, default=4.0, help="hours of audio (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="sizes of clusters (default: 1 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hours = repeat(arguments.manifest, folder / "input.jsonl", arguments.hours)
        write_manifest(folder / "one.jsonl", read_manifest(folder / "input.jsonl")[:1])
        results: list[bytes] = []
        alone = 0.0

        def measure(run: str, options: list[str], workers: int) -> float:
            """Transcribe one line, then all; return the hours of audio an hour of one core."""
            seconds = []
            for source in ("one", "input"):
                begin = time.perf_counter()
                out = folder / run / source
                command = ["transcribe", str(arguments.model), str(folder / f"{source}.jsonl"), "-o", str(out)]
                subprocess.run(
                    [sys.executable, "-m", "asr", *command, *options],
                    check=True,
                    env=ENVIRONMENT,
                    stderr=subprocess.DEVNULL,
                )
                seconds.append(time.perf_counter() - begin)
            merged = folder / f"{run}.jsonl"
            merge = [sys.executable, "-m", "asr", "transcribe", "-o", str(out), "--merge", str(merged)]
            subprocess.run(merge, check=True, stderr=subprocess.DEVNULL)
            results.append(merged.read_bytes())
            start, whole = seconds
            rate = hours * 3600 / (whole - start) / workers
            line = {"bench": "ray", "run": run, "hours": round(hours, 2), "workers": workers}
            line |= {"start_seconds": round(start, 1), "seconds": round(whole, 1)}
            line |= {"hours_a_core_hour": round(rate, 1), "of_shard": round(rate / (alone or rate), 3)}
            print(json.dumps(line | {"equal": results[-1] == results[0]}), flush=True)
            return rate

        alone = measure("shard", ["--shard", "all/1"], 1)
        for workers in arguments.workers:
            with cluster(workers) as address:
                measure(f"ray-{workers}", ["--ray", address], workers)
                if workers == arguments.workers[-1]:
                    nothing = [sys.executable, "-c", DISPATCH, address, str(workers)]
                    subprocess.run(nothing, check=True, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    if len(set(results)) > 1:
        sys.exit("the results differ")


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Start Ray with so many cores on the loopback interface; yield its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        command += ["--node-ip-address=127.0.0.1", f"--num-cpus={workers}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", "--object-store-memory=200000000"]
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        try:
            if not any("Ray runtime started" in line for line in process.stdout):
                sys.exit("Ray did not start; try again when the machine is less busy")
            yield f"127.0.0.1:{port}"
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
