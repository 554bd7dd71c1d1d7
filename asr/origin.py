"""The origin of a run, in its folder: digests of its data and files, its program, its machine.

The model file holds nothing that differs between equal runs on two machines; this file does.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from asr.files import read_bytes, to_json, write_whole

ORIGIN_FILE = "origin.json"
_LARGEST = 100_000  # bytes
Text = Annotated[str, StringConstraints(max_length=300)]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Facts(BaseModel):
    """A group of facts in a file that may come from a stranger."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Program(Facts):
    """The program of a run: the commit of a checkout, and versions of packages."""

    git_commit: Text | None
    versions: dict[Text, Text] = Field(max_length=20)


class Machine(Facts):
    """The machine of a run, as far as it changes how numbers are rounded."""

    system: Text
    processor: Text
    threads: int = Field(ge=1, le=10_000)
    device: Text
    processes: int = Field(ge=1, le=100_000)
    precision: Text


class Origin(Facts):
    """The origin of a run. `asked` is the digest of the configuration before open settings were chosen.

    `data` has the digests of the training and the validation manifests, `files` those of other files that settings
    name. A digest is None if the data is not on this machine. `continued` says why no single program on one machine
    made the run from its beginning: it was extended, or continued elsewhere.
    """

    asked: Digest
    data: dict[Text, Digest | None] = Field(max_length=10)
    files: dict[Text, Digest | None] = Field(max_length=10)
    program: Program
    machine: Machine
    continued: tuple[Text, ...] = Field(default=(), max_length=100)


def write_origin(folder: Path, origin: Origin) -> None:
    """Write the origin of the run in `folder`."""
    write_whole(folder / ORIGIN_FILE, f"{to_json(origin.model_dump(mode='json'), indent=1)}\n".encode())


def read_origin(folder: Path) -> Origin | None:
    """Read the origin of the run in `folder`; return None for a run of older versions, or for a damaged file."""
    path = folder / ORIGIN_FILE
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    try:
        return Origin.model_validate_json(read_bytes(path))
    except ValidationError:
        return None
