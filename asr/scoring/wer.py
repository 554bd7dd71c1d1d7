"""Word and character error rates of a test set, with counts and a 95 % interval.

`Score` is the one result type; tables and pages are views of it. Alignments are jiwer's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jiwer
import numpy as np

from asr.errors import AsrError
from asr.scoring.bootstrap import Clusters, clusters
from asr.scoring.intervals import interval_95
from asr.text import Normalizer
from asr.wording import counted

Alignment = jiwer.WordOutput | jiwer.CharacterOutput


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors over the number of reference words (or characters), in percent, with the 95 % interval.

    `resampled` names the units of the interval: `12 speakers`, `240 utterances`. `exact` is true where errors are too
    few for the bootstrap (`asr/scoring/intervals.py`).
    """

    name: str
    total: int
    insertions: int
    deletions: int
    substitutions: int
    interval: tuple[float, float]
    resampled: str
    exact: bool = False

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
            f"{self.deletions} del, {self.substitutions} sub] "
            f"{'exact ' * self.exact}95 % interval {low:.2f}-{high:.2f} over {self.resampled}"
        )


@dataclass(frozen=True, slots=True)
class Score:
    """Result of `score`: `print(score.wer)` prints the line in which results are quoted.

    `words` and `characters` hold jiwer's alignment of each utterance. All tables and pages are made from them.
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
    normalizer: Callable[[str], str] | None = None,
    speakers: Sequence[str | None] | None = None,
    interval: bool = True,
    left_out: Sequence[Sequence[int]] | None = None,
) -> Score:
    """Score a list of hypotheses against the list of their references, in the same order.

    Both texts of each utterance are normalised by `normalizer` (default: as `asr score` does, NFC and white space
    collapsed). An empty reference counts no words, and all words of its hypothesis as inserted.

    Intervals are the 2.5 and 97.5 percentiles over 10,000 resamples (Bisani and Ney 2004), equal in each call.
    Speakers are drawn if every utterance has one and there are six or more, else utterances. With fewer than five
    errors, or fewer than five units with an error, intervals are exact instead. With `interval=False` they are NaN.

    `left_out` holds, for each utterance, the positions of optional reference words that the hypothesis lacks. They
    count as right words, as in sclite, and are not characters of the reference.

    Raises AsrError if an argument is one text or holds something else than texts, if the lists differ in length, or if
    the references hold no word.
    """
    clean = normalizer or Normalizer()
    expected, found = (
        [clean(text) for text in _texts(name, texts)]
        for name, texts in (("references", references), ("hypotheses", hypotheses))
    )
    if len(expected) != len(found):
        numbers = counted("{} reference<s>", len(expected)), counted("{} <hypothesis|hypotheses>", len(found))
        raise AsrError(f"{' and '.join(numbers)}: the numbers must be equal")
    if not any(text.strip() for text in expected):
        raise AsrError("the references hold no words, so there is no error rate")
    optional = left_out or [()] * len(expected)
    required = [_without(text, positions) for text, positions in zip(expected, optional, strict=True)]
    words = jiwer.process_words(required, found)
    characters = jiwer.process_characters(required, found)
    for index, positions in enumerate(optional):
        if positions:
            words.references[index] = expected[index].split()
            words.alignments[index] = _put_back(words.alignments[index], positions)
    word_counts = count_errors(words)
    drawn = clusters(speakers or [None] * len(expected)) if interval else None
    return Score(
        wer=_rate("WER", word_counts, drawn),
        cer=_rate("CER", count_errors(characters), drawn),
        utterances=len(expected),
        utterances_with_errors=int((word_counts[:, 1:].sum(axis=1) > 0).sum()),
        words=words,
        characters=characters,
    )


def count_errors(alignment: Alignment) -> np.ndarray:
    """Count reference tokens, insertions, deletions and substitutions of each utterance: `(utterances, 4)`."""
    columns = {"insert": 1, "delete": 2, "substitute": 3}
    counts = np.zeros((len(alignment.references), 4), dtype=np.int64)
    for row, reference, chunks in zip(counts, alignment.references, alignment.alignments, strict=True):
        row[0] = len(reference)
        for chunk in chunks:
            if chunk.type in columns:
                span = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                row[columns[chunk.type]] += span
    return counts


def _without(text: str, positions: Sequence[int]) -> str:
    return " ".join(word for index, word in enumerate(text.split()) if index not in positions) if positions else text


def _put_back(chunks: Sequence[jiwer.AlignmentChunk], positions: Sequence[int]) -> list[jiwer.AlignmentChunk]:
    """Return an alignment, one chunk a word, with words at `positions` that are right without a hypothesis word."""
    steps: list[jiwer.AlignmentChunk] = []
    waiting = sorted(positions)
    shift = 0  # words put back so far

    def put(before: float, column: int) -> None:
        nonlocal shift
        while waiting and waiting[0] <= before + shift:
            position = waiting.pop(0)
            steps.append(jiwer.AlignmentChunk("equal", position, position + 1, column, column))
            shift += 1

    column = 0
    for chunk in chunks:
        wide, long = chunk.hyp_end_idx - chunk.hyp_start_idx, chunk.ref_end_idx - chunk.ref_start_idx
        for offset in range(max(wide, long)):
            row = chunk.ref_start_idx + min(offset, long)
            column = chunk.hyp_start_idx + min(offset, wide)
            put(row, column)
            ends = row + shift + (offset < long), column + (offset < wide)
            steps.append(jiwer.AlignmentChunk(chunk.type, row + shift, ends[0], column, ends[1]))
            column = ends[1]
    put(math.inf, column)
    return steps


def _texts(name: str, texts: Sequence[str]) -> list[str]:
    """Return `texts` as a list. Raises AsrError for a bare string, whose characters would each be scored as a text."""
    if isinstance(texts, str | bytes):
        raise AsrError(f"{name} must be a list of texts, one for each utterance; for one text write [{texts[:40]!r}]")
    listed = list(texts)
    for number, text in enumerate(listed):
        if not isinstance(text, str):
            raise AsrError(f"{name}[{number}] is not a text but {type(text).__name__}; give '' for an empty one")
    return listed


def _rate(name: str, counts: np.ndarray, drawn: Clusters | None) -> ErrorRate:
    total, insertions, deletions, substitutions = counts.sum(axis=0).tolist()
    bounds, exact = (float("nan"), float("nan")), False
    if drawn is not None:
        bounds, exact = interval_95(counts[:, 1:].sum(axis=1), counts[:, 0], drawn)
    return ErrorRate(name, total, insertions, deletions, substitutions, bounds, str(drawn or ""), exact)
