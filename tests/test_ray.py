"""Bulk transcription on Ray: the same shards as one process, whatever dies."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from bulk_input import FAILED, LINES, write_input
from processes import run_asr
from ray_nodes import OUTER, Node, node

pytest.importorskip("ray.data", reason="needs the extra ray")

import pyarrow.parquet as pq

from asr.cli.bulk import plan, read_options, transcribe_shards
from asr.cluster import ray as on_ray
from asr.cluster import ray_cluster
from asr.cluster.ray_worker import TRIES, Attempts, Worker
from asr.corpus.parquet import write_parquet
from asr.errors import AsrError
from asr.utterance import Utterance

OPTIONS = read_options("mix", 0, None, None, False, None)
SHARDS = 3


class Fragile(Worker):
    """A worker that some lines end, and that raises an error that nobody expects for others."""

    def _rows(self, listed: Sequence[Utterance], part: range) -> Iterator[dict[str, Any]]:
        for line in part:
            if listed[line].id == "line-2":
                os.kill(os.getpid(), signal.SIGKILL)
            if listed[line].id == "line-7":
                raise ZeroDivisionError("a bug")
        return super()._rows(listed, part)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Node]:
    with node(cpus=2) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an input, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("ray")
    write_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        transcribe_shards(Path("model.onnx"), ["input.jsonl"], Path("expected"), f"all/{SHARDS}", OPTIONS, None)
    return folder


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Send a line or two to a worker at a time, from the folder of the input."""
    monkeypatch.setattr(on_ray, "_BATCH_SECONDS", 1.0)
    monkeypatch.chdir(folder)


def transcribed(output: Path, address: str) -> Iterator[on_ray.Done]:
    job, read = plan(Path("model.onnx"), ["input.jsonl"], output, OPTIONS, lambda _: SHARDS, "--ray")
    return on_ray.transcribe_shards(job, read, model=Path("model.onnx"), address=address)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("shard-*.jsonl")) for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.jsonl"))}


