"""Stored weights: checked against the shapes of a network before its memory is taken."""

from collections.abc import Mapping

import torch
from torch import Tensor

TENSORS_PER_LAYER = 6  # at least: two matrices and two biases of a recurrent layer, weight and bias of its norm


def require_weights(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless `stored` has every tensor of `expected`, in its shape and type, and finite.

    `expected` may have "meta" tensors, which have a shape and no memory. Further stored tensors are not looked at.
    """
    for name, tensor in expected.items():
        found = stored.get(name)
        if found is None:
            raise ValueError(f"the tensor {name} is missing")
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise ValueError(
                f"the tensor {name} is {found.dtype} of shape {tuple(found.shape)}; "
                f"the settings need {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
        if not bool(torch.isfinite(found).all()):
            raise ValueError(f"the tensor {name} holds numbers that are not finite")
