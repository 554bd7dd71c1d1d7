"""Outputs of networks that are not numbers."""

from typing import Any

from asr.errors import ModelFileError


def require_numbers(outputs: Any) -> None:
    """Raise ModelFileError if an output of the network is not a number (NaN), as very large weights make it.

    `outputs` is an array or a tensor. No decoder gives such outputs a meaning. Training alone goes on without this
    test: it tells the reason itself.
    """
    if (outputs != outputs).any():
        raise ModelFileError(
            "the outputs of the network are not numbers (NaN): the weights of the model are damaged or too large; "
            "copy the model file again, or train the model with a lower training.learning_rate"
        )
