"""Benchmark of reading utterances: plain files, packed Arrow and shards, from the disk and over HTTP on this machine.

It prints one JSON line per storage: audio hours read per second of processor time and of the clock, and bytes per hour.
The recordings are those of a manifest, which are copied as WAV and FLAC files of one utterance each. With `--ahead`,
rows are read ahead in threads, in windows, as training does. Each storage is read twice, and the second time is
printed, so that the disk's cache is warm in all of them. The processor time over HTTP includes the server, which runs
in this process.
"""

import argparse
import functools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import soundfile

from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.pack import pack
from asr.corpus.shards import write_shards
from asr.corpus.storage import AudioStore
from asr.utterance import Utterance

WINDOW = 256  # rows that are expected at once


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("--sample-rate", type=int, default=16000, help="Hz (default: %(default)s)")
    arguments.add_argument(
        "--utterances", type=int, default=500, help="utterances of the manifest (default: %(default)s)"
    )
    arguments.add_argument("--ahead", action="store_true", help="read ahead in threads")
    options = arguments.parse_args()
    utterances, rate = read_manifest(options.manifest)[: options.utterances], options.sample_rate
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = pack(utterances, rate, folder / "packed.arrow")
        seconds, rows = corpus.seconds, range(len(corpus))
        report(
            "Arrow", seconds, (folder / "packed.arrow").stat().st_size, lambda: [corpus.audio(index) for index in rows]
        )
        for suffix in ("wav", "flac"):
            files = [folder / f"{index}.{suffix}" for index in rows]
            for index, file in enumerate(files):
                soundfile.write(file, corpus.samples(index), rate)
            plain = [
                Utterance(str(index), file, "text", duration=corpus.num_samples[index] / rate)
                for index, file in enumerate(files)
            ]
            write_manifest(folder / f"{suffix}.jsonl", plain)
            size = sum(file.stat().st_size for file in files)
            measure(suffix, folder, f"{suffix}.jsonl", seconds, size, rate, options.ahead)
        for format in ("flac", "opus"):
            shards = folder / format
            packed = write_shards([str(folder / "wav.jsonl")], shards, sample_rate=rate, format=format)
            measure(f"shards, {format}", shards, "manifest.jsonl", seconds, packed.size, rate, options.ahead)
            with served(shards) as url:
                name = f"shards, {format}, HTTP"
                measure(name, shards, "manifest.jsonl", seconds, packed.size, rate, options.ahead, url)


def measure(
    name: str, folder: Path, manifest: str, seconds: float, size: int, rate: int, ahead: bool, url: str | None = None
) -> None:
    """Read all rows of a manifest in `folder`, or at the address `url` of the folder, and print the rates."""
    rows = [json.loads(line) for line in (folder / manifest).read_text().splitlines()]
    store = AudioStore(url or folder, sample_rate=rate)
    report(name, seconds, size, lambda: read_all(store, rows, ahead))
    store.close()


def read_all(store: AudioStore, rows: Sequence[dict[str, Any]], ahead: bool) -> None:
    if ahead:
        store.expect(rows[:WINDOW])
    for start in range(0, len(rows), WINDOW):
        if ahead:
            store.expect(rows[start + WINDOW : start + 2 * WINDOW])
        for row in rows[start : start + WINDOW]:
            store.read(row)


def report(name: str, seconds: float, size: int, read: Callable[[], object]) -> None:
    """Run `read` twice, and print the rates of the second time."""
    read()
    clock, processor = time.perf_counter(), time.process_time()
    read()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    hours = seconds / 3600
    result = {
        "storage": name,
        "hours": round(hours, 3),
        "hours_per_processor_second": round(hours / processor, 3),
        "hours_per_second": round(hours / clock, 3),
        "megabytes_per_hour": round(size / 1e6 / hours, 1),
    }
    print(json.dumps(result), flush=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP with range requests, and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Ranges, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Ranges(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        with Path(self.translate_path(self.path)).open("rb") as file:
            file.seek(first)
            content = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the output to results."""


if __name__ == "__main__":
    main()
