"""The model file: tensors and one JSON description in safetensors. No network is built here, nothing is executed.

An exported model (ONNX) holds the same description, which is read here too.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import ModelFileError
from asr.files import to_json, write_whole
from asr.onnx_file import read_properties, with_property

if TYPE_CHECKING:
    import numpy as np  # reading a description needs no numpy, and `asr info` is quicker without

FORMAT = 1
MODEL_SUFFIX, EXPORTED_SUFFIX = ".safetensors", ".onnx"
MODEL_FILE = "model.safetensors"  # the result of a training run, in its folder
COMMANDS = {  # the command that uses a model of each task
    "recognition": "asr transcribe",
    "classification": "asr classify",
    "language model": "asr lm generate",
}
DESCRIPTION_KEY = "asr"  # key of the description in the metadata of a file
TENSORS_KEY = "asr.tensors"  # key of the tensors beside the graph of an exported file: base64 of safetensors
TRANSDUCER_PREFIX, CTC_PREFIX = "transducer.", "ctc."  # begin the names of tensors in the file of a transducer
_LATER_SETTINGS: dict[str, dict[str, Any]] = {
    "features": {"level": "utterance", "equalize": False},
    "model": {"frontend": "conv", "decoder": "ctc", "projection": True},
}
# A model file can come from a stranger, so these limits hold before memory is taken.
_MOST_HEADER = 16_000_000  # bytes; a model of 100,000 units needs 2 million
_MOST_TENSORS = 10_000
_MOST_AXES = 4
_MOST_NESTING = 16  # levels of lists and objects in the description
_ITEM_BYTES = {"F32": 4, "F64": 8, "I32": 4, "I64": 8, "U8": 1}  # bytes of one number; no model has another type
_SECTIONS = ("config", "training", "decoding", "confidence", "phrases", "text", "network", "given")
_SYMBOLS = ("units", "classes")


def write_model_file(path: str | Path, tensors: "Mapping[str, np.ndarray]", metadata: dict[str, Any]) -> None:
    """Write tensors and the JSON description that `read_metadata` reads, whole or not at all.

    Equal tensors and metadata give equal bytes.
    """
    import safetensors.numpy

    description = to_json({"format": FORMAT, **metadata})
    write_whole(Path(path), safetensors.numpy.save(dict(tensors), {DESCRIPTION_KEY: description}))


def with_description(path: str | Path, metadata: dict[str, Any]) -> bytes:
    """Return the bytes of a model file or of an exported model with another description; its tensors stay as they are.

    Equal files and metadata give equal bytes. Raises ModelFileError as `read_metadata` does.
    """
    path, description = Path(path), to_json({"format": FORMAT, **metadata})
    read_metadata(path)
    content = path.read_bytes()
    try:
        if path.suffix == EXPORTED_SUFFIX:
            return with_property(content, DESCRIPTION_KEY, description)
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header["__metadata__"] = {**header["__metadata__"], DESCRIPTION_KEY: description}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:  # a part that `read_metadata` does not read is damaged
        raise ModelFileError(f"{path}: is damaged; copy it again") from None
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


def signature(path: str | Path) -> str:
    """Return the SHA-256 of the weights and other tensors of a model file, which its description does not change."""
    with Path(path).open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_model(path: Path) -> Path:
    """Return the model file of a run if `path` is its folder, else `path`. Raises ModelFileError for another folder."""
    if not path.is_dir():
        return path
    if (path / MODEL_FILE).is_file():
        return path / MODEL_FILE
    if (path / "log.jsonl").is_file():
        raise ModelFileError(
            f"{path}: its training has not ended, so it has no {MODEL_FILE}; repeat the `asr train` command to go on"
        )
    models = [*path.glob("*.safetensors"), *path.glob(f"*/{MODEL_FILE}")]
    found = ", ".join(sorted(str(file.relative_to(path)) for file in models)[:5])
    raise ModelFileError(
        f"{path}: is a folder without {MODEL_FILE}{f', it holds {found}' if found else ''}; name a model file or the "
        "folder of a training run"
    )


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the JSON description in a model file or in an exported model, without its tensors.

    Raises ModelFileError that names the file if it is missing, damaged, of another program, or of a newer version.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder; name the model file in it, such as {path / MODEL_FILE}")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file; training leaves one in runs/NAME/model.safetensors")
    exported = path.suffix == EXPORTED_SUFFIX
    kind, command = ("ONNX", "asr export") if exported else ("safetensors", "asr train")
    try:
        described = read_properties(path) if exported else _read_header(path).get("__metadata__", {})
        description = described.get(DESCRIPTION_KEY) if isinstance(described, dict) else None
        if description is None:
            raise ModelFileError(f"{path}: is {kind} of another program; make one with `{command}`")
        metadata = _parse(description)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None
    except (ValueError, TypeError, RecursionError):
        raise ModelFileError(f"{path}: is damaged or no {kind} file; copy it again") from None
    if type(metadata.get("format")) is not int or metadata["format"] != FORMAT:
        raise ModelFileError(f"{path}: has format {metadata.get('format')!r}, this version reads {FORMAT}; update asr")
    if fault := _fault(metadata):
        raise ModelFileError(f"{path}: its description is damaged: {fault}; copy it again")
    return _with_later_settings(metadata)


def _read_header(path: Path) -> dict[str, Any]:
    """Read the header of a safetensors file, without numpy, which takes longer to import than all of `asr info`.

    Raises ValueError unless the tensors fill the file without gaps, and have types and sizes that a model can have.
    Format: 8 bytes of little-endian length, then JSON of that length, then the tensors.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size, _MOST_HEADER):
            raise ValueError("the header is longer than the file")
        header = json.loads(file.read(length))
    if not isinstance(header, dict) or len(header) > _MOST_TENSORS:
        raise ValueError("the header does not list tensors, or lists too many")
    end = 0
    for start, stop in sorted(_place(tensor) for name, tensor in header.items() if name != "__metadata__"):
        if start != end:
            raise ValueError("the tensors overlap, or have gaps between them")
        end = stop
    if 8 + length + end != size:
        raise ValueError("the file is cut short, or has data after its end")
    return header


