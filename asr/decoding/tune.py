"""Sets the weights of language models and the width of the beam on validation data, log-probabilities computed once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asr.audio import load_audio
from asr.corpus.manifest import Utterance
from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.estimate import estimate
from asr.decoding.fusion import Weights
from asr.decoding.greedy import best_path
from asr.decoding.ngram import SPECIALS, NGram
from asr.errors import ConfigError, TextError
from asr.model import Recognizer
from asr.scoring.wer import Score, score
from asr.text import Normalizer, Units

WIDTHS = (4, 8, 16, 32, 64)
_CENTRE = Weights(0.6, 0.5, 4.0, 0.5)  # where the search begins
_SPREAD = Weights(0.3, 1.5, 3.0, 1.0)  # how far from there it looks at first
_RADII = (1.0, 0.5, 0.25)
_DRAWS = 20  # at each radius
_WORTH = 1.01  # the narrowest beam is taken whose loss is within this factor of the lowest


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings, and the score they give."""

    weights: Weights
    pruning: Pruning
    score: Score

    @property
    def loss(self) -> float:
        """What is minimised: WER + CER. WER alone buys its last words with characters, and has more local minima."""
        return self.score.wer.percent + self.score.cer.percent

    def __str__(self) -> str:
        lm, word, unknown, blank = self.weights
        return (
            f"{lm:5.2f} {word:6.2f} {unknown:8.2f} {blank:6.2f} {self.pruning.width:5d}   "
            f"{self.score.wer.percent:6.2f} {self.score.cer.percent:6.2f}"
        )


HEADER = "   lm   word  unknown  blank  beam      WER    CER"


class Validation:
    """References and log-probabilities of a validation set."""

    def __init__(self, recognizer: Recognizer, utterances: Sequence[Utterance]) -> None:
        """Reads and recognises every utterance. Raises AudioError, and TextError where there is no word to score."""
        self.recognizer = recognizer
        self.references = [recognizer.normalizer(utterance.text or "") for utterance in utterances]
        if not any(self.references):
            raise TextError("the validation manifest has no texts, so there is nothing to tune on")
        waveforms = [
            load_audio(u.audio, recognizer.sample_rate, offset=u.offset, duration=u.duration) for u in utterances
        ]
        self.log_probs = [np.zeros((0, len(recognizer.units)), np.float32)] * len(utterances)
        for indices, log_probs, lengths in recognizer.batches([len(w) for w in waveforms], waveforms.__getitem__):
            for index, row, length in zip(indices, log_probs.cpu().numpy(), lengths.tolist(), strict=True):
                self.log_probs[index] = row[:length].copy()

    def score(self, decoder: Decoder | None, *, interval: bool = False) -> Score:
        """The score with a decoder, or with best path."""
        if decoder is not None:
            hypotheses = decoder.decode(self.log_probs)
        else:
            rows = map(torch.from_numpy, self.log_probs)
            hypotheses = [best for row in rows for best in best_path(row[None], torch.tensor([len(row)]))]
        texts = [self.recognizer.text(best.units) for best in hypotheses]
        return score(self.references, texts, interval=interval)


def spelling_model(words: NGram) -> NGram:
    """A character model of a word model's vocabulary, for words it does not know, where there is none of the text."""
    return estimate([" ".join(words.vocabulary[len(SPECIALS) :])], units="characters").model


def said_verbatim(sentences: Iterable[str], utterances: Sequence[Utterance], normalizer: Normalizer) -> int:
    """How many utterances have a text that stands word for word among normalised `sentences`."""
    known = set(sentences)
    return sum(normalizer(utterance.text or "") in known for utterance in utterances)


def models_of_text(sentences: Sequence[str], units: Units) -> tuple[NGram | None, NGram | None]:
    """A word and a character model of normalised sentences; without a unit for the space, no word model."""
    words = estimate(sentences).model if " " in units.symbols else None
    return words, estimate(sentences, units="characters").model


def search_settings(validation: Validation, decoder: Decoder) -> Iterator[Trial]:
    """Yields each setting that is better than all before; the last is the one to use.

    Random search around the best weights so far, ever closer: on real speech the loss has many small local minima,
    where a search along one weight after another stays. The draws are the same each time. Last the width of the beam.
    """

    def attempt(weights: Weights, pruning: Pruning = decoder.pruning) -> Trial:
        return Trial(weights, pruning, validation.score(decoder.using(weights=weights, pruning=pruning)))

    generator = np.random.default_rng(0)
    yield (best := attempt(_CENTRE))
    for radius in _RADII:
        for _ in range(_DRAWS):
            drawn = np.array(best.weights) + radius * generator.uniform(-1, 1, len(_SPREAD)) * _SPREAD
            drawn[0] = abs(drawn[0])  # a negative weight would prefer what no one says
            trial = attempt(Weights(*drawn.round(3).tolist()))
            if trial.loss < best.loss:
                yield (best := trial)
    by_width = [attempt(best.weights, decoder.pruning._replace(width=width)) for width in WIDTHS]
    lowest = min(trial.loss for trial in by_width)
    yield next(trial for trial in by_width if trial.loss <= _WORTH * lowest)


def tune(recognizer: Recognizer, utterances: Sequence[Utterance], decoder: Decoder, say: Callable[[str], None]) -> None:
    """Gives `recognizer` the decoder with the best settings for validation data; none where best path is as good.

    What is tried and what comes of it is said line by line. Raises AudioError and TextError as `Validation` does, and
    ConfigError for a model that does not decode with CTC alone.
    """
    if recognizer.config.model.decoder != "ctc":
        raise ConfigError(
            "language models join the search over CTC's log-probabilities, and this model decodes with attention; "
            "tune one trained with model.decoder=ctc"
        )
    validation = Validation(recognizer, utterances)
    say(HEADER)
    for best in search_settings(validation, decoder):
        say(str(best))
    decoder = decoder.using(weights=best.weights, pruning=best.pruning)
    plain, tuned = validation.score(None, interval=True), validation.score(decoder, interval=True)
    say(f"best path: {plain.cer}\n           {plain.wer}\ntuned:     {tuned.cer}\n           {tuned.wer}")
    if (tuned.wer.errors, tuned.cer.errors) < (plain.wer.errors, plain.cer.errors):
        decoder.summary = {"utterances": len(utterances), "best path": str(plain.wer), "tuned": str(tuned.wer)}
        recognizer.decoder = decoder
    else:
        say("no setting helps: no language model is stored, the model keeps to best path")
        recognizer.decoder = None
