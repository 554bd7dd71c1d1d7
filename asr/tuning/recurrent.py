"""Weights of a recurrent language model, used for rescoring or inside the search."""

from collections.abc import Callable, Sequence

import jiwer
import numpy as np

from asr.decoding.fusion import Weights
from asr.decoding.rescoring import Rescorer, new_scores
from asr.errors import LanguageModelError
from asr.lm.base import RecurrentModel
from asr.scoring.wer import count_errors
from asr.tuning.ngrams import HEADER, Trial
from asr.tuning.validation import Validation

_WIDTH = 32  # hypotheses rescored, at least
_WEIGHTS = np.arange(1, 13) / 10
_SHARES = np.arange(11) / 4  # bonus of a token, in mean costs of a token
_FUSED = 0.4  # first weight in the search
_FUSED_SPREAD = Weights(0.15, 0.5, 1.0, 0.2, 0.15, 0.3)
_FUSED_RADII = (1.0,) * 6 + (0.5,) * 6  # few draws, since each takes long
_FUSED_WIDTH = 16  # prefixes in the beam, at most


def tune_rescoring(validation: Validation, lm: RecurrentModel, report: Callable[[str], None]) -> None:
    """Tune the rescoring of n-best lists by `lm`, and store it in the recogniser's decoder if it lowers the errors.

    Each utterance is searched once; all weights are tried on its n-best list.
    """
    recognizer = validation.recognizer
    report(f"the language model on the references: {lm.perplexity(validation.references)}")
    if recognizer.decoder is not None:
        recognizer.decoder = recognizer.decoder.without_recurrent()
    before = validation.score(recognizer.decoder, interval=True)
    decoder = recognizer.decoder or recognizer.beam()
    pruning = decoder.pruning._replace(width=max(decoder.pruning.width, _WIDTH))
    decoder = decoder.using(pruning=pruning)
    lists = decoder.decode_n_best(validation.log_probs, pruning.width)
    rescorer = Rescorer(lm, recognizer.units)
    lm_scores = rescorer.read(lists)
    errors = [
        _errors(reference, [recognizer.text(hypothesis.units) for hypothesis in hypotheses])
        for reference, hypotheses in zip(validation.references, lists, strict=True)
    ]
    totals = np.array([before.wer.total, before.cer.total]) / 100
    best_choice = sum(each[:, 0].min() for each in errors) / totals[0]
    report(f"the best choice among {pruning.width} hypotheses each would give WER {best_choice:.2f}")
    cost = -sum(one[:, 0].sum() for one in lm_scores) / sum(one[:, 1].sum() for one in lm_scores)  # nats a token
    report("weight  bonus      WER    CER")
    lowest = np.inf
    for weight in _WEIGHTS.tolist():
        for bonus in (weight * _SHARES * cost).round(3).tolist():
            first = [np.argmax(new_scores(*pair, weight, bonus)) for pair in zip(lists, lm_scores, strict=True)]
            rates = sum(each[index] for each, index in zip(errors, first, strict=True)) / totals
            if rates.sum() < lowest:
                lowest, rescorer.weight, rescorer.bonus = rates.sum(), weight, bonus
                report(f"{weight:6.2f} {bonus:6.2f}   {rates[0]:6.2f} {rates[1]:6.2f}")
    decoder.rescorer = rescorer
    after = validation.score(decoder, interval=True)
    report(f"before:   {before.cer}\n          {before.wer}\nrescored: {after.cer}\n          {after.wer}")
    if (after.wer.errors, after.cer.errors) < (before.wer.errors, before.cer.errors):
        rescorer.summary = {"utterances": len(lists), "before": str(before.wer), "rescored": str(after.wer)}
        recognizer.decoder = decoder
    else:
        report("no weight helps: nothing is rescored")


def tune_fusion(validation: Validation, lm: RecurrentModel, report: Callable[[str], None]) -> None:
    """Tune a search that uses `lm` beside the n-grams, and store it in the recogniser if it lowers the errors.

    It then replaces the recogniser's decoder, including rescoring by `lm`.
    """
    recognizer = validation.recognizer
    decoder = (recognizer.decoder or recognizer.beam()).without_recurrent()
    try:
        decoder = decoder.fusing(lm)
    except LanguageModelError as error:
        report(f"not read in the search: {error}")
        return
    pruning = decoder.pruning._replace(width=min(decoder.pruning.width, _FUSED_WIDTH))
    cost = float(np.log(lm.perplexity(validation.references).value))  # nats a character
    generator = np.random.default_rng(0)
    report(f"in the search:\n{HEADER}  recurrent   unit")

    def attempt(weights: Weights) -> Trial:
        return Trial(weights, pruning, validation.score(decoder.using(weights=weights, pruning=pruning)))

    best = attempt(decoder.weights._replace(recurrent=_FUSED, unit=round(_FUSED * cost, 3)))
    report(f"{best}  {best.weights.recurrent:9.2f} {best.weights.unit:6.2f}")
    for radius in _FUSED_RADII:
        drawn = np.array(best.weights) + radius * generator.uniform(-1, 1, len(_FUSED_SPREAD)) * _FUSED_SPREAD
        weights = Weights(*drawn.round(3).tolist())
        trial = attempt(weights._replace(lm=abs(weights.lm), recurrent=abs(weights.recurrent)))
        if trial.loss < best.loss:
            best = trial
            report(f"{best}  {best.weights.recurrent:9.2f} {best.weights.unit:6.2f}")
    decoder = decoder.using(weights=best.weights, pruning=pruning)
    before, after = validation.score(recognizer.decoder, interval=True), validation.score(decoder, interval=True)
    report(f"without:  {before.cer}\n          {before.wer}\nin the search: {after.cer}\n               {after.wer}")
    if (after.wer.errors, after.cer.errors) < (before.wer.errors, before.cer.errors):
        decoder.summary = {**decoder.summary, "utterances": len(validation.references), "fused": str(after.wer)}
        recognizer.decoder = decoder
    else:
        report("that is no better: the search does not read the recurrent language model")


def _errors(reference: str, texts: Sequence[str]) -> np.ndarray:
    """Count the word and character errors of each text: `(n, 2)`."""
    references = [reference] * len(texts)
    alignments = jiwer.process_words(references, list(texts)), jiwer.process_characters(references, list(texts))
    return np.stack([count_errors(alignment)[:, 1:].sum(axis=1) for alignment in alignments], axis=1)
