"""How good the model is on held-out data, while it trains."""

from dataclasses import dataclass

import torch

from asr.corpus.pack import PackedCorpus
from asr.model import Recognizer
from asr.nn.ctc import ctc_loss
from asr.scoring.wer import Score, score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Loss in nats per unit, and the score."""

    loss: float
    score: Score


def evaluate(recognizer: Recognizer, corpus: PackedCorpus) -> Evaluation:
    """Loss and score of a corpus with normalised texts, through the inference path of `asr transcribe`.

    The score counts every utterance; the loss leaves out those it is infinite for (characters without a unit,
    audio too short for its text).
    """
    references = [utterance.text or "" for utterance in corpus.utterances]
    hypotheses = [""] * len(corpus)
    nats, num_units = 0.0, 0
    for indices, log_probs, lengths in recognizer.batches(corpus.num_samples, corpus.audio):
        for index, text in zip(indices, recognizer.texts(log_probs, lengths), strict=True):
            hypotheses[index] = text
        known = [row for row, i in enumerate(indices) if not recognizer.units.unknown(references[i])]
        targets = [recognizer.units.encode(references[indices[row]]) for row in known]
        losses = ctc_loss(log_probs[known], lengths[known], targets).cpu()
        finite = torch.isfinite(losses)
        nats += losses[finite].sum().item()
        num_units += sum(len(target) for target, keep in zip(targets, finite.tolist(), strict=True) if keep)
    return Evaluation(nats / max(num_units, 1), score(references, hypotheses, interval=False))
