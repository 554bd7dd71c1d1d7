"""The networks of a transducer in arrays, for compiled code: what `Transducer` (`asr/nn/transducer.py`) computes.

Numbers are float32. The search (`transducer_search.py`) needs no torch.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.errors import ConfigError
from asr.lm.compiled import CELLS, Network, affine, network_of, tanh


class JointNetwork(NamedTuple):
    """Arrays of a transducer. `J` is the size of what the joint network adds."""

    prediction: Network  # its output map gives `J` numbers
    frames: np.ndarray  # (D + 1, J), map of the encoder states; the last row is the bias
    output: np.ndarray  # (J + 1, V)


def build_joint(weights: Mapping[str, np.ndarray], cell: str) -> JointNetwork:
    """Build the arrays from the parameters of a `Transducer`, by name.

    Raises ConfigError for a cell that compiled code does not compute.
    """
    if cell not in CELLS:
        raise ConfigError(
            f"a transducer of the cell {cell} can be trained, but not decoded; --set model.cell to one of "
            f"{', '.join(CELLS)}"
        )
    num_units, size = weights["output.weight"].shape
    to_joint = np.vstack([weights["from_units.weight"].T, np.zeros((1, size), np.float32)])
    maps = (
        np.require(np.vstack([weights[f"{name}.weight"].T, weights[f"{name}.bias"]]), np.float32, ["C", "W"])
        for name in ("from_frames", "output")
    )
    return JointNetwork(network_of(weights, cell=cell, token=np.arange(num_units), output=to_joint), *maps)


@njit(cache=True, nogil=True)
def write_log_probs(output: np.ndarray, frame: np.ndarray, predicted: np.ndarray, log_probs: np.ndarray) -> None:
    """Write the log-probabilities `(V,)` of all units and the blank in a frame `(J,)`, after `predicted (J,)`."""
    hidden = frame + predicted
    for j in range(len(hidden)):
        hidden[j] = tanh(hidden[j])
    logits = affine(hidden, output)
    highest = logits.max()
    total = 0.0
    for logit in logits:
        total += math.exp(logit - highest)
    log_probs[:] = logits - (highest + math.log(total))
