"""Sets the weights of language models and the width of the beam on validation data, log-probabilities computed once."""

from collections.abc import Callable, Iterator, Sequence
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
from asr.errors import TextError
from asr.model import Recognizer
from asr.scoring.wer import Score, score
from asr.text import Units

WIDTHS = (4, 8, 16, 32, 64)
_STARTS = (Weights(0.3, 0.0, 2.0, 0.0), Weights(0.6, 1.0, 4.0, 0.5), Weights(0.9, 2.0, 6.0, 1.0))
_STEPS = Weights(0.2, 1.0, 2.0, 0.5)  # of each weight at first; halved as long as that helps
_HALVINGS = 2
_WORTH = 1.005  # the narrowest beam is taken whose loss is within this factor of the lowest


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


def models_of_text(sentences: Sequence[str], units: Units) -> tuple[NGram | None, NGram]:
    """A word and a character model of normalised sentences; without a unit for the space, no word model."""
    words = estimate(sentences).model if " " in units.symbols else None
    return words, estimate(sentences, units="characters").model


def search_settings(validation: Validation, decoder: Decoder) -> Iterator[Trial]:
    """Yields each setting that is better than all before; the last is the one to use.

    Weights by pattern search (Hooke and Jeeves 1961) from the best of a few starts: each weight a step up, else a
    step down, as long as that lowers the loss; then with half the steps. Last the width of the beam.
    """
    tried: dict[Weights, Trial] = {}

    def attempt(weights: Weights, pruning: Pruning = decoder.pruning) -> Trial:
        if pruning != decoder.pruning:
            return Trial(weights, pruning, validation.score(decoder.using(weights=weights, pruning=pruning)))
        if weights not in tried:
            tried[weights] = Trial(weights, pruning, validation.score(decoder.using(weights=weights)))
        return tried[weights]

    best = min((attempt(start) for start in _STARTS), key=lambda trial: trial.loss)
    yield best
    for halving in range(_HALVINGS + 1):
        steps = np.array(_STEPS) / 2**halving
        for better in _descend(best, steps, attempt):
            yield (best := better)
    by_width = {width: attempt(best.weights, decoder.pruning._replace(width=width)) for width in WIDTHS}
    lowest = min(trial.loss for trial in by_width.values())
    yield next(trial for trial in by_width.values() if trial.loss <= _WORTH * lowest)


def _descend(best: Trial, steps: np.ndarray, attempt: Callable[[Weights], Trial]) -> Iterator[Trial]:
    """Steps along one weight after another until none lowers the loss; yields every improvement."""
    stuck = 0
    axis = 0
    while stuck < len(steps):
        stuck += 1
        for sign in (1, -1):
            moved = np.array(best.weights)
            moved[axis] += sign * steps[axis]
            moved[0] = max(0.0, moved[0])  # a negative weight would prefer what no one says
            trial = attempt(Weights(*moved.round(4).tolist()))
            if trial.loss < best.loss:
                yield (best := trial)
                stuck = 0
                break
        else:
            axis = (axis + 1) % len(steps)
