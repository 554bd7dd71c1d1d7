"""The base class of recurrent language models: tokens, text rules, conditions, files. It imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.numpy

from asr.errors import LanguageModelError, ModelFileError
from asr.lm.ngram import SPECIALS, Kind, Perplexity, TokenModel
from asr.model_file import read_metadata, write_model_file
from asr.text import Normalizer

TASK = "language model"
NOT_NUMBERS = (
    "the outputs of the language model are not numbers (NaN): its weights are damaged or too large; copy its file "
    "again, or train it with a lower learning rate"
)
_DROPPED = 0.1  # share of the training sentences that are read without their value
_CLEAN = Normalizer()  # for values of a field, which may be encoded in different ways


@dataclass(frozen=True, slots=True)
class Given:
    """A field of manifests that sentences are conditioned on, and its values, which become one-hot vectors.

    `dropped` is the share of the training sentences that were read without their value, as a vector of zeros. Above 0,
    the model can also read sentences whose value is not known. Models of earlier releases have 0.
    """

    field: str
    values: tuple[str, ...]
    dropped: float = 0.0

    @classmethod
    def learn(cls, field: str, values: Sequence[str]) -> "Given":
        """Collect the values of a field of training sentences. Raises LanguageModelError if they cannot be learned."""
        different = sorted(set(map(_CLEAN, values)))
        if not 2 <= len(different) <= len(values) / 2:
            raise LanguageModelError(
                f"the field {field} has {len(different)} different values in {len(values)} sentences; "
                "a model can learn from two values or more, in two sentences or more each on average"
            )
        return cls(field, tuple(different), _DROPPED)

    def vectors(self, values: Sequence[str]) -> np.ndarray:
        """Return one-hot vectors `(n, C)` of `n` values; there are `C`. Raises LanguageModelError for other values."""
        cleaned = list(map(_CLEAN, values))
        if unknown := sorted(set(cleaned) - set(self.values)):
            raise LanguageModelError(
                f"the language model knows no {self.field} {', '.join(map(repr, unknown))}; "
                f"its training text has {', '.join(self.values)}"
            )
        return np.eye(len(self.values), dtype=np.float32)[[self.values.index(value) for value in cleaned]]

    def absent(self, count: int) -> np.ndarray:
        """Return the vectors `(count, C)` of sentences without a value."""
        return np.zeros((count, len(self.values)), np.float32)

    def others(self, values: Sequence[str]) -> np.ndarray:
        """Return vectors `(n, C)` of wrong values, drawn at random; draws are equal in each call."""
        steps = np.random.default_rng(0).integers(1, len(self.values), len(values))
        indices = (self.vectors(values).argmax(1) + steps) % len(self.values)
        return self.vectors([self.values[index] for index in indices])


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a recurrent language model in its file: all that is no weight."""

    vocabulary: tuple[str, ...]
    units: Kind
    normalizer: Normalizer
    settings: dict[str, Any]
    summary: dict[str, Any]
    given: Given | None


