"""Weights of n-gram language models, and the width of the beam."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.lm.estimate import estimate
from asr.lm.ngram import SPECIALS, NGram
from asr.scoring.wer import Score
from asr.text import Units
from asr.tuning.validation import Validation

WIDTHS = (4, 8, 16, 32, 64)
_CENTRE = Weights(0.6, 0.5, 4.0, 0.5)  # first weights of the search
_SPREAD = (0.3, 1.5, 3.0, 1.0)  # largest change of each weight, at radius 1
_RADII = (1.0, 0.5, 0.25)
_DRAWS = 20  # at each radius
_WORTH = 1.01  # the narrowest beam is chosen whose loss is at most this times the lowest loss


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings of a decoder, and the score with them."""

    weights: Weights
    pruning: Pruning
    score: Score

    @property
    def loss(self) -> float:
        """WER + CER, which tuning minimises. WER alone gains its last words at the cost of characters."""
        return self.score.wer.percent + self.score.cer.percent

    def __str__(self) -> str:
        lm, word, unknown, blank, *_ = self.weights
        return (
            f"{lm:5.2f} {word:6.2f} {unknown:8.2f} {blank:6.2f} {self.pruning.width:5d}   "
            f"{self.score.wer.percent:6.2f} {self.score.cer.percent:6.2f}"
        )


HEADER = "   lm   word  unknown  blank  beam      WER    CER"


def spelling_model(words: NGram) -> NGram:
    """Estimate a character model from the vocabulary of a word model, to score words that it does not have."""
    return estimate([" ".join(words.vocabulary[len(SPECIALS) :])], units="characters").model


def models_of_text(sentences: Sequence[str], units: Units) -> tuple[NGram | None, NGram | None]:
    """Estimate a word and a character model from normalised sentences; no word model if the units have no space."""
    words = estimate(sentences).model if " " in units.symbols else None
    return words, estimate(sentences, units="characters").model


def search_settings(validation: Validation, decoder: Decoder) -> Iterator[Trial]:
    """Search for the best weights, then for the width of the beam.

    Yields each trial that is better than all trials before; use the last one. The search is random, around the best
    weights so far, in ever smaller steps. On real speech the loss has many small local minima, in which a search along
    one weight after another gets stuck. The draws are equal in each call.
    """

    def attempt(weights: Weights, pruning: Pruning = decoder.pruning) -> Trial:
        return Trial(weights, pruning, validation.score(decoder.using(weights=weights, pruning=pruning)))

    generator = np.random.default_rng(0)
    yield (best := attempt(_CENTRE))
    for radius in _RADII:
        for _ in range(_DRAWS):
            drawn = np.array(best.weights[: len(_SPREAD)]) + radius * generator.uniform(-1, 1, len(_SPREAD)) * _SPREAD
            drawn[0] = abs(drawn[0])  # a negative weight would prefer improbable texts
            trial = attempt(Weights(*drawn.round(3).tolist()))
            if trial.loss < best.loss:
                yield (best := trial)
    by_width = [attempt(best.weights, decoder.pruning._replace(width=width)) for width in WIDTHS]
    lowest = min(trial.loss for trial in by_width)
    yield next(trial for trial in by_width if trial.loss <= _WORTH * lowest)


def tune_ngrams(validation: Validation, decoder: Decoder, report: Callable[[str], None]) -> None:
    """Tune `decoder` on validation data, and store it in the recogniser; store none if best path is as good.

    `report` gets a line for each better setting, and the scores before and after.
    """
    recognizer = validation.recognizer
    report(HEADER)
    for best in search_settings(validation, decoder):
        report(str(best))
    decoder = decoder.using(weights=best.weights, pruning=best.pruning)
    plain, tuned = validation.score(None, interval=True), validation.score(decoder, interval=True)
    name = "best path:" if recognizer.reads_log_probs else "no model: "  # without a language model
    report(f"{name} {plain.cer}\n           {plain.wer}\ntuned:     {tuned.cer}\n           {tuned.wer}")
    if (tuned.wer.errors, tuned.cer.errors) < (plain.wer.errors, plain.cer.errors):
        decoder.summary = {
            "utterances": len(validation.references),
            "best path": str(plain.wer),
            "tuned": str(tuned.wer),
        }
        recognizer.decoder = decoder
    else:
        kept = "the model keeps to best path" if recognizer.reads_log_probs else "the model is decoded without one"
        report(f"no setting helps: no language model is stored, {kept}")
        recognizer.decoder = None
