"""Examples for clusters: scripts that bash and shellcheck accept, whose commands are those of the command line."""

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY
from torch.distributed.run import get_args_parser
from typer.main import get_command

from asr.cli import app

EXAMPLES = REPOSITORY / "examples"
SCRIPTS = sorted(EXAMPLES.rglob("*.sbatch"))
HOSTS = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[3-4]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4",
    "SLURM_CPUS_PER_TASK": "16", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "100",
}  # fmt: skip


def parse(command: list[str]) -> dict[str, Any]:
    """Return the arguments of a command as the command line of `asr` parses them; nothing is run."""
    group: Any = get_command(app)
    program, name, *words = command
    assert program == "asr"
    options = group.commands[name].make_parser(group.commands[name].make_context(name, [], resilient_parsing=True))
    values, left, _ = options.parse_args(args=words)
    assert not left
    return dict(values)


def run_script(script: Path, tmp_path: Path, *arguments: str, **environment: str) -> list[str]:
    """Run a script with programs that only print what they are called with; return the words of the last call."""
    programs = {
        "scontrol": "printf 'node3\\nnode4\\n'",
        "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "torchrun": "printf '%s\\n' torchrun \"$@\"",
        "asr": "printf '%s\\n' asr \"$@\"",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    ran = subprocess.run(
        ["bash", script, *arguments],
        env={**os.environ, **HOSTS, **environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def of_torchrun(words: list[str]) -> tuple[Any, dict[str, Any]]:
    """Divide a call of torchrun into its own options and the command that it runs."""
    options = get_args_parser().parse_args(words)
    assert options.module and options.training_script == "asr"
    return options, parse(["asr", *options.training_script_args])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_accepts(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_accepts(script: Path) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("needs shellcheck")
    ran = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_slurm_trains_on_all_hosts(tmp_path: Path) -> None:
    program, *words = run_script(EXAMPLES / "slurm/train.sbatch", tmp_path, "my data", "my runs")
    assert program == "torchrun"
    options, command = of_torchrun(words)
    assert (options.nnodes, options.nproc_per_node, options.max_restarts) == ("2", "4", 3)
    assert (options.rdzv_backend, options.rdzv_endpoint, options.rdzv_id) == ("c10d", "node3:29500", "7")
    assert command == {"config": "my data", "out": "my runs"}


def test_slurm_says_what_is_missing(tmp_path: Path) -> None:
    ran = subprocess.run(["bash", EXAMPLES / "slurm/train.sbatch", "data"], capture_output=True, text=True, check=False)
    assert ran.returncode and "name a folder for results that all hosts share" in ran.stderr


def test_slurm_transcribes_a_shard(tmp_path: Path) -> None:
    command = parse(run_script(EXAMPLES / "slurm/transcribe-array.sbatch", tmp_path, "model", "all.jsonl", "out"))
    assert command["shard"] == "3/100"
    assert command["output"] == "out"


def load(name: str) -> dict[str, Any]:
    (document,) = yaml.safe_load_all((EXAMPLES / "kubernetes" / name).read_text())
    return dict(document)


def volumes_are_mounted(pod: dict[str, Any]) -> bool:
    return [volume["name"] for volume in pod["volumes"]] == [
        mount["name"] for mount in pod["containers"][0]["volumeMounts"]
    ]


def test_kubernetes_trains(tmp_path: Path) -> None:
    """The operator gives torchrun the options of the elastic policy as variables PET_NNODES and so on."""
    job = load("train.yaml")
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    policy, workers = job["spec"]["elasticPolicy"], job["spec"]["pytorchReplicaSpecs"]["Worker"]
    assert policy["minReplicas"] <= workers["replicas"] <= policy["maxReplicas"]
    pod = workers["template"]["spec"]
    assert pod["containers"][0]["name"] == "pytorch" and volumes_are_mounted(pod)
    program, *words = pod["containers"][0]["command"]
    assert program == "torchrun"
    _, command = of_torchrun(words)
    assert command == {"config": "/asr/data/mine", "out": "/asr/runs/mine"}


def test_kubernetes_transcribes_every_shard(tmp_path: Path) -> None:
    job = load("transcribe.yaml")
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert volumes_are_mounted(pod)
    shards = {variable["name"]: variable["value"] for variable in container["env"]}["SHARDS"]
    assert int(shards) == job["spec"]["completions"]
    script = tmp_path / "command"
    script.write_text(shlex.join(container["command"]))
    for index, shard in (("0", "1/100"), ("99", "100/100")):
        command = parse(run_script(script, tmp_path, JOB_COMPLETION_INDEX=index, SHARDS=shards))
        assert command["shard"] == shard
