"""The decoder that a model file stores: beam search, language models and their weights."""

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from asr.decoding.beam import BeamSearch, Pruning
from asr.decoding.fusion import Fusion, Weights, build_fusion
from asr.decoding.hotwords import Hotwords
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.rescoring import Rescorer
from asr.errors import LanguageModelError
from asr.lm.base import RecurrentModel
from asr.lm.compiled import Network, build_network
from asr.lm.ngram import NGram
from asr.lm.restore import restore
from asr.text import Units

_MOST_NEW = 1 << 20  # prefixes that one frame may add to a beam; each takes about 100 bytes
_MOST_WEIGHT = 1e6  # nats, or a factor


class FrameSearch(Protocol):
    """A search that takes the frames of an utterance in chunks: log-probabilities `(S, V)` or states `(S, D)`."""

    def reset(self) -> None:
        """Return to the empty prefix, for the next utterance."""

    def feed(self, frames: np.ndarray, /) -> None:
        """Continue the search with more frames."""

    def hypotheses(self, count: int = 1) -> list[Hypothesis]:
        """Return up to `count` hypotheses, best first, as if the utterance ended here."""


class Decoder:
    """Beam search with language models. Decoding does not change the decoder, so threads may share it.

    `begin` begins a search over the frames of a model that are no log-probabilities of CTC.
    """

    begin: Callable[[Fusion, Pruning], FrameSearch] | None = None

    def __init__(
        self,
        units: Units,
        words: NGram | None = None,
        characters: NGram | None = None,
        *,
        closed: bool = False,
        weights: Weights | None = None,
        pruning: Pruning | None = None,
        summary: dict[str, Any] | None = None,
    ) -> None:
        """Build a decoder from n-gram models; `Decoder(units)` is a beam search without a language model.

        `closed` allows only words of the word model. `summary` is shown by `asr info`: how the decoder was tuned.
        Raises LanguageModelError for a model of the wrong kind, and for `closed` without a word model.
        """
        self.units = units
        self.models = {"words": words, "characters": characters}
        self.fusion = build_fusion(units, words, characters, closed=closed, weights=weights)
        self.pruning = pruning or Pruning()
        self.summary = summary or {}
        self.recurrent: RecurrentModel | None = None  # used in the search
        self.network: Network | None = None  # arrays of `recurrent`, for the compiled search
        self.rescorer: Rescorer | None = None

    @property
    def weights(self) -> Weights:
        return self.fusion.weights

    def using(
        self, *, weights: Weights | None = None, pruning: Pruning | None = None, hotwords: Hotwords | None = None
    ) -> "Decoder":
        """Return a decoder with other settings and these language models. Hotwords are not stored in the model file."""
        other = copy.copy(self)
        other.fusion = self.fusion._replace(
            weights=Weights(*map(float, weights or self.weights)), hotwords=hotwords or self.fusion.hotwords
        )
        other.pruning = pruning or self.pruning
        return other

    def fusing(self, recurrent: RecurrentModel) -> "Decoder":
        """Return a decoder that also uses a recurrent model in the search.

        Raises LanguageModelError if the model cannot be used unit by unit.
        """
        if self.begin is not None:
            raise LanguageModelError("the search over a transducer reads n-grams; a recurrent model can rescore")
        other = copy.copy(self)
        other.recurrent, other.network = recurrent, build_network(recurrent, self.units)
        return other

    def without_recurrent(self) -> "Decoder":
        """Return a decoder with n-grams alone."""
        other = self.using(weights=self.weights._replace(recurrent=0.0, unit=0.0))
        other.recurrent = other.network = other.rescorer = None
        return other

    def over(self, begin: Callable[[Fusion, Pruning], FrameSearch]) -> "Decoder":
        """Return a decoder whose searches are begun by `begin`."""
        other = copy.copy(self)
        other.begin = begin
        return other

    def search(self, width: int = 1) -> FrameSearch:
        """Begin a search with a beam of at least this width."""
        pruning = self.pruning._replace(width=max(self.pruning.width, width))
        if self.begin is not None:
            return self.begin(self.fusion, pruning)
        return BeamSearch(self.fusion, pruning, self.network)

    def decode(self, log_probs: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Return the best hypothesis of each utterance, given as log-probabilities `(S, V)`, or what `begin` reads."""
        return [best for best, *_ in self.decode_n_best(log_probs, 1)]

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]:
        """Return up to `count` hypotheses of each utterance, best first, from a beam of at least this width.

        A rescorer ranks the whole beam.
        """
        if self.rescorer is None:
            return self._search(log_probs, count)
        lists = self.rescorer.rescored(self._search(log_probs, max(count, self.pruning.width)))
        return [hypotheses[:count] for hypotheses in lists]

    def _search(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]:
        """Search each utterance, in threads; return up to `count` hypotheses of each, best first."""
        results: list[list[Hypothesis]] = [[] for _ in log_probs]

        def work(share: range) -> None:
            search = self.search(count)
            for index in share:
                search.reset()
                search.feed(log_probs[index])
                results[index] = search.hypotheses(count)

        threads = max(1, min(os.cpu_count() or 1, len(log_probs)))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, (range(thread, len(log_probs), threads) for thread in range(threads))))
        return results

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the language models as arrays, for the model file."""
        return {
            f"{kind}.{name}": tensor
            for kind, model in {**self.models, "recurrent": self.recurrent, "rescorer": self.rescorer}.items()
            if model is not None
            for name, tensor in model.to_tensors().items()
        }

    def to_metadata(self) -> dict[str, Any]:
        """Return the settings, for the JSON in the model file."""
        return {
            "weights": self.weights._asdict(),
            "pruning": self.pruning._asdict(),
            "closed": self.fusion.closed,
            "summary": self.summary,
            **{
                kind: model.to_metadata()
                for kind, model in {"recurrent": self.recurrent, "rescorer": self.rescorer}.items()
                if model is not None
            },
        }

    @classmethod
    def from_parts(cls, units: Units, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> "Decoder":
        """Build a decoder from `to_tensors` and `to_metadata`. Raises LanguageModelError if the parts do not fit."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, tensor in tensors.items():
            kind, _, part = name.partition(".")
            parts.setdefault(kind, {})[part] = tensor
        models = {kind: NGram.from_tensors(parts[kind]) for kind in ("words", "characters") if kind in parts}
        try:
            weights, pruning = Weights(**metadata["weights"]), Pruning(**metadata["pruning"])
            _require_settings(weights, pruning)
            closed, summary = bool(metadata["closed"]), metadata.get("summary")
            if not isinstance(summary, dict | None):
                raise TypeError(f"summary is {summary!r}, no object")
            decoder = cls(units, **models, closed=closed, weights=weights, pruning=pruning, summary=summary)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise LanguageModelError(f"the stored settings of the decoder are damaged: {error!r}") from None
        for kind in ("recurrent", "rescorer"):
            if not isinstance(metadata.get(kind, {}), dict):
                raise LanguageModelError(f"the stored settings of the decoder are damaged: {kind!r} is no object")
        if "recurrent" in metadata:
            decoder = decoder.fusing(restore(parts.get("recurrent", {}), metadata["recurrent"]))
        if "rescorer" in metadata:
            decoder.rescorer = Rescorer.from_parts(units, parts.get("rescorer", {}), metadata["rescorer"])
        return decoder


def _require_settings(weights: Weights, pruning: Pruning) -> None:
    """Raise ValueError unless compiled code can take stored settings: finite numbers, a beam that fits in memory."""
    if not all(type(number) in (int, float) and abs(number) <= _MOST_WEIGHT for number in (*weights, *pruning)):
        raise ValueError(f"not all of {weights}, {pruning} are numbers up to {_MOST_WEIGHT:.0f}")
    sizes = (pruning.width, pruning.units)
    if any(type(size) is not int or size < 1 for size in sizes) or math.prod(sizes) > _MOST_NEW or pruning.margin < 0:
        raise ValueError(f"{pruning} is no beam that fits in memory")