def _place(tensor: Any) -> tuple[int, int]:
    """Return where the numbers of a tensor begin and end, in bytes. Raises ValueError if its entry is damaged."""
    if not isinstance(tensor, dict):
        raise ValueError("the entry of a tensor is no object")
    shape, place = (_sizes(tensor.get(name)) for name in ("shape", "data_offsets"))
    if not isinstance(item := tensor.get("dtype"), str) or item not in _ITEM_BYTES:
        raise ValueError("a tensor has a type that no model has")
    if len(shape) > _MOST_AXES or len(place) != 2 or place[1] - place[0] != _ITEM_BYTES[item] * math.prod(shape):
        raise ValueError("a tensor has another size than its shape")
    return place[0], place[1]


def _sizes(numbers: Any) -> list[int]:
    """Return a list of whole numbers of 0 or more. Raises ValueError if `numbers` is none."""
    if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a shape or a place is no list of numbers")
    return numbers


def _parse(description: Any) -> dict[str, Any]:
    """Return the description in a header.

    Raises ValueError unless it is a JSON object that is not nested deeply, with whole numbers of at most 64 bits.
    """
    metadata = json.loads(description, parse_int=_number)
    if not isinstance(metadata, dict):
        raise ValueError("the description is no object")
    json.dumps(metadata, ensure_ascii=False).encode()  # a lone surrogate is a ValueError: no output can hold it
    level: list[Any] = [metadata]
    for _ in range(_MOST_NESTING):
        level = [
            part
            for whole in level
            if isinstance(whole, dict | list)
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
        if not level:
            return metadata
    raise ValueError("the description is nested too deeply")


def _number(digits: str) -> int:
    """Return a whole number. Raises ValueError if it has more than 64 bits, which no float can stand for later."""
    if not -(2**63) <= (number := int(digits)) < 2**63:
        raise ValueError("a number is too large")
    return number


def _fault(metadata: Mapping[str, Any]) -> str | None:
    """Return which part of a description has the wrong JSON type, or None."""
    if "task" not in metadata and "config" not in metadata:
        return "it names no task"
    for name in _SECTIONS:
        if not isinstance(metadata.get(name, {}), dict):
            return f"{name!r} is no object"
    config = metadata.get("config", {})
    for name, section in config.items():
        if name != "task" and not isinstance(section, dict):
            return f"'config.{name}' is no object"
    for name in _SYMBOLS:
        found = metadata.get(name, [])
        if isinstance(found, list) and not all(isinstance(symbol, str) for symbol in found):
            return f"{name!r} must be a list of strings"
    task = metadata["task"] if "task" in metadata else config.get("task", "recognition")
    return None if isinstance(task, str) and task in COMMANDS else f"the task {task!r} is none of {', '.join(COMMANDS)}"


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
