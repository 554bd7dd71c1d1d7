"""The networks of a transducer in arrays, for compiled code: what `Transducer` (`asr/nn/transducer.py`) computes.

Numbers are float32. The search (`transducer_search.py`) needs no torch.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.errors import ConfigError
from asr.lm.arrays import GATES, require_arrays
from asr.lm.compiled import CELLS, Network, affine, network_of, tanh


class JointNetwork(NamedTuple):
    """Arrays of a transducer. `J` is the size of what the joint network adds."""

    prediction: Network  # its output map gives `J` numbers
    frames: np.ndarray  # (D + 1, J), map of the encoder states; the last row is the bias
    output: np.ndarray  # (J + 1, V)


def require_transducer(
    weights: Mapping[str, np.ndarray], cell: str, *, num_units: int, hidden: int, state_size: int
) -> None:
    """Raise ValueError unless `weights` are those of a `Transducer`; compiled code has no bounds checks."""
    gates, norms = GATES[cell] * hidden, ("norms.0.weight", "norms.0.bias", "norms.1.weight", "norms.1.bias")
    cell_of = "layers.0.forward_rnn."
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (num_units, hidden),
        **{f"{cell_of}{name}_l0": (gates, hidden) for name in ("weight_ih", "weight_hh")},
        **{f"{cell_of}{name}_l0": (gates,) for name in ("bias_ih", "bias_hh")},
        **dict.fromkeys(norms, (hidden,)),
        "from_frames.weight": (hidden, state_size),
        "from_frames.bias": (hidden,),
        "from_units.weight": (hidden, hidden),
        "output.weight": (num_units, hidden),
        "output.bias": (num_units,),
    }
    require_arrays(shapes, weights)


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
