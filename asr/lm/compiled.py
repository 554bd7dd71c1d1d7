"""A recurrent character model for the compiled search, which reads a prefix one unit at a time.

It computes what `LanguageModel` (`asr/nn/lm.py`) computes in evaluation, in flat arrays and float32. Each affine map is
one matrix, whose last row is the bias. The input of the first layer depends on the token alone, so it is a table.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from asr.errors import LanguageModelError
from asr.lm.arrays import GATES
from asr.lm.base import RecurrentModel
from asr.lm.ngram import BEGIN, END, SPACE
from asr.text import BLANK, Units

CELLS = tuple(GATES)  # the cells that compiled code computes
_LSTM, _GRU, _RNN_TANH, _RNN_RELU = range(4)
_ONE, _TWO = np.float32(1), np.float32(2)
CURE = "train one of characters as the recogniser writes them: `asr lm train-rnn`"  # ends several messages
_EPSILON = np.float32(1e-5)  # as in PyTorch's layer norm


class Network(NamedTuple):
    """Arrays of a recurrent language model; `G` is the number of gates. Without layers, there is no model."""

    cell: int  # index into `CELLS`
    token: np.ndarray  # (V,) int32, token of each unit; at BLANK, the beginning of the sentence
    embedding: np.ndarray  # (tokens, H)
    inputs: np.ndarray  # (tokens, G * H), input of the first layer for each token
    between: np.ndarray  # (layers - 1, H + 1, G * H), input maps of the other layers
    recurrent: np.ndarray  # (layers, H + 1, G * H), maps of the state of each layer
    norms: np.ndarray  # (layers + 1, 2, H), weights and biases of the norms before each layer and before the output
    output: np.ndarray  # (H + 1, tokens)


def no_network() -> Network:
    """Return a network without layers, of the type that compiled functions take."""
    nothing = [np.zeros((0,) * dimensions, np.float32) for dimensions in (2, 2, 3, 3, 3, 2)]
    return Network(_LSTM, np.zeros(0, np.int32), *nothing)


def require_readable(lm: RecurrentModel, units: Units) -> None:
    """Raise LanguageModelError, with the cure, for a model that cannot read the text unit by unit."""
    if lm.units != "characters":
        raise LanguageModelError(f"it reads characters, and this recurrent language model {lm.units}; {CURE}")
    if (cell := lm.settings.get("cell", "lstm")) not in CELLS:
        raise LanguageModelError(
            f"the search cannot compute the cell {cell} of this recurrent language model, only {', '.join(CELLS)}; "
            "train one with `asr lm train-rnn --cell lstm`"
        )
    if lm.settings.get("condition_size"):
        raise LanguageModelError(f"this recurrent language model needs a vector for each sentence; {CURE}")
    if units.kind in ("decomposed", "phones"):
        raise LanguageModelError(f"it reads unit by unit, and {units.kind} are not the characters of the text")
    # Between two digits no character composes, and a mark that is kept only inside words is inside a word.
    read = {symbol: lm.tokens(lm.normalizer(f"0{symbol}0"))[1:-1] for symbol in units.symbols}
    if other := [symbol for symbol, tokens in read.items() if len(tokens) != 1 or tokens != lm.tokens(symbol)]:
        listed = ", ".join(map(repr, other))
        raise LanguageModelError(f"this recurrent language model does not read {listed} as one character; {CURE}")


def build_network(lm: RecurrentModel, units: Units) -> Network:
    """Build the arrays of a character model.

    Raises LanguageModelError for a model that cannot read unit by unit, and for a damaged one.
    """
    require_readable(lm, units)
    weights = lm.to_tensors()
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise LanguageModelError("the recurrent language model is damaged: some weights are not numbers; copy it again")
    return network_of(
        weights,
        cell=lm.settings.get("cell", "lstm"),
        token=[BEGIN, *lm.encode(SPACE if symbol == " " else symbol for symbol in units.symbols)],
        output=np.vstack([weights["output.weight"].T, weights["output.bias"]]),
    )


def network_of(
    weights: Mapping[str, np.ndarray], *, cell: str, token: Sequence[int] | np.ndarray, output: np.ndarray
) -> Network:
    """Build the arrays of an embedding and `residual_layers`, by the names of their parameters, and an output map.

    `token (V,)` is the row of the embedding of each unit, and `output (H + 1, any size)` has the bias in its last row.
    """
    layers = sum(name.endswith("forward_rnn.weight_hh_l0") for name in weights)

    def of_layer(kind: str, layer: int) -> np.ndarray:
        name = f"layers.{layer}.forward_rnn."
        return np.vstack([weights[f"{name}weight_{kind}_l0"].T, weights[f"{name}bias_{kind}_l0"]])

    embedding, first = weights["embedding.weight"], of_layer("ih", 0)
    norms = np.array([[weights[f"norms.{layer}.{part}"] for part in ("weight", "bias")] for layer in range(layers + 1)])
    return Network(
        CELLS.index(cell),
        np.array(token, np.int32),
        *(
            np.require(array, np.float32, ["C", "W"])  # so that functions are compiled for one type of array
            for array in (
                embedding,
                [affine(_normalised(row, norms[0]), first) for row in embedding],
                np.reshape([of_layer("ih", layer) for layer in range(1, layers)], (-1, *first.shape)),
                [of_layer("hh", layer) for layer in range(layers)],
                norms,
                output,
            )
        ),
    )


@njit(cache=True, nogil=True)
def outputs_after(network: Network, unit: int, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Read one unit in the state `before (layers, 2, H)`; write the state `after` it, and return the output map."""
    token = network.token[unit]
    x = network.embedding[token].copy()
    inputs = network.inputs[token]
    for layer in range(len(network.recurrent)):
        if layer > 0:
            inputs = affine(_normalised(x, network.norms[layer]), network.between[layer - 1])
        _cell(network.cell, inputs, affine(before[layer, 0], network.recurrent[layer]), before[layer], after[layer])
        x += after[layer, 0]
    return affine(_normalised(x, network.norms[-1]), network.output)


