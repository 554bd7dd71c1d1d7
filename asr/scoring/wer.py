"""Word and character error rates of a test set, with counts and a bootstrap interval.

One result type, `Score`; everything else is a view of it. Alignments are jiwer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from asr.errors import AsrError

_RESAMPLES = 10_000
_CHUNK = 256  # resamples drawn at a time, so that memory stays flat


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors over the number of reference words (or characters), in percent, with its 95 % interval."""

    name: str
    total: int
    insertions: int
    deletions: int
    substitutions: int
    interval: tuple[float, float]

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
            f"{self.deletions} del, {self.substitutions} sub] 95 % interval {low:.2f}-{high:.2f}"
        )


@dataclass(frozen=True, slots=True)
class Score:
    """What `score` returns: `print(score.wer)` gives the line that results are quoted in."""

    wer: ErrorRate
    cer: ErrorRate
    utterances: int
    utterances_with_errors: int


def score(references: Sequence[str], hypotheses: Sequence[str], *, interval: bool = True) -> Score:
    """Scores hypotheses against references, both already normalised, in the same order.

    An empty reference counts no words, and every word of its hypothesis as inserted. Intervals are the
    2.5 and 97.5 percentiles over 10,000 resamples of the utterances (Bisani and Ney 2004), the same each time;
    without `interval` they are NaN. Raises AsrError if the lists differ in length or hold no reference word.
    """
    if len(references) != len(hypotheses):
        raise AsrError(f"{len(references)} references and {len(hypotheses)} hypotheses: the numbers must be equal")
    words = _counts(jiwer.process_words(list(references), list(hypotheses))) if references else np.zeros((0, 4), int)
    if words[:, 0].sum() == 0:
        raise AsrError("the references hold no words, so there is no error rate")
    characters = _counts(jiwer.process_characters(list(references), list(hypotheses)))
    return Score(
        wer=_rate("WER", words, interval),
        cer=_rate("CER", characters, interval),
        utterances=len(references),
        utterances_with_errors=int((words[:, 1:].sum(axis=1) > 0).sum()),
    )


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> np.ndarray:
    """Reference length, insertions, deletions and substitutions of each utterance, shape `(utterances, 4)`."""
    columns = {"insert": 1, "delete": 2, "substitute": 3}
    counts = np.zeros((len(output.references), 4), dtype=np.int64)
    for row, reference, alignment in zip(counts, output.references, output.alignments, strict=True):
        row[0] = len(reference)
        for chunk in alignment:
            if chunk.type in columns:
                span = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                row[columns[chunk.type]] += span
    return counts


def _rate(name: str, counts: np.ndarray, interval: bool) -> ErrorRate:
    total, insertions, deletions, substitutions = counts.sum(axis=0).tolist()
    bounds = _bootstrap(counts[:, 1:].sum(axis=1), counts[:, 0]) if interval else (float("nan"), float("nan"))
    return ErrorRate(name, total, insertions, deletions, substitutions, bounds)


def _bootstrap(errors: np.ndarray, lengths: np.ndarray) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    rates: list[np.ndarray] = []
    for start in range(0, _RESAMPLES, _CHUNK):
        draws = generator.integers(len(errors), size=(min(_CHUNK, _RESAMPLES - start), len(errors)))
        rates.append(100 * errors[draws].sum(axis=1) / np.maximum(lengths[draws].sum(axis=1), 1))
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5])
    return float(low), float(high)
