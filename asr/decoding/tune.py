"""Sets the weights of language models and the width of the beam on validation data, log-probabilities computed once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from asr.audio import load_audio
from asr.corpus.manifest import Utterance
from asr.decoding.beam import Pruning
from asr.decoding.confidence import calibrate
from asr.decoding.decoder import Decoder
from asr.decoding.estimate import estimate
from asr.decoding.fusion import Weights
from asr.decoding.greedy import best_path
from asr.decoding.ngram import SPECIALS, NGram
from asr.decoding.phrases import Phrases, Rejection, none_of_these, posteriors
from asr.decoding.recurrent import RecurrentLM
from asr.errors import LanguageModelError, TextError
from asr.model import Recognizer
from asr.scoring.alignment import edits
from asr.scoring.wer import Score, score
from asr.text import Normalizer, Units

WIDTHS = (4, 8, 16, 32, 64)
_CENTRE = Weights(0.6, 0.5, 4.0, 0.5)  # where the search begins
_SPREAD = (0.3, 1.5, 3.0, 1.0)  # how far from there it looks at first
_RADII = (1.0, 0.5, 0.25)
_DRAWS = 20  # at each radius
_FUSED = 0.4  # weight of a recurrent model, where that search begins
_FUSED_SPREAD = Weights(0.15, 0.5, 1.0, 0.2, 0.15, 0.3)
_FUSED_RADII = (1.0,) * 6 + (0.5,) * 6  # of each draw: they take their time
_FUSED_WIDTH = 16  # of the beam, at most, for the same reason
_COSTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)  # tried for `Rejection`
_SCALES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_THRESHOLDS = tuple(round(0.02 * number, 2) for number in range(1, 50))
_IMPOSSIBLE = -50.0  # nats: one utterance that is heard all wrong decides nothing alone
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
        lm, word, unknown, blank, *_ = self.weights
        return (
            f"{lm:5.2f} {word:6.2f} {unknown:8.2f} {blank:6.2f} {self.pruning.width:5d}   "
            f"{self.score.wer.percent:6.2f} {self.score.cer.percent:6.2f}"
        )


HEADER = "   lm   word  unknown  blank  beam      WER    CER"


class Validation:
    """References and log-probabilities of a validation set."""

    def __init__(self, recognizer: Recognizer, utterances: Sequence[Utterance]) -> None:
        """Reads and recognises every utterance.

        Raises AudioError, TextError where there is no word to score, and ConfigError for a model that does not decode
        with CTC alone.
        """
        recognizer.require_ctc_search()
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
            drawn = np.array(best.weights[: len(_SPREAD)]) + radius * generator.uniform(-1, 1, len(_SPREAD)) * _SPREAD
            drawn[0] = abs(drawn[0])  # a negative weight would prefer what no one says
            trial = attempt(Weights(*drawn.round(3).tolist()))
            if trial.loss < best.loss:
                yield (best := trial)
    by_width = [attempt(best.weights, decoder.pruning._replace(width=width)) for width in WIDTHS]
    lowest = min(trial.loss for trial in by_width)
    yield next(trial for trial in by_width if trial.loss <= _WORTH * lowest)


def tune(validation: Validation, decoder: Decoder, say: Callable[[str], None]) -> None:
    """Gives the recogniser the decoder with the best settings for validation data; none where best path is as good.

    What is tried and what comes of it is said line by line.
    """
    recognizer = validation.recognizer
    say(HEADER)
    for best in search_settings(validation, decoder):
        say(str(best))
    decoder = decoder.using(weights=best.weights, pruning=best.pruning)
    plain, tuned = validation.score(None, interval=True), validation.score(decoder, interval=True)
    say(f"best path: {plain.cer}\n           {plain.wer}\ntuned:     {tuned.cer}\n           {tuned.wer}")
    if (tuned.wer.errors, tuned.cer.errors) < (plain.wer.errors, plain.cer.errors):
        decoder.summary = {
            "utterances": len(validation.references),
            "best path": str(plain.wer),
            "tuned": str(tuned.wer),
        }
        recognizer.decoder = decoder
    else:
        say("no setting helps: no language model is stored, the model keeps to best path")
        recognizer.decoder = None


def tune_fusion(validation: Validation, lm: RecurrentLM, say: Callable[[str], None]) -> None:
    """Has the recogniser's search read `lm` beside the n-grams, with the best weights for validation data.

    That is stored in place of what the recogniser decodes with, such as `lm` rescoring, if it is better.
    """
    recognizer = validation.recognizer
    decoder = (recognizer.decoder or Decoder(recognizer.units)).without_recurrent()
    try:
        decoder = decoder.fusing(lm)
    except LanguageModelError as error:
        say(f"not read in the search: {error}")
        return
    pruning = decoder.pruning._replace(width=min(decoder.pruning.width, _FUSED_WIDTH))
    cost = float(np.log(lm.perplexity(validation.references).value))  # nats of a character, given back
    generator = np.random.default_rng(0)
    say(f"in the search:\n{HEADER}  recurrent   unit")

    def attempt(weights: Weights) -> Trial:
        return Trial(weights, pruning, validation.score(decoder.using(weights=weights, pruning=pruning)))

    best = attempt(decoder.weights._replace(recurrent=_FUSED, unit=round(_FUSED * cost, 3)))
    say(f"{best}  {best.weights.recurrent:9.2f} {best.weights.unit:6.2f}")
    for radius in _FUSED_RADII:
        drawn = np.array(best.weights) + radius * generator.uniform(-1, 1, len(_FUSED_SPREAD)) * _FUSED_SPREAD
        weights = Weights(*drawn.round(3).tolist())
        trial = attempt(weights._replace(lm=abs(weights.lm), recurrent=abs(weights.recurrent)))
        if trial.loss < best.loss:
            best = trial
            say(f"{best}  {best.weights.recurrent:9.2f} {best.weights.unit:6.2f}")
    decoder = decoder.using(weights=best.weights, pruning=pruning)
    before, after = validation.score(recognizer.decoder, interval=True), validation.score(decoder, interval=True)
    say(f"without:  {before.cer}\n          {before.wer}\nin the search: {after.cer}\n               {after.wer}")
    if (after.wer.errors, after.cer.errors) < (before.wer.errors, before.cer.errors):
        decoder.summary = {**decoder.summary, "utterances": len(validation.references), "fused": str(after.wer)}
        recognizer.decoder = decoder
    else:
        say("that is no better: the search does not read the recurrent language model")


def words_heard(validation: Validation) -> tuple[np.ndarray, np.ndarray]:
    """Raw confidence of each word that is recognised `(words,)`, and whether it is right `(words,)`."""
    recognizer = validation.recognizer
    recognizer.confidence = None
    heard = [recognizer.words(torch.from_numpy(log_probs)) for log_probs in validation.log_probs]
    texts = [" ".join(word.text for word in words) for words in heard]
    raw = [word.confidence for words in heard for word in words for _ in word.text.split()]
    aligned = edits(score(validation.references, texts, interval=False).words)
    right = [step.kind == "equal" for steps in aligned for step in steps if step.hypothesis]
    return np.array(raw), np.array(right)


def tune_confidence(validation: Validation, say: Callable[[str], None], picture: Path | None = None) -> None:
    """Calibrates the recogniser's confidence on validation data, and draws how far it can be trusted.

    Raises TextError if no word is recognised.
    """
    raw, right = words_heard(validation)
    validation.recognizer.confidence, unseen = calibrate(raw, right)
    say(str(validation.recognizer.confidence))
    if picture is not None:
        from asr.report.reliability import reliability_picture  # matplotlib takes its time

        reliability_picture(picture, {"raw": raw, "calibrated, on words not fitted to": unseen}, right)


def tune_rejection(validation: Validation, phrases: Sequence[str], say: Callable[[str], None]) -> None:
    """Sets how sure the recogniser must be of a phrase, by what of the validation data is one of `phrases`.

    So that there is something to reject, each of these utterances also counts with its own phrase out of the list.
    Raises TextError if none is there.
    """
    recognizer, references = validation.recognizer, validation.references
    decoder = Phrases(phrases, recognizer.units)
    index = {phrase: number for number, phrase in enumerate(decoder.phrases)}
    said = np.array([index.get(reference, -1) for reference in references])
    inside = np.flatnonzero(said >= 0)
    if not len(inside):
        raise TextError("none of the phrases is said in the validation data, so there is nothing to tune on")
    scores = decoder.scores(validation.log_probs)
    without = scores.copy()
    without[inside, said[inside]] = -np.inf
    correct = np.concatenate([said[inside], np.full(len(said), len(phrases))])  # the last stands for none of these

    def log_posteriors(cost: float, scale: float) -> np.ndarray:
        anything = none_of_these(validation.log_probs, cost)
        return np.concatenate(
            [posteriors(scores[inside], anything[inside], scale), posteriors(without, anything, scale)]
        )

    def likelihood(setting: tuple[float, float]) -> float:
        found = np.maximum(log_posteriors(*setting)[np.arange(len(correct)), correct], _IMPOSSIBLE)
        return float(found[: len(inside)].mean() + found[len(inside) :].mean())

    cost, scale = max(product(_COSTS, _SCALES), key=likelihood)
    best = np.exp(log_posteriors(cost, scale)[:, :-1])
    sure, right = best.max(axis=1), best.argmax(axis=1) == correct
    right[len(inside) :] = True  # as long as they are rejected
    accept = np.arange(len(correct)) < len(inside)

    def errors(threshold: float) -> tuple[float, float]:
        wrong = np.where(accept, (sure < threshold) | ~right, sure >= threshold)
        return wrong[accept].mean() + wrong[~accept].mean(), abs(threshold - 0.5)

    threshold = min(_THRESHOLDS, key=errors)
    taken = sure >= threshold
    said_right, refused = int((taken & right & accept).sum()), int((~taken & accept).sum())
    summary = {
        "in the list": f"{said_right} of {len(inside)} right, {refused} rejected",
        "not in the list": f"{int((taken & ~accept).sum())} of {len(said)} taken for one of it",
    }
    recognizer.rejection = Rejection(cost=cost, scale=scale, threshold=threshold, summary=summary)
    say(f"{len(phrases)} phrases: cost {cost:g}, scale {scale:g}, threshold {threshold:g}")
    for name, outcome in summary.items():
        say(f"  {name}: {outcome}")
