"""The model file: tensors and one JSON description in safetensors. No network is built here, nothing is executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import ModelFileError
from asr.files import write_whole

if TYPE_CHECKING:
    import numpy as np  # reading a description needs no numpy, and `asr info` is quicker without

FORMAT = 1
COMMANDS = {  # the command that uses a model of each task
    "recognition": "asr transcribe",
    "classification": "asr classify",
    "language model": "asr lm generate",
}
_METADATA_KEY = "asr"
_LATER_SETTINGS: dict[str, dict[str, Any]] = {
    "features": {"level": "utterance", "equalize": False},
    "model": {"frontend": "conv", "decoder": "ctc", "projection": True},
}
_MOST_HEADER = 100_000_000  # bytes, the limit of the safetensors library


def write_model_file(path: str | Path, tensors: "Mapping[str, np.ndarray]", metadata: dict[str, Any]) -> None:
    """Write tensors and the JSON description that `read_metadata` reads, whole or not at all.

    Equal tensors and metadata give equal bytes.
    """
    import safetensors.numpy

    description = json.dumps({"format": FORMAT, **metadata}, ensure_ascii=False)
    write_whole(Path(path), safetensors.numpy.save(dict(tensors), {_METADATA_KEY: description}))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the JSON description in a model file, without its tensors.

    Raises ModelFileError that names the file if it is missing, damaged, of another program, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; training leaves one in runs/NAME/model.safetensors")
    try:
        metadata = json.loads(_read_header(path).get("__metadata__", {})[_METADATA_KEY])
    except (ValueError, AttributeError, RecursionError):
        raise ModelFileError(f"{path}: is damaged or no safetensors file; copy it again") from None
    except KeyError:
        raise ModelFileError(f"{path}: is a safetensors file of another program; train one with `asr train`") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: has format {metadata.get('format')}, this version reads {FORMAT}; update asr")
    return _with_later_settings(metadata)


def _read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file, without numpy, which takes longer to import than all of `asr info`.

    Raises ValueError unless the file has the size that the header states. Format: 8 bytes of little-endian length, then
    JSON of that length, then the tensors.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, _MOST_HEADER):
            raise ValueError("the header is longer than the file")
        header = json.loads(file.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        raise ValueError("the file is cut short, or has data after its end")
    return dict(header)


def task_of(metadata: Mapping[str, Any]) -> str:
    """Return the task that a model file with these metadata was trained for: a key of COMMANDS.

    The first model files do not state a task: they are all recognisers.
    """
    return str(metadata["task"] if "task" in metadata else metadata["config"].get("task", "recognition"))


def _with_later_settings(metadata: dict[str, Any]) -> dict[str, Any]:
    """Add the settings that old model files lack, with the values that their program worked with."""
    config = metadata.get("config")
    for section, settings in _LATER_SETTINGS.items():
        found = config.get(section) if isinstance(config, dict) else None
        if isinstance(found, dict):
            found.update({name: value for name, value in settings.items() if name not in found})
    return metadata
