"""Recurrent language models: network, tokens and normaliser in one file; scoring and generation of text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from asr.batching import plan_batches
from asr.errors import LanguageModelError, ModelFileError
from asr.lm.ngram import BEGIN, END, SPECIALS, UNKNOWN, Kind, Perplexity, TokenModel, join_tokens
from asr.model_file import read_metadata, write_model_file
from asr.nn.lm import LanguageModel
from asr.nn.weights import TENSORS_PER_LAYER, require_weights
from asr.text import Normalizer

TASK = "language model"
_BATCH_TOKENS = 1 << 14  # tokens scored at a time, with padding
_BATCH_SENTENCES = 512
_CLEAN = Normalizer()  # for values of a field, which may be encoded in different ways


@dataclass(frozen=True, slots=True)
class Given:
    """A field of manifests that sentences are conditioned on, and its values, which become one-hot vectors."""

    field: str
    values: tuple[str, ...]

    @classmethod
    def learn(cls, field: str, values: Sequence[str]) -> "Given":
        """Collect the values of a field of training sentences. Raises LanguageModelError if they cannot be learned."""
        different = sorted(set(map(_CLEAN, values)))
        if not 2 <= len(different) <= len(values) / 2:
            raise LanguageModelError(
                f"the field {field} has {len(different)} different values in {len(values)} sentences; "
                "a model can learn from two values or more, in two sentences or more each on average"
            )
        return cls(field, tuple(different))

    def vectors(self, values: Sequence[str]) -> np.ndarray:
        """Return one-hot vectors `(n, C)` of `n` values; there are `C`. Raises LanguageModelError for other values."""
        cleaned = list(map(_CLEAN, values))
        if unknown := sorted(set(cleaned) - set(self.values)):
            raise LanguageModelError(
                f"the language model knows no {self.field} {', '.join(map(repr, unknown))}; "
                f"its training text has {', '.join(self.values)}"
            )
        return np.eye(len(self.values), dtype=np.float32)[[self.values.index(value) for value in cleaned]]

    def others(self, values: Sequence[str]) -> np.ndarray:
        """Return vectors `(n, C)` of wrong values, drawn at random; draws are equal in each call."""
        steps = np.random.default_rng(0).integers(1, len(self.values), len(values))
        indices = (self.vectors(values).argmax(1) + steps) % len(self.values)
        return self.vectors([self.values[index] for index in indices])


class RecurrentLM(TokenModel):
    """A recurrent network with its tokens. Each sentence is scored from `<s>`, with a state of zeros.

    With a `condition_size` of `C` in `settings`, each sentence is conditioned on a vector of `C` numbers.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        units: Kind,
        normalizer: Normalizer,
        settings: Mapping[str, Any],
        summary: dict[str, Any] | None = None,
        given: Given | None = None,
    ) -> None:
        """Make a model with fresh weights.

        `settings` are arguments of `LanguageModel`. `summary` is shown by `asr info`: how the model was trained.
        `given` names the field and values of its vectors, if the vectors stand for values of a field.
        """
        super().__init__(vocabulary, units)
        self.normalizer = normalizer
        self.settings = dict(settings)
        self.summary = summary or {}
        self.given = given
        self.network = LanguageModel(num_tokens=len(self.vocabulary), **settings)

    @property
    def device(self) -> torch.device:
        return self.network.output.weight.device

    @property
    def condition_size(self) -> int:
        return int(self.settings.get("condition_size", 0))

    def vector(self, value: str | None) -> np.ndarray | None:
        """Return the vector `(C,)` of a value of the model's field; None without a value and without a field.

        Raises LanguageModelError for a value without a field, and for a missing or unknown value; it lists all values.
        """
        if self.given is not None and value is not None:
            return self.given.vectors([value])[0]
        if self.given is not None:
            values = ", ".join(self.given.values)
            raise LanguageModelError(f"the language model needs a {self.given.field}, --given one of {values}")
        if value is not None:
            raise LanguageModelError(
                f"the language model cannot be --given {value!r}; train one with `asr lm train-rnn --given FIELD`"
            )
        return None

    def condition(self, vectors: np.ndarray | None, count: int) -> Tensor | None:
        """Return `vectors (count, C)` of `count` sentences on the device of the network; None for no condition.

        Raises LanguageModelError if the shape is not the one that the model needs.
        """
        needed = (count, self.condition_size) if self.condition_size else None
        found = None if vectors is None else np.shape(vectors)
        if found != needed:
            raise LanguageModelError(
                f"for {count} sentences the language model needs vectors of shape {needed} (None: no vectors); "
                f"it was given {found}"
            )
        return None if vectors is None else torch.from_numpy(np.array(vectors, dtype=np.float32)).to(self.device)

    def perplexity(self, texts: Iterable[str], vectors: np.ndarray | None = None) -> Perplexity:
        """Compute the perplexity of texts; a conditional model needs `vectors (n, C)` of all texts that are not blank.

        Raises LanguageModelError if no text is left, and for wrong vectors.
        """
        sentences = self.encode_sentences(texts)
        return Perplexity.of(sentences, self.log_probs(sentences, vectors))

    @torch.inference_mode()
    def log_probs(self, sentences: Sequence[np.ndarray], vectors: np.ndarray | None = None) -> Iterable[np.ndarray]:
        given = self.condition(vectors, len(sentences))
        self.network.eval()
        found: list[np.ndarray] = [np.empty(0)] * len(sentences)
        lengths = [len(sentence) for sentence in sentences]
        for batch in plan_batches(lengths, max_samples=_BATCH_TOKENS, max_utterances=_BATCH_SENTENCES):
            following = [torch.from_numpy(sentences[index]).long() for index in batch]
            targets = torch.nn.utils.rnn.pad_sequence(following, batch_first=True).to(self.device)  # (B, S)
            before = targets.roll(1, dims=1)
            before[:, 0] = BEGIN
            log_probs, _ = self.network(before, None, None if given is None else given[batch])
            rows = log_probs.gather(-1, targets[:, :, None])[:, :, 0].double().cpu().numpy()
            for index, row in zip(batch, rows, strict=True):
                found[index] = row[: lengths[index]]
        return found

    @torch.inference_mode()
    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        vector: np.ndarray | None = None,
    ) -> str:
        """Return `prompt` and `length` tokens after it, drawn one by one; each sentence is a line.

        Probabilities are raised to the power 1 / `temperature`: below 1, likely tokens are drawn more often; at 0, the
        most likely token is always taken. A conditional model needs a `vector (C,)`. Raises LanguageModelError for a
        prompt with unknown tokens, for a missing vector, and if the outputs of the network are not numbers (NaN).
        """
        given = self.condition(None if vector is None else np.asarray(vector)[None], 1)
        self.network.eval()
        given_tokens = self.tokens(self.normalizer(prompt))
        if unknown := sorted(set(given_tokens) - set(self.vocabulary[len(SPECIALS) :])):
            raise LanguageModelError(
                f"the model does not know {', '.join(map(repr, unknown))}; leave it out of the prompt"
            )
        generator = torch.Generator().manual_seed(seed)
        lines = [given_tokens]
        tokens = [BEGIN, *self.encode(given_tokens).tolist()]
        states = None
        for _ in range(length):
            log_probs, states = self.network(torch.tensor([tokens], device=self.device), states, given)
            scores = log_probs[0, -1].cpu()
            if scores.isnan().any():
                raise LanguageModelError(
                    "the outputs of the language model are not numbers (NaN): its weights are damaged or too large; "
                    "copy its file again, or train it with a lower learning rate"
                )
            scores[[UNKNOWN, BEGIN]] = -torch.inf
            if temperature > 0:
                scores -= scores.max()  # so that a small temperature does not turn all of them into -inf
                token = int(torch.multinomial((scores / temperature).softmax(0), 1, generator=generator))
            else:
                token = int(scores.argmax())
            if token == END:
                lines.append([])
            else:
                lines[-1].append(self.vocabulary[token])
            tokens = [BEGIN if token == END else token]
        return "\n".join(join_tokens(line, self.units) for line in lines)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return weights and vocabulary as arrays, for a safetensors file."""
        weights = {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}
        return {**weights, "vocabulary": np.frombuffer("\n".join(self.vocabulary).encode(), dtype=np.uint8)}

    def to_metadata(self) -> dict[str, Any]:
        """Return the settings, for the JSON in the safetensors file."""
        return {
            "task": TASK,
            "units": self.units,
            "text": vars(self.normalizer),
            "network": self.settings,
            "training": self.summary,
            **({} if self.given is None else {"given": asdict(self.given)}),
        }

    @classmethod
    def from_parts(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> "RecurrentLM":
        """Build a model from `to_tensors` and `to_metadata`. Raises LanguageModelError if the parts do not fit."""
        try:
            weights = {name: torch.tensor(array) for name, array in tensors.items() if name != "vocabulary"}
            vocabulary = _vocabulary(tensors["vocabulary"], tokens=len(weights["output.bias"]))
            if tuple(vocabulary[: len(SPECIALS)]) != SPECIALS or len(set(vocabulary)) != len(vocabulary):
                raise ValueError("its vocabulary is damaged")
            if metadata["units"] not in ("words", "characters"):
                raise ValueError(f"units {metadata['units']!r}")
            for name in ("text", "network", "training"):
                if not isinstance(metadata[name], dict):
                    raise TypeError(f"{name} is no object")
            normalizer = _normalizer(**metadata["text"])
            stored = metadata.get("given")
            given = None if stored is None else Given(str(stored["field"]), tuple(map(str, stored["values"])))
            _require_network(metadata["network"], len(vocabulary), weights)
            lm = cls(vocabulary, metadata["units"], normalizer, metadata["network"], metadata["training"], given)
            if given is not None and len(given.values) != lm.condition_size:
                raise ValueError(f"{len(given.values)} values for vectors of {lm.condition_size} numbers")
            lm.network.load_state_dict(weights)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise LanguageModelError(
                f"the stored recurrent language model is damaged: {type(error).__name__}: {error}"
            ) from None
        return lm

    def save(self, path: str | Path) -> None:
        """Write the language model file, whole or not at all. Equal models give equal bytes."""
        write_model_file(path, self.to_tensors(), self.to_metadata())


def _vocabulary(stored: np.ndarray, tokens: int) -> list[str]:
    """Return the words in a tensor of UTF-8. Raises ValueError unless there are as many as the network has `tokens`."""
    if stored.dtype != np.uint8 or int(np.count_nonzero(stored == ord("\n"))) + 1 != tokens:
        raise ValueError(f"its vocabulary has not the {tokens} tokens of its network")
    return stored.tobytes().decode().split("\n")


def _normalizer(lower: Any = False, strip_punctuation: Any = False, keep_inside_words: Any = "'") -> Normalizer:
    """Return the normaliser with stored settings. Raises ValueError for settings that no normaliser has."""
    if lower not in (False, True, "turkic") or not isinstance(keep_inside_words, str):
        raise ValueError(f"no normaliser has lower={lower!r}, keep_inside_words={keep_inside_words!r}")
    return Normalizer(lower=lower, strip_punctuation=bool(strip_punctuation), keep_inside_words=keep_inside_words)


def _require_network(settings: Mapping[str, Any], tokens: int, weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless stored weights are finite and have the shapes that the settings describe.

    The network is built without memory ("meta" tensors). So a small file cannot ask for a network that is large.
    """
    if settings.get("layers", 1) * TENSORS_PER_LAYER > len(weights):
        raise ValueError(f"{settings['layers']} layers cannot be in {len(weights)} tensors")
    with torch.device("meta"):
        network = LanguageModel(num_tokens=tokens, **settings)
    if not network.layers:
        raise ValueError("it has no layers")
    require_weights(network.state_dict(), weights)


def load_recurrent(path: str | Path, *, conditional: bool = False) -> RecurrentLM:
    """Read a language model file. A model that is conditioned on vectors is refused, unless it may be `conditional`.

    Raises ModelFileError that names the file if it is missing, damaged or not a language model.
    """
    metadata = read_metadata(path)
    if metadata.get("task") != TASK:
        raise ModelFileError(f"{path}: is no recurrent language model; train one with `asr lm train-rnn`")
    try:
        lm = RecurrentLM.from_parts(safetensors.numpy.load_file(path), metadata)
    except (LanguageModelError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"{path}: {error}; copy it again") from None
    if lm.condition_size and not conditional:
        field = lm.given.field if lm.given else "vector"
        raise ModelFileError(f"{path}: needs the {field} of each sentence; use a model trained without --given")
    return lm
