"""Bulk transcription on a Ray cluster: Ray Data sends batches of lines to models, one on each core or GPU."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Any

from asr.api import load_transcriber
from asr.cluster.bulk import plan_shards
from asr.cluster.folder import BulkFolder
from asr.cluster.job import File
from asr.cluster.ray_cluster import cluster, is_local
from asr.cluster.ray_worker import Attempts, Setup, Worker
from asr.corpus.parquet import SUFFIX, write_parquet
from asr.errors import AsrError
from asr.files import read_lines
from asr.model_file import EXPORTED_SUFFIX
from asr.utterance import Utterance
from asr.version import __version__

_SHARD_SECONDS, _SHARD_LINES = 3600.0, 1000  # most audio of an output file; its lines if durations are unknown
_BATCH_SECONDS, _BATCH_LINES = 600.0, 10  # most audio of a batch; its lines if durations are unknown
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """A batch that was transcribed: the number of its lines, the errors of lines that failed, other messages.

    `total` is the number of lines of all batches.
    """

    lines: int
    errors: tuple[str, ...]
    messages: tuple[str, ...]
    total: int


def count_shards(utterances: Sequence[Utterance]) -> int:
    """Return into how many shards an input is divided: about an hour of audio each, at least one."""
    return _pieces([one.duration for one in utterances], _SHARD_SECONDS, _SHARD_LINES)


def transcribe_shards(
    folder: BulkFolder, read: Callable[[], Sequence[Utterance]], *, model: Path, address: str
) -> Iterator[Done]:
    """Transcribe all open shards of a folder; yield each batch when it is done, in any order.

    `read` is that of `BulkFolder.begin`. A shard is written when all of its batches are done: `NAME.parquet`, then
    `NAME.jsonl`, which marks it as done. `address` is that of `cluster`. If a worker dies, another one repeats its
    batch, and no line is lost or written twice. A line that fails, or ends its worker each time, gets an error.

    Raises AsrError if the cluster cannot be used, and if the options do not fit the model.
    """
    recognizer = load_transcriber(model, "cpu")
    folder.job.options.build_search(recognizer)  # its errors, before anything is started
    folder.begin(read)
    starts = [0, *accumulate(shard.lines for shard in folder.shards)]
    batches = [
        batch
        for number in folder.unfinished()
        for batch in _batches(number, starts[number - 1], folder.utterances(number))
    ]
    for number in set(folder.unfinished()) - {batch.shard for batch in batches}:
        _write(folder, number, [])  # it has no lines
    if not batches:
        return
    everything: bytes | None = None
    if recognizer.equalizes:
        everything = pickle.dumps([one for number in folder.numbers for one in folder.utterances(number)])
        batches = [replace(batch, content=pickle.dumps(None)) for batch in batches]
    del recognizer
    content = model.read_bytes()
    stored = len(content) + len(everything or b"") + sum(len(batch.content) for batch in batches)
    with cluster(address, room=stored):
        workers, device = _workers(folder.job.options.device, exported=model.suffix == EXPORTED_SUFFIX)
        setup = _setup(folder, model, device, shared=not is_local(address))
        found = _compute(batches, setup, content, everything, workers=min(workers, len(batches)))
        yield from _collect(folder, batches, found)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Lines of a shard: their numbers in the whole input, and the pickled utterances."""

    shard: int
    lines: range
    content: bytes


def _pieces(seconds: Sequence[float | None], most_seconds: float, most_lines: int) -> int:
    known = [one for one in seconds if one is not None]
    pieces = sum(known) / most_seconds if len(known) == len(seconds) else len(seconds) / most_lines
    return max(1, ceil(pieces))


def _batches(shard: int, first: int, utterances: Sequence[Utterance]) -> Iterator[_Batch]:
    """Divide a shard into batches of consecutive lines, which a worker computes sorted by length.

    `first` is the number of its first line in the whole input.
    """
    seconds = [one.duration for one in utterances]
    for piece in plan_shards(seconds, _pieces(seconds, _BATCH_SECONDS, _BATCH_LINES)):
        if piece:
            lines = range(first + piece.start, first + piece.stop)
            yield _Batch(shard, lines, pickle.dumps(utterances[piece.start : piece.stop]))


def _workers(device: str | None, *, exported: bool) -> tuple[int, str]:
    """Return the number of workers, and their device: a worker a GPU if the cluster has any, else one a core.

    Raises AsrError if the cluster has none of the `device` that was asked for.
    """
    import ray

    there = ray.cluster_resources()
    cores, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    if gpus and not exported and device != "cpu":
        return gpus, "cuda"
    if device not in (None, "cpu"):
        raise AsrError(f"--device {device}: the cluster has no GPU; leave the option out")
    if not cores:
        raise AsrError("--ray: the cluster has no core to compute on; start its nodes with --num-cpus")
    return cores, "cpu"


def _setup(folder: BulkFolder, model: Path, device: str, *, shared: bool) -> Setup:
    options = folder.job.options
    return Setup(
        version=__version__,
        suffix=model.suffix,
        device=device,
        folder=folder.path.absolute(),
        start=Path.cwd(),
        shared=shared,
        channels=options.channels,
        nbest=options.nbest,
        hotwords=_lines(options.hotwords),
        phrases=_lines(options.phrases),
        salvage=options.salvage,
    )


def _lines(file: File | None) -> tuple[str, ...] | None:
    return None if file is None else tuple(read_lines(Path(file.path)))


def _compute(
    batches: Sequence[_Batch], setup: Setup, model: bytes, everything: bytes | None, *, workers: int
) -> Iterator[tuple[int, list[dict[str, Any]], list[str]]]:
    """Compute batches on a cluster; yield the first line of each, its rows, and what was logged."""
    import ray
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Attempts)
    attempts = actor.options(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here).remote()
    stored = ray.put(model), None if everything is None else ray.put(everything)
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"first": one.lines.start, "end": one.lines.stop, "lines": one.content} for one in batches]
    results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Worker,
        fn_constructor_args=(setup, *stored, attempts),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=1 if setup.device == "cuda" else None,
    )
    for row in results.iter_rows():
        yield row["first"], *pickle.loads(row["result"])


def _collect(
    folder: BulkFolder, batches: Sequence[_Batch], found: Iterator[tuple[int, list[dict[str, Any]], list[str]]]
) -> Iterator[Done]:
    """Write each shard when all of its batches are there, in the order of the input."""
    batch_of = {batch.lines.start: batch for batch in batches}
    total = sum(len(batch.lines) for batch in batches)
    starts_of: dict[int, list[int]] = {}
    rows_of: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for batch in batches:
        starts_of.setdefault(batch.shard, []).append(batch.lines.start)
    for first, rows, messages in found:
        batch = batch_of[first]
        there = rows_of.setdefault(batch.shard, {})
        there[first] = rows
        if len(there) == len(starts_of[batch.shard]):
            _write(folder, batch.shard, [row for start in starts_of[batch.shard] for row in there[start]])
            rows_of[batch.shard] = {}
        errors = tuple(row["error"] for row in rows if "error" in row)
        yield Done(len(batch.lines), errors, tuple(messages), total)


def _write(folder: BulkFolder, number: int, rows: Sequence[dict[str, Any]]) -> None:
    """Write a shard, unless another process does or has done."""
    claim = folder.claim(number)
    if claim is None:
        _log.warning("shard %s: is held by %s, which writes it", folder.name(number), folder.holder(number))
        return
    with claim:
        if number in folder.unfinished():
            write_parquet(folder.file(number).with_suffix(SUFFIX), rows)
            folder.write(number, rows)
