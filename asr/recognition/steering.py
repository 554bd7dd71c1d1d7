"""Decoding other than a model does by itself: n-best lists, hotwords, closed sets of phrases."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from asr.decoding.decoder import Decoder
from asr.decoding.hotwords import build_hotwords, read_hotwords
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.phrases import Phrases, read_phrases
from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.recognition.recognizer import Recognizer


class NBestDecoder(Protocol):
    """What can give several hypotheses of an utterance."""

    def decode_n_best(self, log_probs: Sequence[np.ndarray], count: int) -> list[list[Hypothesis]]: ...


@dataclass(frozen=True, slots=True)
class Steering:
    """A decoder in place of the model's, how many guesses it gives, and one without hotwords to compare with.

    `closed`: its scores are log-posteriors of a closed set.
    """

    decoder: NBestDecoder
    nbest: int = 0
    unsteered: Decoder | None = None
    closed: bool = False


def steer(
    recognizer: "Recognizer", *, nbest: int = 0, hotwords: Path | None = None, phrases: Path | None = None
) -> Steering:
    """What the options of `asr transcribe` ask for.

    Raises TextError that names each hotword or phrase with a unit that the model lacks, ConfigError for a model that
    does not decode with CTC alone, and AsrError for both lists together.
    """
    recognizer.require_ctc_search()
    if phrases is not None:
        if hotwords is not None:
            raise AsrError("--phrases leaves nothing to hotwords; leave out --hotwords, or the phrases of no use")
        listed = read_phrases(phrases, recognizer.units, recognizer.normalizer)
        return Steering(Phrases(listed, recognizer.units, recognizer.rejection), nbest, closed=True)
    plain = recognizer.decoder or Decoder(recognizer.units)
    if hotwords is None:
        return Steering(plain, nbest)
    automaton = build_hotwords(read_hotwords(hotwords, recognizer.units, recognizer.normalizer), recognizer.units)
    return Steering(plain.using(hotwords=automaton), nbest, plain)
