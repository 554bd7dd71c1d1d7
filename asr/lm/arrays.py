"""A recurrent language model as arrays: it scores sentences as `asr.nn.lm.LanguageModel` does, in numpy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from asr.batching import plan_batches
from asr.errors import LanguageModelError
from asr.lm.base import NOT_NUMBERS, Description, RecurrentModel
from asr.lm.ngram import BEGIN

# The cells that are computed without torch, not all of `asr/cells.py`: their numbers of gates.
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_BATCH_TOKENS = 1 << 14  # tokens scored at a time, with padding
_BATCH_SENTENCES = 512
_EPSILON = np.float32(1e-5)  # as in PyTorch's layer norm
_TENSORS_PER_LAYER = 6  # two matrices and two biases of the cell, weight and bias of the norm


def require_arrays(shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless `weights` has a finite float32 array of each of the shapes."""
    for name, shape in shapes.items():
        if (found := weights.get(name)) is None:
            raise ValueError(f"the tensor {name} is missing")
        if found.shape != shape or found.dtype != np.float32:
            raise ValueError(
                f"the tensor {name} is {found.dtype} of shape {found.shape}; the settings need float32 of shape {shape}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"the tensor {name} holds numbers that are not finite")


class ArrayLM(RecurrentModel):
    """A recurrent language model that needs no torch. It scores sentences; it cannot be trained."""

    def __init__(self, description: Description, weights: Mapping[str, np.ndarray]) -> None:
        """Join a description and weights that fit it."""
        text = description.vocabulary, description.units, description.normalizer
        super().__init__(*text, description.settings, description.summary, description.given)
        self._weights = dict(weights)
        self._layers: int = self.settings.get("layers", 1)
        self._cell: str = self.settings.get("cell", "lstm")

    @classmethod
    def with_weights(cls, description: Description, weights: dict[str, np.ndarray]) -> Self:
        settings = description.settings
        if settings.get("layers", 1) * _TENSORS_PER_LAYER > len(weights):
            raise ValueError(f"{settings['layers']} layers cannot be in {len(weights)} tensors")
        shapes = _shapes(len(description.vocabulary), **settings)
        if other := weights.keys() - shapes:
            raise ValueError(f"the settings know no tensor {min(other)}")
        require_arrays(shapes, weights)
        return cls(description, weights)

    def weights(self) -> Mapping[str, np.ndarray]:
        return self._weights

    def log_probs(self, sentences: Sequence[np.ndarray], vectors: np.ndarray | None = None) -> Iterable[np.ndarray]:
        given = self.require_vectors(vectors, len(sentences))
        found: list[np.ndarray] = [np.empty(0)] * len(sentences)
        lengths = [len(sentence) for sentence in sentences]
        for batch in plan_batches(lengths, max_samples=_BATCH_TOKENS, max_utterances=_BATCH_SENTENCES):
            targets = np.zeros((len(batch), max(lengths[index] for index in batch)), np.int64)  # (B, S)
            for row, index in zip(targets, batch, strict=True):
                row[: lengths[index]] = sentences[index]
            with np.errstate(over="ignore", invalid="ignore"):  # damaged weights overflow; the check below names them
                rows = self._score(targets, None if given is None else given[batch])
            for index, scores in zip(batch, rows, strict=True):
                found[index] = scores[: lengths[index]].astype(np.float64)
                if np.isnan(found[index]).any():
                    raise LanguageModelError(NOT_NUMBERS)
        return found

    def _score(self, targets: np.ndarray, given: np.ndarray | None) -> np.ndarray:
        """Return the log-probability `(B, S)` of each token of `targets (B, S)` after the tokens before it."""
        weights = self._weights
        before = np.roll(targets, 1, axis=1)
        before[:, 0] = BEGIN
        x = weights["embedding.weight"][before]  # (B, S, H)
        if given is not None:
            x = x + (given @ weights["condition.weight"].T)[:, None]
        for layer in range(self._layers):
            x = x + self._layer(layer, self._norm(layer, x))
        x = self._norm(self._layers, x)
        scores = np.empty(targets.shape, np.float32)
        for step in range(targets.shape[1]):  # one step at a time, because a large vocabulary needs much memory
            logits = x[:, step] @ weights["output.weight"].T + weights["output.bias"]  # (B, V)
            logits -= logits.max(axis=1, keepdims=True)
            chosen = logits[np.arange(len(logits)), targets[:, step]]
            scores[:, step] = chosen - np.log(np.exp(logits).sum(axis=1))
        return scores

    def _norm(self, number: int, x: np.ndarray) -> np.ndarray:
        """Apply a layer norm to the last axis."""
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + _EPSILON)
        scaled: np.ndarray = centred / deviation * self._weights[f"norms.{number}.weight"]
        return scaled + self._weights[f"norms.{number}.bias"]

    def _layer(self, number: int, x: np.ndarray) -> np.ndarray:
        """Run a recurrent layer over `x (B, S, H)`; return its outputs `(B, S, H)`."""
        prefix = f"layers.{number}.forward_rnn."
        inputs, own = (
            (self._weights[f"{prefix}weight_{kind}_l0"].T, self._weights[f"{prefix}bias_{kind}_l0"])
            for kind in ("ih", "hh")
        )
        mapped = x @ inputs[0] + inputs[1]  # (B, S, gates * H)
        hidden = memory = np.zeros_like(x[:, 0])
        outputs = np.empty_like(x)
        for step in range(x.shape[1]):
            hidden, memory = self._step(mapped[:, step], hidden @ own[0] + own[1], hidden, memory)
            outputs[:, step] = hidden
        return outputs

    def _step(
        self, inputs: np.ndarray, own: np.ndarray, hidden: np.ndarray, memory: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute one step of a cell `(B, H)` from its mapped input and state, with gates in PyTorch's order."""
        if self._cell == "lstm":
            take, keep, new, give = np.split(inputs + own, 4, axis=1)
            memory = _sigmoid(keep) * memory + _sigmoid(take) * np.tanh(new)
            return _sigmoid(give) * np.tanh(memory), memory
        if self._cell == "gru":
            (reset, update, new), (own_reset, own_update, own_new) = (
                np.split(part, 3, axis=1) for part in (inputs, own)
            )
            new = np.tanh(new + _sigmoid(reset + own_reset) * own_new)
            return new + _sigmoid(update + own_update) * (hidden - new), memory
        return (np.tanh(inputs + own) if self._cell == "rnn_tanh" else np.maximum(inputs + own, 0)), memory


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + 1)  # a sum of exponentials would overflow


