"""Record the origin of a run: which data, which program, which machine."""

import hashlib
import platform
from pathlib import Path

import numpy as np
import torch

from asr.config import Config
from asr.corpus.digest import corpus_digest
from asr.files import file_digest, to_json
from asr.machine import processor
from asr.origin import Machine, Origin, Program, read_origin, write_origin
from asr.training.build import program
from asr.training.hardware import processes, use_bf16

_FILES = {"data.exclude": "exclude", "text.units_file": "units_file", "training.start_from": "start_from"}


def digest_of(config: Config) -> str:
    """Return the digest of the settings that were given, without those that are left open."""
    return hashlib.sha256(to_json(config.model_dump(mode="json", exclude_unset=True)).encode()).hexdigest()


def data_digests(config: Config) -> dict[str, str | None]:
    """Return the digests of the training and the validation data; None for streamed data."""
    field = config.data.text_field
    return {
        "train": None if config.data.is_streamed else corpus_digest(config.data.train, field),
        "validation": corpus_digest(config.data.validation, field),
    }


def file_digests(config: Config) -> dict[str, str | None]:
    """Return the digests of the other files that settings name, by the name of the setting."""
    paths = {name: getattr(getattr(config, name.partition(".")[0]), setting) for name, setting in _FILES.items()}
    return {name: file_digest(path) for name, path in paths.items() if path is not None}


def this_program() -> Program:
    """Describe the program that runs, with the versions of the packages that compute."""
    found = program()
    return Program(git_commit=found["git_commit"], versions={**found["versions"], "numpy": np.__version__})


def this_machine(precision: str) -> Machine:
    """Describe the machine that runs; `precision` is the setting, which decides by the hardware if it is `auto`."""
    process = processes()
    device = torch.cuda.get_device_name(process.device) if process.device.type == "cuda" else "cpu"
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        threads=torch.get_num_threads(),
        device=device,
        processes=process.num_processes,
        precision="bf16" if use_bf16(precision, process.device) else "fp32",
    )


def record_origin(out: Path, config: Config, *, asked: str, resumed: bool, extended: bool) -> None:
    """Write the origin of the run with `config` in `out`; a run that is `resumed` keeps its first program and machine.

    `asked` is the digest of the settings that the user gave. `extended` says that the run begins with other epochs.
    """
    now = Origin(
        asked=asked,
        data=data_digests(config),
        files=file_digests(config),
        program=this_program(),
        machine=this_machine(config.training.precision),
    )
    before = read_origin(out) if resumed or extended else None
    if before is not None:
        changes = [f"continued on {now.machine.processor}"] if before.machine != now.machine else []
        changes += [f"continued by commit {now.program.git_commit}"] if before.program != now.program else []
        changes += ["extended after its first end"] if extended else []
        known = dict.fromkeys([*before.continued, *changes])
        now = now.model_copy(update={"program": before.program, "machine": before.machine, "continued": tuple(known)})
    elif resumed or extended:
        now = now.model_copy(update={"continued": ("begun by a version that did not record its origin",)})
    write_origin(out, now)
