"""Processes of one run compare what they must have in common; an error of one process is the error of all."""

import json
import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

PROCESSES = 2
WORKER = """
import json, os, sys
from pathlib import Path
from asr.errors import ManifestError, TrainingError
from asr.training import agreement
from asr.training.hardware import from_main_process, gather, in_main_process

folder, rank, told = Path(sys.argv[1]), int(os.environ["RANK"]), {}
agreement._PATIENCE = 0.5

def attempt(name, act):
    try:
        told[name] = act()
    except TrainingError as error:
        told[name] = f"TrainingError: {error}"
    except ManifestError as error:
        told[name] = f"ManifestError: {error}"

def fails_in(which):
    def act():
        if rank == which:
            raise ManifestError("train.jsonl: no such manifest")
        return rank
    return act

def finds_what_the_first_wrote():
    path = folder / "packed"
    if rank == 0:
        path.write_text("done")
    return path.read_text()

attempt("gather", lambda: gather(rank))
attempt("from main", lambda: from_main_process(rank))
attempt("in turn", lambda: agreement.in_turn(finds_what_the_first_wrote))
attempt("main fails", lambda: agreement.in_turn(fails_in(0)))
attempt("main fails alone", lambda: in_main_process(fails_in(0)))
attempt("other fails", lambda: agreement.in_turn(fails_in(1)))
attempt("equal", lambda: agreement.agree(lambda: {"training.epochs": 3}))
facts = {"training.epochs": 3 + rank, "data.train": "a", **({"asr": 1} if rank else {})}
attempt("unequal", lambda: agreement.agree(lambda: facts))
shared, own = folder / "shared", folder / f"own-{rank}"
shared.mkdir(exist_ok=True)
own.mkdir()
attempt("shared", lambda: agreement.share(shared))
attempt("not shared", lambda: agreement.share(own))
told["left"] = [path.name for path in (*shared.iterdir(), *own.iterdir())]
(folder / f"told-{rank}.json").write_text(json.dumps(told))
with agreement.ending_together():
    if rank == 1:
        raise TrainingError("cuda:1 has too little memory")
    gather(rank)
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, object]], str]:
    """Run the worker in two processes; return what each process was told, and the messages of the job."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run(
        [*command, str(folder / "worker.py"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(PROCESSES)], ran.stderr


def test_values_go_to_every_process(job: tuple[list[dict[str, object]], str]) -> None:
    for told in job[0]:
        assert told["gather"] == [0, 1]
        assert told["from main"] == 0
        assert told["in turn"] == "done"


def test_an_error_is_raised_in_every_process(job: tuple[list[dict[str, object]], str]) -> None:
    for told in job[0]:
        for name in ("main fails", "main fails alone"):
            assert told[name] == "ManifestError: train.jsonl: no such manifest"
        other = str(told["other fails"])
        assert other.startswith("TrainingError: process 1 on ") and "train.jsonl: no such manifest" in other


def test_a_difference_is_named_in_every_process(job: tuple[list[dict[str, object]], str]) -> None:
    for told in job[0]:
        assert told["equal"] is None
        unequal = str(told["unequal"])
        assert "training.epochs is 3 in process 0 on" in unequal and ", 4 in process 1 on" in unequal
        assert "asr is None in process 0" in unequal and "data.train" not in unequal


def test_a_folder_that_is_not_shared_is_named(job: tuple[list[dict[str, object]], str]) -> None:
    for told in job[0]:
        assert told["shared"] is None
        assert "process 1 on" in str(told["not shared"]) and "name a folder for results" in str(told["not shared"])
        assert told["left"] == []


def test_the_message_of_a_failed_process_reaches_the_others(job: tuple[list[dict[str, object]], str]) -> None:
    first = [line for line in job[1].splitlines() if line.startswith("[rank0]: asr.errors.TrainingError: ")]
    assert len(first) == 1 and "process 1 on" in first[0] and "cuda:1 has too little memory" in first[0], job[1]