@njit(cache=True, nogil=True)
def read(network: Network, unit: int, before: np.ndarray, after: np.ndarray, follows: np.ndarray) -> None:
    """Read one unit, or BLANK for the beginning of the text, in the state `before (layers, 2, H)`.

    Writes the state `after` it, and `follows (V,)`: the log-probability of each next unit, and at BLANK of the end.
    """
    logits = outputs_after(network, unit, before, after)
    highest = logits.max()
    total = 0.0
    for logit in logits:
        total += math.exp(logit - highest)
    norm = highest + math.log(total)
    for following in range(len(follows)):
        follows[following] = logits[END if following == BLANK else network.token[following]] - norm


@njit(cache=True, nogil=True, fastmath=True)
def affine(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Compute `x @ matrix[:-1] + matrix[-1]`, by whole rows to vectorise, and by fours to write the sum less often."""
    total = matrix[-1].copy()
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):
        row_a, row_b, row_c, row_d = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(len(total)):
            total[j] += a * row_a[j] + b * row_b[j] + c * row_c[j] + d * row_d[j]
    for i in range(whole, len(x)):
        total += x[i] * matrix[i]
    return total


@njit(cache=True, nogil=True)
def _normalised(x: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Apply layer norm."""
    centred = x - x.mean()
    return centred / np.sqrt((centred * centred).mean() + _EPSILON) * norm[0] + norm[1]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")  # NaN of weights that overflow is no error
def _sigmoid(x: float) -> np.floating:
    return _ONE / (_ONE + math.exp(-x))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def tanh(x: float) -> np.floating:
    return _ONE - _TWO / (_ONE + math.exp(_TWO * x))  # three times as fast as math.tanh


@njit(cache=True, nogil=True, fastmath=True)
def _cell(kind: int, inputs: np.ndarray, own: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """Compute one step of a layer from the mapped input and the mapped state, gates in PyTorch's order."""
    size = before.shape[1]
    gates = inputs + own
    for j in range(size):
        if kind == _LSTM:
            taken = _sigmoid(gates[j]) * tanh(gates[j + 2 * size])
            after[1, j] = _sigmoid(gates[j + size]) * before[1, j] + taken
            after[0, j] = _sigmoid(gates[j + 3 * size]) * tanh(after[1, j])
        elif kind == _GRU:
            new = tanh(inputs[j + 2 * size] + _sigmoid(gates[j]) * own[j + 2 * size])
            after[0, j] = new + _sigmoid(gates[j + size]) * (before[0, j] - new)
        elif kind == _RNN_TANH:
            after[0, j] = tanh(gates[j])
        else:
            after[0, j] = max(gates[j], np.float32(0))
