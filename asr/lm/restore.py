"""Recurrent language models for decoding: arrays without torch, or the network in PyTorch for cells of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asr.lm.arrays import GATES, ArrayLM
from asr.lm.base import RecurrentModel, lm_metadata


def restore(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> RecurrentModel:
    """Build a language model from the parts in a model file. Raises LanguageModelError if the parts do not fit."""
    return _class_for(metadata).from_parts(tensors, metadata)


def load_for_decoding(path: str | Path, value: str | None = None) -> RecurrentModel:
    """Read a language model file; `value` is that of the model's field, if the model is conditioned on one.

    Raises ModelFileError as `RecurrentModel.from_file` does, and LanguageModelError as `RecurrentModel.vector` does.
    """
    metadata = lm_metadata(path)
    return _class_for(metadata).from_file(path, conditional="given" in metadata).given_value(value)


def _class_for(metadata: Mapping[str, Any]) -> type[RecurrentModel]:
    network = metadata.get("network")
    cell = network.get("cell", "lstm") if isinstance(network, dict) else "lstm"
    if not isinstance(cell, str) or cell in GATES:
        return ArrayLM
    from asr.lm.recurrent import RecurrentLM  # imports torch, which the other cells do not need

    return RecurrentLM
