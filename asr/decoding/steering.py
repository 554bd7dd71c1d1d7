"""Decoding other than a model does by itself: n-best lists, hotwords, closed sets of phrases."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from asr.decoding.decoder import Decoder
from asr.decoding.hotwords import build_hotwords, read_hotwords
from asr.decoding.hypothesis import Hypothesis

if TYPE_CHECKING:
    from asr.model import Recognizer


class NBestDecoder(Protocol):
    """What can give several hypotheses of an utterance."""

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]: ...


@dataclass(frozen=True, slots=True)
class Steering:
    """A decoder in place of the model's, how many guesses it gives, and one without hotwords to compare with."""

    decoder: NBestDecoder
    nbest: int = 0
    unsteered: Decoder | None = None


def steer(recognizer: "Recognizer", *, nbest: int = 0, hotwords: Path | None = None) -> Steering | None:
    """What the options of `asr transcribe` ask for; None for what the model does by itself.

    Raises TextError that names each hotword with a unit that the model lacks.
    """
    if not nbest and hotwords is None:
        return None
    plain = recognizer.decoder or Decoder(recognizer.units)
    if hotwords is None:
        return Steering(plain, nbest)
    automaton = build_hotwords(read_hotwords(hotwords, recognizer.units, recognizer.normalizer), recognizer.units)
    return Steering(plain.using(hotwords=automaton), nbest, plain)