def without_node(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows whose errors do not name the node that did not see a recording."""
    return [row | ({"error": row["error"].partition(" (on node")[0]} if "error" in row else {}) for row in found]


def test_shards_are_an_hour_of_audio_and_batches_cover_them() -> None:
    lines = [Utterance(str(n), Path("a.wav"), duration=100.0 if n else None) for n in range(600)]
    assert [on_ray.count_shards(lines[1 : 1 + count]) for count in (1, 36, 37, 360)] == [1, 1, 2, 10]
    assert on_ray.count_shards(lines * 4) == 3  # some have no duration
    batches = list(on_ray._batches(4, 50, lines[1:186]))
    assert [line for batch in batches for line in batch.lines] == list(range(50, 235))
    assert {batch.shard for batch in batches} == {4} and len(batches) == 31
    assert [one for batch in batches for one in pickle.loads(batch.content)] == lines[1:186]
    assert [len(batch.lines) for batch in on_ray._batches(1, 0, lines[:25])] == [8, 8, 9]
    assert list(on_ray._batches(1, 3, [])) == []


def test_starts_without_an_end_are_counted() -> None:
    attempts = Attempts()
    assert [attempts.begin("a"), attempts.begin("b"), attempts.begin("a")] == [0, 0, 1]
    attempts.end("a")
    assert [attempts.begin("a"), attempts.begin("b")] == [0, 1]


@pytest.mark.usefixtures("small_batches")
def test_shards_are_those_of_one_process(cluster: Node, folder: Path) -> None:
    output = Path("equal")
    done = list(transcribed(output, cluster.address))
    assert sum(one.lines for one in done) == LINES and len(done) > SHARDS
    assert without_node(rows(output)) == rows(folder / "expected")
    missing, damaged = (rows(output)[line]["error"] for line in FAILED)
    assert "no such file" in missing and "on node" in missing and "on node" not in damaged
    for path in output.glob("shard-*.jsonl"):
        table = pq.read_table(path.with_suffix(".parquet"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()] == lines
        assert {"id", "audio_filepath", "hypothesis", "error"} <= set(table.column_names)
    assert list(transcribed(output, "nowhere:1")) == []  # all is done: the cluster is not even asked


@pytest.mark.usefixtures("small_batches")
def test_dead_workers_lose_and_repeat_nothing(cluster: Node, folder: Path) -> None:
    killed = 0
    for number, _ in enumerate(transcribed(Path("killed"), cluster.address)):
        if number in (0, 2, 3) and (workers := cluster.workers()):
            os.kill(workers[number % len(workers)], signal.SIGKILL)
            killed += 1
    assert killed
    assert without_node(rows(folder / "killed")) == rows(folder / "expected")


@pytest.mark.usefixtures("small_batches")
def test_a_line_that_ends_its_worker_or_meets_a_bug_is_an_error(
    cluster: Node, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "Worker", Fragile)
    done = list(transcribed(Path("fragile"), cluster.address))
    assert sum(one.lines for one in done) == LINES
    found, expected = without_node(rows(folder / "fragile")), rows(folder / "expected")
    assert f"ended the process that read it {TRIES} times" in found[2]["error"] and "hypothesis" not in found[2]
    assert found[7]["error"].endswith("ZeroDivisionError: a bug")
    others = [line for line in range(LINES) if line not in (2, 7)]
    assert [found[line] for line in others] == [expected[line] for line in others]


def test_a_table_is_an_input_like_a_manifest(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "input.jsonl").read_text().splitlines()]
    write_parquet(folder / "input.parquet", lines)
    result = run_asr("transcribe", "model.onnx", "input.parquet", "-o", "table", "--shard", f"all/{SHARDS}", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert contents(folder / "table") == contents(folder / "expected")


@pytest.mark.usefixtures("small_batches")
def test_a_cluster_without_the_device_is_refused(cluster: Node, folder: Path) -> None:
    options = read_options("mix", 0, None, None, False, "cuda")
    job, read = plan(Path("model.onnx"), ["input.jsonl"], Path("device"), options, lambda _: SHARDS, "--ray")
    with pytest.raises(AsrError, match="--device cuda: the cluster has no GPU"):
        list(on_ray.transcribe_shards(job, read, model=Path("model.onnx"), address=cluster.address))


@pytest.mark.usefixtures("small_batches")
def test_other_versions_are_refused(cluster: Node, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "__version__", "9.9")
    with pytest.raises(AsrError, match=r"this command is own-asr 9\.9, and node .* has \d.*install one version"):
        list(transcribed(Path("versions"), cluster.address))


def test_a_cluster_that_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for address in ("ray://somewhere:10001", "no address"):
        with pytest.raises(AsrError, match=f"--ray {address}: "):
            list(transcribed(Path("none"), address))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "local"], "name a folder"),
        (["--ray", "local", "-o", "out.jsonl"], "name a folder"),
        (["--ray", "local", "-o", "out", "-f", "srt"], "excludes -f"),
        (["--ray", "local", "-o", "out", "--shard", "1/3"], "give --shard all/3"),
    ],
)
def test_wrong_calls(folder: Path, options: list[str], message: str) -> None:
    result = run_asr("transcribe", "model.onnx", "input.jsonl", *options, cwd=folder)
    assert result.returncode == 1 and message in result.stderr and not (folder / "out").exists()


@contextmanager
def after_one_shard(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command until a shard is written, and end it after the block."""
    command = [sys.executable, "-m", "asr", "transcribe", "model.onnx", "input.jsonl", *options]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        while not list((folder / options[1]).glob("shard-*.jsonl")) and process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_driver_that_was_killed_goes_on_after_whole_shards(cluster: Node, folder: Path) -> None:
    options = ["-o", "driver", "--ray", cluster.address, "--shard", f"all/{SHARDS}"]
    with after_one_shard(folder, *options) as driver:
        driver.kill()
    before = {path: path.stat().st_ino for path in (folder / "driver").glob("shard-*.jsonl")}
    result = run_asr("transcribe", "model.onnx", "input.jsonl", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert before and all(path.stat().st_ino == number for path, number in before.items())
    assert without_node(rows(folder / "driver")) == rows(folder / "expected")


@pytest.mark.slow
def test_a_node_that_dies_loses_and_repeats_nothing(folder: Path) -> None:
    with node(cpus=1, loopback=False) as head, node(cpus=1, address=head.address, loopback=False) as other:
        options = ["-o", "nodes", "--ray", head.address, "--shard", f"all/{SHARDS}"]
        with after_one_shard(folder, *options, **OUTER) as driver:
            other.kill()
            assert driver.wait(240) == 0
    assert without_node(rows(folder / "nodes")) == rows(folder / "expected")


@pytest.mark.slow
def test_this_machine_alone(folder: Path, tmp_path: Path) -> None:
    """One command starts Ray, and ends it; errors are those of one process, stdout is empty, stderr is short."""
    options = ["-o", tmp_path / "out", "--ray", "local", "--shard", f"all/{SHARDS}"]
    result = run_asr("transcribe", "model.onnx", "input.jsonl", *options, cwd=folder)
    if "Ray did not start" in result.stderr:
        pytest.skip("Ray did not start in its time limit")
    assert result.returncode == 0 and not result.stdout
    assert result.stderr.count("\n") <= 2 + len(FAILED) and "next: asr transcribe -o" in result.stderr
    assert [row.get("hypothesis") for row in rows(tmp_path / "out")] == [
        row.get("hypothesis") for row in rows(folder / "expected")
    ]
    errors = (tmp_path / "out" / "errors.jsonl").read_text()
    assert errors.count("\n") == len(FAILED) and "on node" not in errors
