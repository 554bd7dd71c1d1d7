"""Load on `asr serve`: many clients at once, beside one direct `asr transcribe` of the same recordings.

    python bench/serve.py MODEL MANIFEST [--clients N] [--requests N] [--memory N] [--options "…" …]

Prints a JSON line for each: the direct call; for each set of options of `asr serve`, throughput as a share of the
direct call without its start, latency of one client alone and of all at once (median and 95th percentile in ms), mean
batch, lost answers (no status 200) and crossed ones (another text or duration than the direct call has), processor
milliseconds of a request and memory before and after, of the web process and of the model process; and the memory over
`--memory` further requests. The clients run on this machine too: a part of the processor is theirs.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import soundfile

from asr.corpus.manifest import read_manifest
from asr.files import to_json

Answer = tuple[str, float]  # text, seconds of audio
_SETS = ("--batch 1", "--batch 32", "--batch 32 --latency 0.02")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path, help="whole recordings, not parts of them")
    parser.add_argument("--clients", type=int, default=200, help="clients at once (default: 200)")
    parser.add_argument("--requests", type=int, default=1000, help="requests of all clients (default: 1000)")
    parser.add_argument("--memory", type=int, default=0, help="further requests, for the memory (default: none)")
    parser.add_argument("--options", nargs="+", default=_SETS, help="sets of options of asr serve")
    arguments = parser.parse_args()
    paths = [utterance.audio for utterance in read_manifest(arguments.manifest)]
    texts, (direct, computed) = transcribed(arguments.model, paths)
    _, (start, start_computed) = transcribed(arguments.model, paths[:1])
    rate, each = len(paths) / (direct - start), 1000 * (computed - start_computed) / len(paths)
    show("asr transcribe", recordings=len(paths), seconds=direct, start=start, per_second=rate, processor_ms=each)
    contents = [path.read_bytes() for path in paths]
    for number, options in enumerate(arguments.options):
        with serving(arguments.model, options) as (url, process):
            asyncio.run(load(url, contents, 1, 30, texts))  # what is loaded late is loaded
            alone, _ = asyncio.run(load(url, contents, 1, 60, texts))
            before, batches, used = memory(process), asyncio.run(counted(url)), processor(process)
            begin = time.perf_counter()
            found, faults = asyncio.run(load(url, contents, arguments.clients, arguments.requests, texts))
            seconds = time.perf_counter() - begin
            used = [
                1000 * (now - then) / arguments.requests for now, then in zip(processor(process), used, strict=True)
            ]
            batches = [now - then for now, then in zip(asyncio.run(counted(url)), batches, strict=True)]
            show(
                f"asr serve {options}",
                clients=arguments.clients,
                requests=arguments.requests,
                per_second=arguments.requests / seconds,
                share=arguments.requests / seconds / rate,
                alone_ms=statistics.median(alone),
                median_ms=statistics.median(found),
                p95_ms=sorted(found)[int(0.95 * len(found))],
                processor_ms=[round(one, 2) for one in used],
                batch=batches[0] / batches[1],
                **faults,
                before_mb=before,
                after_mb=memory(process),
            )
            if arguments.memory and number == len(arguments.options) - 1:
                for part in range(1, 11):
                    _, faults = asyncio.run(load(url, contents, 20, arguments.memory // 10, texts))
                    show(f"after {part * arguments.memory // 10} further requests", mb=memory(process), **faults)


def show(name: str, **values: object) -> None:
    """Print a line."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}
    print(to_json({"what": name, **rounded}), flush=True)


def transcribed(model: Path, paths: list[Path]) -> tuple[list[Answer], tuple[float, float]]:
    """Return text and duration of each recording by a direct call, and its seconds: from start to end, of processor."""
    with tempfile.TemporaryDirectory() as folder:
        manifest, output = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        rows = (to_json({"id": str(index), "audio_filepath": str(path.resolve())}) for index, path in enumerate(paths))
        manifest.write_text("".join(f"{row}\n" for row in rows))
        command = [sys.executable, "-m", "asr", "transcribe", str(model), str(manifest), "-o", str(output)]
        begin, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - begin, os.times()
        computed = after.children_user + after.children_system - before.children_user - before.children_system
        texts = [json.loads(line)["hypothesis"] for line in output.read_text().splitlines()]
        durations = [round(soundfile.info(path).duration, 3) for path in paths]  # tell recordings of one text apart
        return list(zip(texts, durations, strict=True)), (seconds, computed)


@contextmanager
def serving(model: Path, options: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run `asr serve` on a free port."""
    command = [sys.executable, "-m", "asr", "serve", str(model), "--port", "0", "--queue", "1000", *options.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("listening on "):
                yield line.split()[-1], psutil.Process(process.pid)
                return
        raise SystemExit("".join(said))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def processes(process: psutil.Process) -> list[psutil.Process]:
    """Return the web process and the model processes."""
    return [process, *(one for one in process.children() if any("spawn_main" in part for part in one.cmdline()))]


def memory(process: psutil.Process) -> list[float]:
    """Return the resident megabytes of the web process and of each model process."""
    return [round(one.memory_info().rss / 1e6, 1) for one in processes(process)]


def processor(process: psutil.Process) -> list[float]:
    """Return the processor seconds of the web process and of each model process."""
    return [one.cpu_times().user + one.cpu_times().system for one in processes(process)]


async def load(
    url: str, contents: list[bytes], clients: int, requests: int, expected: list[Answer]
) -> tuple[list[float], dict[str, int]]:
    """Send requests from clients at once; return milliseconds, and the numbers of lost and of crossed answers."""
    place = urlsplit(url)
    numbers = iter(range(requests))
    found: list[float] = []
    faults = {"lost": 0, "crossed": 0}

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for number in numbers:
            index = number % len(contents)
            content = contents[index]
            begin = time.perf_counter()
            head = f"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            writer.write(head.encode() + content)
            status, body = await answer(reader)
            found.append(1000 * (time.perf_counter() - begin))
            if status != 200:
                faults["lost"] += 1
                continue
            row = json.loads(body)
            faults["crossed"] += (row["text"], row["duration"]) != expected[index]
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found, faults


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a response: its status and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    return int(head.split()[1]), await reader.readexactly(int(length[1]))


async def counted(url: str) -> list[float]:
    """Return how many recordings were computed so far, and in how many batches."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    _, body = await answer(reader)
    writer.close()
    found = re.findall(rb"^asr_batch_size_(?:sum|count) ([0-9.e+]+)", body, re.MULTILINE)
    return sorted(map(float, found), reverse=True)


if __name__ == "__main__":
    main()
