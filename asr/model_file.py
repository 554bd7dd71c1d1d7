"""The model file: tensors and one JSON description in safetensors. No network is built here, nothing is executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from asr.errors import ModelFileError
from asr.files import write_whole

FORMAT = 1
COMMANDS = {  # the command that uses a model of each task
    "recognition": "asr transcribe",
    "classification": "asr classify",
    "language model": "asr lm generate",
}
_METADATA_KEY = "asr"


def write_model_file(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Writes tensors and the JSON description that `read_metadata` reads, whole or not at all.

    Equal tensors and metadata give equal bytes.
    """
    description = json.dumps({"format": FORMAT, **metadata}, ensure_ascii=False)
    write_whole(Path(path), safetensors.numpy.save(dict(tensors), {_METADATA_KEY: description}))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Reads the JSON description in a model file, without its tensors.

    Raises ModelFileError that names the file if it is missing, damaged, of another program, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; training leaves one in runs/NAME/model.safetensors")
    try:
        with safetensors.safe_open(path, "np") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA_KEY])
    except (safetensors.SafetensorError, json.JSONDecodeError):
        raise ModelFileError(f"{path}: is damaged or no safetensors file; copy it again") from None
    except KeyError:
        raise ModelFileError(f"{path}: is a safetensors file of another program; train one with `asr train`") from None
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path}: has format {metadata.get('format')}, this version reads {FORMAT}; update asr")
    return _with_later_settings(metadata)


def task_of(metadata: Mapping[str, Any]) -> str:
    """Returns the task that a model file with these metadata was trained for: a key of COMMANDS.

    The first model files do not state a task: they are all recognisers.
    """
    return str(metadata["task"] if "task" in metadata else metadata["config"].get("task", "recognition"))


def _with_later_settings(metadata: dict[str, Any]) -> dict[str, Any]:
    """Add settings to the metadata of old model files whose defaults differ from what the old program did."""
    model = (metadata.get("config") or {}).get("model")
    if isinstance(model, dict):
        model.setdefault("projection", True)  # before this was a setting, every model had a projection
    return metadata
