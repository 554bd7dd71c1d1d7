"""The evaluation of a recogniser on validation data during training."""

import math
from dataclasses import dataclass

import torch

from asr.corpus.pack import PackedCorpus
from asr.features import frame_mask
from asr.recognition.recognizer import Recognizer
from asr.scoring.wer import Score, score
from asr.text import BLANK


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: loss in nats per unit, score, hypotheses, and the share of blank frames.

    The loss is NaN if no utterance has one, or if the model computes NaN. A frame is blank if CTC's best unit for it is
    blank.
    """

    loss: float
    score: Score
    hypotheses: list[str]
    blank_share: float | None  # None without CTC


def evaluate(recognizer: Recognizer, corpus: PackedCorpus) -> Evaluation:
    """Compute loss and score of a corpus with normalised texts, through the inference path of `asr transcribe`.

    The score counts every utterance. The loss leaves out utterances with an infinite loss, which have characters
    without a unit, or audio too short for their text.
    """
    references = [utterance.text or "" for utterance in corpus.utterances]
    hypotheses = [""] * len(corpus)
    nats, num_units, blanks, num_frames = 0.0, 0, 0, 0
    for indices, frames, lengths in recognizer.batches(corpus.num_samples, corpus.audio):
        for index, text in zip(indices, recognizer.texts(frames, lengths), strict=True):
            hypotheses[index] = text
        if recognizer.has_ctc:
            best = recognizer.ctc(frames).argmax(-1)
            blanks += int(((best == BLANK) & frame_mask(lengths, best.shape[1])).sum())
        num_frames += int(lengths.sum())
        known = [row for row, i in enumerate(indices) if not recognizer.units.unknown(references[i])]
        targets = [recognizer.units.encode(references[indices[row]]) for row in known]
        losses = recognizer.losses(frames[known], lengths[known], targets).cpu() if known else torch.empty(0)
        possible = ~torch.isposinf(losses)  # NaN stays: it shows a model that is broken
        nats += losses[possible].sum().item()
        num_units += sum(len(target) for target, keep in zip(targets, possible.tolist(), strict=True) if keep)
    return Evaluation(
        loss=nats / num_units if num_units else math.nan,
        score=score(references, hypotheses, interval=False),
        hypotheses=hypotheses,
        blank_share=blanks / num_frames if recognizer.has_ctc else None,
    )
