"""Word and character error rates of a test set, with counts and a bootstrap interval.

One result type, `Score`; everything else is a view of it. Alignments are jiwer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jiwer
import numpy as np

from asr.errors import AsrError
from asr.scoring.bootstrap import Clusters, clusters, middle_95, resample

Alignment = jiwer.WordOutput | jiwer.CharacterOutput


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors over the number of reference words (or characters), in percent, with its 95 % interval.

    `resampled` says over what the interval was taken: `12 speakers`, `240 utterances`.
    """

    name: str
    total: int
    insertions: int
    deletions: int
    substitutions: int
    interval: tuple[float, float]
    resampled: str

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def percent(self) -> float:
        return 100 * self.errors / self.total

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"%{self.name} {self.percent:.2f} [{self.errors} / {self.total}, {self.insertions} ins, "
            f"{self.deletions} del, {self.substitutions} sub] 95 % interval {low:.2f}-{high:.2f} over {self.resampled}"
        )


@dataclass(frozen=True, slots=True)
class Score:
    """What `score` returns: `print(score.wer)` gives the line that results are quoted in.

    `words` and `characters` hold jiwer's alignment of each utterance, which every table and page is drawn from.
    """

    wer: ErrorRate
    cer: ErrorRate
    utterances: int
    utterances_with_errors: int
    words: Alignment = field(repr=False, compare=False)
    characters: Alignment = field(repr=False, compare=False)


def score(
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    speakers: Sequence[str | None] | None = None,
    interval: bool = True,
) -> Score:
    """Scores hypotheses against references, both already normalised, in the same order.

    An empty reference counts no words, and every word of its hypothesis as inserted. Intervals are the
    2.5 and 97.5 percentiles over 10,000 resamples (Bisani and Ney 2004), the same each time, of the speakers
    if there are six or more, else of the utterances; without `interval` they are NaN. Raises AsrError if the
    lists differ in length or hold no reference word.
    """
    if len(references) != len(hypotheses):
        raise AsrError(f"{len(references)} references and {len(hypotheses)} hypotheses: the numbers must be equal")
    if not any(reference.strip() for reference in references):
        raise AsrError("the references hold no words, so there is no error rate")
    words = jiwer.process_words(list(references), list(hypotheses))
    characters = jiwer.process_characters(list(references), list(hypotheses))
    word_counts = count_errors(words)
    drawn = clusters(speakers or [None] * len(references)) if interval else None
    return Score(
        wer=_rate("WER", word_counts, drawn),
        cer=_rate("CER", count_errors(characters), drawn),
        utterances=len(references),
        utterances_with_errors=int((word_counts[:, 1:].sum(axis=1) > 0).sum()),
        words=words,
        characters=characters,
    )


def count_errors(alignment: Alignment) -> np.ndarray:
    """Reference length, insertions, deletions and substitutions of each utterance, shape `(utterances, 4)`."""
    columns = {"insert": 1, "delete": 2, "substitute": 3}
    counts = np.zeros((len(alignment.references), 4), dtype=np.int64)
    for row, reference, chunks in zip(counts, alignment.references, alignment.alignments, strict=True):
        row[0] = len(reference)
        for chunk in chunks:
            if chunk.type in columns:
                span = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                row[columns[chunk.type]] += span
    return counts


def _rate(name: str, counts: np.ndarray, drawn: Clusters | None) -> ErrorRate:
    total, insertions, deletions, substitutions = counts.sum(axis=0).tolist()
    bounds = (float("nan"), float("nan"))
    if drawn is not None:
        errors_and_lengths = resample(np.stack([counts[:, 1:].sum(axis=1), counts[:, 0]], axis=1), drawn)
        bounds = middle_95(100 * errors_and_lengths[:, 0] / np.maximum(errors_and_lengths[:, 1], 1))
    return ErrorRate(name, total, insertions, deletions, substitutions, bounds, str(drawn or ""))