def _shapes(
    tokens: int,
    *,
    cell: Any = "lstm",
    hidden: Any = 256,
    layers: Any = 1,
    dropout: Any = 0.2,
    condition_size: Any = 0,
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a network, by name. Raises ValueError for settings that no network has."""
    if cell not in GATES:
        raise ValueError(f"the cell {cell!r} needs PyTorch; without it, the cells are {', '.join(GATES)}")
    if any(type(size) is not int for size in (hidden, layers, condition_size)):
        raise ValueError("its sizes are no whole numbers")
    if hidden < 1 or layers < 1 or condition_size < 0 or not 0 <= dropout < 1:
        raise ValueError(f"no network has hidden {hidden}, layers {layers}, dropout {dropout}")
    rows = GATES[cell] * hidden
    shapes = {"embedding.weight": (tokens, hidden), "output.weight": (tokens, hidden), "output.bias": (tokens,)}
    for layer in range(layers):
        prefix = f"layers.{layer}.forward_rnn."
        shapes |= {f"{prefix}weight_{kind}_l0": (rows, hidden) for kind in ("ih", "hh")}
        shapes |= {f"{prefix}bias_{kind}_l0": (rows,) for kind in ("ih", "hh")}
    for norm in range(layers + 1):
        shapes |= {f"norms.{norm}.{part}": (hidden,) for part in ("weight", "bias")}
    return shapes | ({"condition.weight": (hidden, condition_size)} if condition_size else {})
