"""`BeamDecoder`: beam search with n-gram models over the log-probabilities of any CTC model, one of ours or not."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.decoding.hotwords import WEIGHT, build_hotwords, require_weight
from asr.errors import AsrError, LanguageModelError, TextError
from asr.lm.arpa import read_arpa
from asr.lm.ngram import SPACE, SPECIALS, Kind, NGram
from asr.text import Normalizer, Units

_TOLERANCE = 0.05  # nats by which the sum of the probabilities of a frame may differ from 1: half precision
_NORMALIZER = Normalizer()


class BeamDecoder:
    """A decoder of CTC log-probabilities `(S, V)`: natural logarithms, a row for each frame, a column for each unit.

        decoder = BeamDecoder(["<blank>", " ", "a", "b", "c"], lm="words.arpa", beam=32)
        text = decoder.decode(log_probs)

    Decoding does not change the decoder, so threads may share it.
    """

    def __init__(
        self,
        units: Units | Sequence[str],
        lm: str | PathLike[str] | NGram | None = None,
        characters: str | PathLike[str] | NGram | None = None,
        *,
        blank: int = 0,
        beam: int = 16,
        lm_weight: float = 0.6,
        word_bonus: float = 0.0,
        unknown_bonus: float = 0.0,
        blank_penalty: float = 0.0,
        closed: bool = False,
        hotwords: Mapping[str, float] | Iterable[str] = (),
        units_per_frame: int = 8,
        min_log_prob: float = -6.0,
        margin: float = 12.0,
    ) -> None:
        """Build a decoder.

        - `units`: the symbol of each column of the log-probabilities, or the `Units` of one of our models. In a list,
          the column `blank` is CTC's blank, and its symbol is ignored. The space between words is " ".
        - `lm`: n-gram model of words, or its ARPA file
        - `characters`: n-gram model of characters, or its ARPA file; it scores the spelling of words that `lm` lacks
        - `blank`: column of the blank (default: 0)
        - `beam`: number of prefixes kept after each frame (default: 16)
        - `lm_weight`: factor of the log-probabilities of both language models (default: 0.6)
        - `word_bonus`, `unknown_bonus`: nats added for each word, and for each word that `lm` lacks (default: 0)
        - `blank_penalty`: nats taken from the blank in each frame (default: 0)
        - `closed`: allow only words of `lm` (default: False)
        - `hotwords`: words and phrases to favour, or their weights in nats (default weight: 6)
        - `units_per_frame`, `min_log_prob`: in a frame, extend prefixes only by so many units, and only by units of at
          least this log-probability (default: 8 and -6)
        - `margin`: drop prefixes that score more than this many nats below the best (default: 12)

        Raises TextError for units that are not distinct and for hotwords that they cannot spell, LanguageModelError for
        a language model that cannot be read or does not fit the units, and AsrError for numbers out of range.
        """
        if isinstance(units, str):
            raise TextError(
                f"units must be a list of symbols, one for each column; write {list(units[:3])!r} … for text"
            )
        symbols = list(units.symbols) if isinstance(units, Units) else list(units)
        if isinstance(units, Units):
            symbols.insert(blank, "")  # `Units` leave the blank out
        if not 0 <= blank < len(symbols):
            raise AsrError(f"blank must be the index of one of the {len(symbols)} units, not {blank}")
        if beam < 1 or units_per_frame < 1:
            raise AsrError(f"beam and units_per_frame must be 1 or more, not {beam} and {units_per_frame}")
        self._columns = [blank, *(column for column in range(len(symbols)) if column != blank)]
        labels = [symbols[column] for column in self._columns[1:]]
        self.units = units if isinstance(units, Units) else Units(labels)
        words = _model(lm, "words", self.units)
        spelling = _model(characters, "characters", self.units)
        weights = Weights(lm=lm_weight, word=word_bonus, unknown=unknown_bonus, blank=blank_penalty)
        decoder = Decoder(
            self.units,
            words,
            spelling,
            closed=closed,
            weights=weights,
            pruning=Pruning(width=beam, units=units_per_frame, min_log_prob=min_log_prob, margin=margin),
        )
        listed = dict(hotwords) if isinstance(hotwords, Mapping) else dict.fromkeys(hotwords, WEIGHT)
        spelled = {
            tuple(self.units.encode(_NORMALIZER(text))): require_weight(weight) for text, weight in listed.items()
        }
        self._decoder = decoder.using(hotwords=build_hotwords(spelled, self.units))

    def decode(self, log_probs: Any) -> str:
        """Return the best text of one utterance: an array or tensor `(S, V)`.

        Raises AsrError if the array has another shape, or holds probabilities, logits or NaN.
        """
        return self.decode_batch([log_probs])[0]

    def decode_batch(self, log_probs: Sequence[Any]) -> list[str]:
        """Return the best text of each utterance, decoded in threads. Give each `(S, V)` without its padding."""
        rows = [self._checked(one, f"log_probs[{index}]") for index, one in enumerate(log_probs)]
        return [self._text(best.units) for best in self._decoder.decode(rows)]

    def decode_n_best(self, log_probs: Any, n: int) -> list[tuple[str, float]]:
        """Return up to `n` texts of one utterance `(S, V)` with their scores in nats, best first.

        Without language models, bonuses, penalties and hotwords, the score is the log-probability of the text, summed
        over the paths that the search keeps. Texts that differ in white space alone are given once.
        """
        (hypotheses,) = self._decoder.decode_n_best([self._checked(log_probs, "log_probs")], n)
        texts: dict[str, float] = {}
        for hypothesis in hypotheses:
            texts.setdefault(self._text(hypothesis.units), hypothesis.score)
        return list(texts.items())

    def _text(self, units: Sequence[int]) -> str:
        return _NORMALIZER(self.units.decode(units))

    def _checked(self, log_probs: Any, name: str) -> np.ndarray:
        """Return log-probabilities as an array with the blank in column 0. Raises AsrError for anything else."""
        if hasattr(log_probs, "detach"):  # a tensor; PyTorch may not be installed
            log_probs = log_probs.detach().cpu().float().numpy()
        array = np.asarray(log_probs)
        if array.ndim != 2 or array.shape[1] != len(self._columns):
            raise AsrError(
                f"{name}: must have the shape (frames, {len(self._columns)}), a column for each unit and the blank; "
                f"found {array.shape}. A batch is a list of such arrays, each without its padding"
            )
        if array.dtype.kind not in "fiu":
            raise AsrError(f"{name}: must hold numbers, and holds {array.dtype}")
        array = array.astype(np.float32)
        if np.isnan(array).any() or np.isposinf(array).any():
            raise AsrError(f"{name}: holds NaN or infinity; look at the model that computed it")
        if len(array):
            self._require_log_probs(array, name)
        return array[:, self._columns]

    def _require_log_probs(self, array: np.ndarray, name: str) -> None:
        totals = np.logaddexp.reduce(array.astype(np.float64), axis=1)
        worst = int(np.abs(totals).argmax())
        if abs(totals[worst]) <= _TOLERANCE:
            return
        sums = array.sum(axis=1)
        if (array >= 0).all() and (np.abs(sums - 1) <= _TOLERANCE).all():
            raise AsrError(f"{name}: holds probabilities, not their natural logarithms; give numpy.log of it")
        if not array[worst].any():
            raise AsrError(f"{name}: frame {worst} is all zeros, which looks like padding; cut the padding off")
        raise AsrError(
            f"{name}: holds no log-probabilities: exp of frame {worst} sums to {np.exp(totals[worst]):.3g}, not 1; "
            "it looks like logits: give log_softmax of it over the units"
        )


def _model(source: str | PathLike[str] | NGram | None, kind: Kind, units: Units) -> NGram | None:
    """Read an n-gram model. Raises LanguageModelError unless it is of this kind and shares tokens with the units."""
    if source is None:
        return None
    model = source if isinstance(source, NGram) else read_arpa(str(source))
    name = "the language model" if isinstance(source, NGram) else str(source)
    if model.units != kind:
        argument = "lm" if kind == "words" else "characters"
        raise LanguageModelError(f"{name}: is a model of {model.units}, and {argument}= takes a model of {kind}")
    if kind == "words" and " " not in units.symbols:
        raise LanguageModelError(f"{name}: is a model of words, and the units have no space between words: ' '")
    tokens = [" " if token == SPACE else token for token in model.vocabulary[len(SPECIALS) :]]
    if tokens and all(units.unknown(token) for token in tokens):
        raise LanguageModelError(
            f"{name}: the units can spell none of its {len(tokens)} {kind}, such as {tokens[0]!r}; "
            "use a model of text in the same case and alphabet"
        )
    return model
