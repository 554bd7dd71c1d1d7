"""Decoding other than the model's own: n-best lists, hotwords, closed sets of phrases, or no language model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asr.decoding.decoder import Decoder
from asr.decoding.greedy import best_path
from asr.decoding.hotwords import build_hotwords, read_hotwords
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.phrases import Phrases, Rejection, read_phrases
from asr.errors import AsrError
from asr.text import Normalizer, Units


class NBestDecoder(Protocol):
    """A decoder that gives several hypotheses of an utterance."""

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]:
        """Decode log-probabilities `(S, V)` of each utterance into up to `count` hypotheses, best first."""


class SearchedModel(Protocol):
    """The parts of a recogniser that a search over its frames needs."""

    units: Units
    normalizer: Normalizer
    decoder: Decoder | None
    rejection: Rejection | None

    @property
    def reads_log_probs(self) -> bool:
        """Return True if the model decodes CTC's log-probabilities alone."""

    def require_ctc_search(self) -> None:
        """Raise ConfigError unless the model decodes by a search over CTC's log-probabilities alone."""

    def beam(self) -> Decoder:
        """Return a beam search without language models; raise ConfigError for a model with an attention decoder."""


@dataclass(frozen=True, slots=True)
class Search:
    """A decoder that replaces the model's own, and the length of its n-best lists.

    `unbiased` is the same decoder without hotwords, for comparison. `closed` tells whether scores are log-posteriors
    of a closed set of phrases.
    """

    decoder: NBestDecoder
    nbest: int = 0
    unbiased: Decoder | None = None
    closed: bool = False


class BestPath:
    """The most probable unit of each frame, without a language model, as a decoder with n-best lists of one."""

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]:
        """Decode log-probabilities `(S, V)` of each utterance into one hypothesis."""
        return [best_path(row[None], [len(row)]) for row in log_probs]


def build_search(
    model: SearchedModel,
    *,
    nbest: int = 0,
    hotwords: str | Path | Sequence[str] | None = None,
    phrases: str | Path | Sequence[str] | None = None,
    language_model: bool = True,
) -> Search | None:
    """Build the search that the options of a transcription ask for; None if the model's own decoder does.

    `hotwords` and `phrases` are files, or the lines of such files. Without `language_model` the model's language models
    are left out.

    Raises TextError that names each hotword or phrase with a unit that the model lacks, ConfigError for a model with
    an attention decoder and for phrases without CTC alone, and AsrError for hotwords and phrases together.
    """
    if not nbest and hotwords is None and phrases is None and (language_model or model.decoder is None):
        return None
    if phrases is not None:
        model.require_ctc_search()
        if hotwords is not None:
            raise AsrError(
                "--phrases and --hotwords exclude each other: a closed set of phrases leaves no other text to favour; "
                "leave one of them out"
            )
        listed = read_phrases(phrases, model.units, model.normalizer)
        return Search(Phrases(listed, model.units, model.rejection), nbest, closed=True)
    plain = model.decoder if language_model and model.decoder is not None else model.beam()
    if hotwords is not None:
        automaton = build_hotwords(read_hotwords(hotwords, model.units, model.normalizer), model.units)
        return Search(plain.using(hotwords=automaton), nbest, plain)
    return Search(plain if nbest or language_model or not model.reads_log_probs else BestPath(), nbest)