class RecurrentModel(TokenModel):
    """A recurrent language model. Each sentence is scored from `<s>`, with a state of zeros.

    `settings` are the arguments of `asr.nn.lm.LanguageModel`. With a `condition_size` of `C` in `settings`, each
    sentence is conditioned on a vector of `C` numbers. `summary` is shown by `asr info`: how the model was trained.
    `given` names the field and values of the vectors, if the vectors stand for values of a field.
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
        """Keep the description of a model."""
        super().__init__(vocabulary, units)
        self.normalizer = normalizer
        self.settings = dict(settings)
        self.summary = summary or {}
        self.given = given

    @property
    def condition_size(self) -> int:
        return int(self.settings.get("condition_size", 0))

    def vector(self, value: str | None) -> np.ndarray | None:
        """Return the vector `(C,)` of a value of the model's field; None without a value and without a field.

        Without a value it is zeros. Raises LanguageModelError for a value without a field, for an unknown value, and
        for a missing value if the model was trained with values only; it lists all values.
        """
        if self.given is not None and value is not None:
            return self.given.vectors([value])[0]
        if self.given is not None and self.given.dropped:
            return self.given.absent(1)[0]
        if self.given is not None:
            values = ", ".join(self.given.values)
            raise LanguageModelError(f"the language model needs a {self.given.field}, --given one of {values}")
        if value is not None:
            raise LanguageModelError(
                f"the language model cannot be --given {value!r}; train one with `asr lm train-rnn --given FIELD`"
            )
        return None

    def given_value(self, value: str | None) -> Self:
        """Return the model of the sentences of one value: a model without conditions, for decoders of any kind.

        The vector is a part of its embeddings. Raises LanguageModelError as `vector` does.
        """
        vector = self.vector(value)
        if self.given is None or vector is None:
            return self
        tensors, metadata = self.to_tensors(), self.to_metadata()
        tensors["embedding.weight"] = tensors["embedding.weight"] + tensors.pop("condition.weight") @ vector
        metadata["network"] = {name: kept for name, kept in self.settings.items() if name != "condition_size"}
        metadata["training"] = {**self.summary, "given": f"{self.given.field} {value or 'not known'}"}
        del metadata["given"]
        return self.from_parts(tensors, metadata)

    def require_vectors(self, vectors: np.ndarray | None, count: int) -> np.ndarray | None:
        """Return `vectors (count, C)` of `count` sentences in float32; None for a model without conditions.

        Raises LanguageModelError if the shape is not the one that the model needs.
        """
        needed = (count, self.condition_size) if self.condition_size else None
        found = None if vectors is None else np.shape(vectors)
        if found != needed:
            raise LanguageModelError(
                f"for {count} sentences the language model needs vectors of shape {needed} (None: no vectors); "
                f"it was given {found}"
            )
        return None if vectors is None else np.array(vectors, dtype=np.float32)

    def log_probs(self, sentences: Sequence[np.ndarray], vectors: np.ndarray | None = None) -> Iterable[np.ndarray]:
        """Return the log-probability of each token, in nats; a conditional model needs `vectors (n, C)`."""
        raise NotImplementedError

    def perplexity(self, texts: Iterable[str], vectors: np.ndarray | None = None) -> Perplexity:
        """Compute the perplexity of texts; a conditional model needs `vectors (n, C)` of all texts that are not blank.

        Raises LanguageModelError if no text is left, and for wrong vectors.
        """
        sentences = self.encode_sentences(texts)
        return Perplexity.of(sentences, self.log_probs(sentences, vectors))

    def weights(self) -> Mapping[str, np.ndarray]:
        """Return the weights as arrays, by the names of the tensors in the file."""
        raise NotImplementedError

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return weights and vocabulary as arrays, for a safetensors file."""
        return {**self.weights(), "vocabulary": np.frombuffer("\n".join(self.vocabulary).encode(), dtype=np.uint8)}

    def to_metadata(self) -> dict[str, Any]:
        """Return the settings, for the JSON in the safetensors file."""
        return {
            "task": TASK,
            "units": self.units,
            "text": vars(self.normalizer),
            "network": self.settings,
            "training": self.summary,
            **({} if self.given is None else {"given": _stored(self.given)}),
        }

    @classmethod
    def with_weights(cls, description: Description, weights: dict[str, np.ndarray]) -> Self:
        """Build a model. Raises ValueError or TypeError unless the weights are those that the settings describe."""
        raise NotImplementedError

    @classmethod
    def from_parts(cls, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Self:
        """Build a model from `to_tensors` and `to_metadata`. Raises LanguageModelError if the parts do not fit."""
        try:
            weights = {name: array for name, array in tensors.items() if name != "vocabulary"}
            return cls.with_weights(_description(tensors, metadata), weights)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise LanguageModelError(
                f"the stored recurrent language model is damaged: {type(error).__name__}: {error}"
            ) from None

    @classmethod
    def from_file(cls, path: str | Path, *, conditional: bool = False) -> Self:
        """Read a language model file. A model that needs vectors is refused, unless it may be `conditional`.

        Raises ModelFileError that names the file if it is missing, damaged or not a language model.
        """
        metadata = lm_metadata(path)
        try:
            lm = cls.from_parts(safetensors.numpy.load_file(path), metadata)
        except (LanguageModelError, safetensors.SafetensorError) as error:
            raise ModelFileError(f"{path}: {error}; copy it again") from None
        if lm.condition_size and not conditional:
            field = lm.given.field if lm.given else "vector"
            raise ModelFileError(f"{path}: needs the {field} of each sentence; use a model trained without --given")
        return lm

    def save(self, path: str | Path) -> None:
        """Write the language model file, whole or not at all. Equal models give equal bytes."""
        write_model_file(path, self.to_tensors(), self.to_metadata())


def lm_metadata(path: str | Path) -> dict[str, Any]:
    """Read the description in a language model file. Raises ModelFileError for a file of anything else."""
    metadata = read_metadata(path)
    if metadata.get("task") != TASK:
        raise ModelFileError(f"{path}: is no recurrent language model; train one with `asr lm train-rnn`")
    return metadata


def _stored(given: Given) -> dict[str, Any]:
    """Return a field and its values for the file; files of models without dropped values keep their bytes."""
    return {name: value for name, value in asdict(given).items() if name != "dropped" or value}


def _description(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> Description:
    """Return the description in the parts of a file. Raises an error that `from_parts` names if it is damaged."""
    vocabulary = _vocabulary(tensors["vocabulary"], tokens=len(tensors["output.bias"]))
    if tuple(vocabulary[: len(SPECIALS)]) != SPECIALS or len(set(vocabulary)) != len(vocabulary):
        raise ValueError("its vocabulary is damaged")
    if metadata["units"] not in ("words", "characters"):
        raise ValueError(f"units {metadata['units']!r}")
    for name in ("text", "network", "training"):
        if not isinstance(metadata[name], dict):
            raise TypeError(f"{name} is no object")
    stored = metadata.get("given")
    given = None if stored is None else _given(**stored)
    conditions = metadata["network"].get("condition_size", 0)
    if given is not None and len(given.values) != conditions:
        raise ValueError(f"{len(given.values)} values for vectors of {conditions} numbers")
    normalizer = _normalizer(**metadata["text"])
    return Description(
        tuple(vocabulary), metadata["units"], normalizer, metadata["network"], metadata["training"], given
    )


def _given(field: Any, values: Any, dropped: Any = 0.0) -> Given:
    """Return the stored field and its values. Raises ValueError for a share that is none."""
    if type(dropped) not in (int, float) or not 0 <= dropped <= 1:
        raise ValueError(f"a share of {dropped!r} of the sentences without a value")
    return Given(str(field), tuple(map(str, values)), float(dropped))


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
