"""The parts of an exported file: its description, its session and its tensors, with one error for all damage."""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from asr.errors import AsrError, ModelFileError
from asr.model_file import COMMANDS, EXPORTED_SUFFIX, TENSORS_KEY, read_metadata, task_of
from asr.onnx_file import read_properties


@contextmanager
def reading(path: Path, task: str) -> Iterator[dict[str, Any]]:
    """Yield the description of an exported file. Errors of its parts, raised in the block, become a ModelFileError.

    Raises ModelFileError that names the file if it is missing, damaged, of another task or of another program.
    """
    metadata = read_metadata(path)
    if path.suffix != EXPORTED_SUFFIX:
        raise ModelFileError(f"{path}: is a model file, not an exported one; write one with `asr export {path}`")
    if (found := task_of(metadata)) != task:
        raise ModelFileError(f"{path}: was trained for {found}; use it with `{COMMANDS[found]}`")
    try:
        yield metadata
    except ModuleNotFoundError:  # an optional package that the model needs
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError, AsrError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"{path}: is damaged, its parts do not fit together: {reason:.200}") from None


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors in the metadata of an exported file, by name. Raises ValueError if they are damaged."""
    encoded = read_properties(path).get(TENSORS_KEY)
    if encoded is None:
        return {}
    try:
        return safetensors.numpy.load(base64.b64decode(encoded, validate=True))
    except (safetensors.SafetensorError, binascii.Error) as error:
        raise ValueError(f"its language models are damaged: {error}") from None
