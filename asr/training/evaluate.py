"""The evaluation of a recogniser on validation data during training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asr.corpus.pack import PackedCorpus
from asr.errors import AsrError
from asr.features import frame_mask
from asr.recognition.recognizer import Recognizer
from asr.run_log import Row
from asr.scoring.wer import Score, score
from asr.text import BLANK
from asr.training.validation import Part


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: loss in nats per unit, score, hypotheses, and the share of blank frames.

    An empty text counts as one unit. The loss is NaN if no utterance has one, or if the model computes NaN. A frame is
    blank if CTC's best unit for it is blank.
    """

    loss: float
    score: Score
    hypotheses: list[str]
    blank_share: float | None  # None without CTC
    nats: np.ndarray  # (n,): loss of each utterance, 0 if it has none
    num_units: np.ndarray  # (n,): units that the loss of each utterance is divided by, 0 if it has no loss

    def of_parts(self, parts: Sequence[Part], references: Sequence[str]) -> list[Row]:
        """Return name, CER, WER and loss of each part of the corpus; a part without words has error rates of NaN."""
        return [
            {"name": part.name, **_error_rates(references, self.hypotheses, part.indices), "loss": self._loss(part)}
            for part in parts
        ]

    def _loss(self, part: Part) -> float:
        num_units = self.num_units[part.indices].sum()
        return float(self.nats[part.indices].sum() / num_units) if num_units else math.nan


def _error_rates(references: Sequence[str], hypotheses: Sequence[str], indices: Sequence[int]) -> Row:
    try:
        found = score([references[i] for i in indices], [hypotheses[i] for i in indices], interval=False)
    except AsrError:  # no word in any reference
        return {"cer": math.nan, "wer": math.nan}
    return {"cer": found.cer.percent, "wer": found.wer.percent}


def evaluate(recognizer: Recognizer, corpus: PackedCorpus) -> Evaluation:
    """Compute loss and score of a corpus with normalised texts, through the inference path of `asr transcribe`.

    The score counts every utterance. The loss leaves out utterances with an infinite loss, which have characters
    without a unit, or audio too short for their text.
    """
    references = [utterance.text or "" for utterance in corpus.utterances]
    hypotheses = [""] * len(corpus)
    nats, num_units, blanks, num_frames = 0.0, 0, 0, 0
    nats_of, num_units_of = np.zeros(len(corpus)), np.zeros(len(corpus), np.int64)
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
        for row, target, loss, keep in zip(known, targets, losses.tolist(), possible.tolist(), strict=True):
            if keep:
                nats_of[indices[row]], num_units_of[indices[row]] = loss, max(1, len(target))
                num_units += max(1, len(target))
    return Evaluation(
        loss=nats / num_units if num_units else math.nan,
        score=score(references, hypotheses, interval=False),
        hypotheses=hypotheses,
        blank_share=blanks / num_frames if recognizer.has_ctc else None,
        nats=nats_of,
        num_units=num_units_of,
    )
