"""The results of `asr score` for one system, or for two: lines to print, tables, and the rows of a file."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.scoring.alignment import Edit, aligned_lines, confusions, edits, missed
from asr.scoring.anatomy import by_length, by_level, by_training, oracle
from asr.scoring.files import Pair, group_by, pair_files, score_pairs
from asr.scoring.kinds import Source
from asr.scoring.readers import read_entries
from asr.scoring.significance import Comparison, compare
from asr.scoring.tables import Table
from asr.scoring.tones import tone_marks, without_marks
from asr.scoring.translation import translation_scores
from asr.scoring.wer import Score, count_errors
from asr.text import Normalizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class System:
    """One hypothesis file with its score. `name` is empty, A or B; `lines` are the lines to quote, the WER last."""

    name: str
    path: Path
    pairs: list[Pair]
    score: Score
    tables: list[Table]
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Summary:
    """The scores of one system, or of two systems with their comparison."""

    systems: list[System]
    comparison: Comparison | None

    def lines(self) -> Iterator[str]:
        """Yield the tables, then the lines to quote."""
        for system in self.systems:
            if self.comparison:
                yield f"{system.name}: {system.path}"
            yield from (f"{table}\n" for table in system.tables)
            yield from system.lines
        if self.comparison:
            yield ""
            yield from (f"{table}\n" for table in self.comparison.tables())
            yield str(self.comparison)

    def alignments(self) -> Iterator[tuple[Pair, list[list[Edit]]]]:
        """Yield utterances with errors (or, of two systems, with different edits) and the edits of each system."""
        for pair, *sides in zip(self.systems[0].pairs, *(edits(one.score.words) for one in self.systems), strict=True):
            if sides[0] != sides[1] if self.comparison else num_errors(sides[0]):
                yield pair, sides

    def alignment_lines(self) -> Iterator[str]:
        """Yield `alignments` as lines of text, word under word."""
        for pair, sides in self.alignments():
            speaker = f", speaker {pair.speaker}" if pair.speaker else ""
            counts = " and ".join(str(num_errors(side)) for side in sides)
            yield f"{pair.id}{speaker}: errors {counts}, words {len(pair.reference.split())}"
            for system, side in zip(self.systems, sides, strict=True):
                yield aligned_lines(side, system.name or "HYP")
            yield ""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each utterance; counts sum to the score. Of two systems, columns end in _a and _b."""
        counts = [[count_errors(side) for side in (one.score.words, one.score.characters)] for one in self.systems]
        # Two hypotheses may choose other alternatives of a reference.
        own = len({tuple((pair.reference, pair.left_out) for pair in one.pairs) for one in self.systems}) > 1
        for index, pair in enumerate(self.systems[0].pairs):
            row: dict[str, Any] = {"id": pair.id, "speaker": pair.speaker}
            if not own:
                row["reference"] = pair.reference
            for system, both in zip(self.systems, counts, strict=True):
                suffix = f"_{system.name.lower()}" if system.name else ""
                if own:
                    row[f"reference{suffix}"] = system.pairs[index].reference
                row[f"hypothesis{suffix}"] = system.pairs[index].hypothesis
                for unit, numbers in zip(("word", "character"), both, strict=True):
                    row[f"{unit}s{suffix if own else ''}"], *kinds = numbers[index].tolist()
                    for kind, number in zip(("insertions", "deletions", "substitutions"), kinds, strict=True):
                        row[f"{unit}_{kind}{suffix}"] = number
            yield row


def num_errors(steps: Sequence[Edit]) -> int:
    """Count the edits that are errors."""
    return sum(step.kind != "equal" for step in steps)


def summarise(
    reference: Path,
    hypotheses: Sequence[Path],
    normalizer: Normalizer,
    *,
    by: str | None = None,
    tones: str | None = None,
    errors: bool = False,
    anatomy: bool = False,
    training: Path | None = None,
    bleu: bool = False,
    text_field: str = "text",
) -> Summary:
    """Score one hypothesis file, or two files and their difference.

    - `by`: add the score for each value of this field
    - `tones`: add the CER without the marks on these letters
    - `errors`: add tables of confusions and missed words
    - `anatomy`: add tables of errors by length and by signal level
    - `training`: add tables of missed words by how often this file of training texts has them
    - `bleu`: add BLEU and chrF
    - `text_field`: the field of a manifest that holds the references

    Raises AsrError for files that cannot be read or do not match.
    """
    if sum(str(path) == "-" for path in (reference, *hypotheses)) > 1:
        raise AsrError("-: standard input can be only one of the files; write the other one to a file")
    systems = []
    references = Source.read(reference)  # once, since a pipe cannot be read again
    seen = (
        None
        if training is None
        else [normalizer(entry.text) for entry in read_entries(training, hypotheses=False, text_field=text_field)]
    )
    for name, path in zip("AB", hypotheses, strict=False):
        pairs = pair_files(references, path, normalizer, text_field)
        result = score_pairs(pairs)
        tables: list[Table] = []
        if errors:
            tables += [confusions(result.words), confusions(result.characters), missed(result.words)]
        if seen is not None:
            tables += by_training(result, seen)
        if anatomy:
            tables += _anatomy(pairs, result)
        lines = list(_score_lines(pairs, result, normalizer, by, tones))
        if bleu:
            expected, texts = ([getattr(pair, side) for pair in pairs] for side in ("reference", "hypothesis"))
            lines = [*map(str, translation_scores(expected, texts).values()), *lines]
        systems.append(System(name if len(hypotheses) > 1 else "", path, pairs, result, tables, lines))
    if len(systems) == 1:
        return Summary(systems, None)
    speakers = [pair.speaker for pair in systems[0].pairs]
    return Summary(systems, compare(systems[0].score, systems[1].score, speakers, alternatives=True))


def _score_lines(
    pairs: Sequence[Pair], total: Score, normalizer: Normalizer, by: str | None, tones: str | None
) -> Iterator[str]:
    if by is not None:
        groups = group_by(pairs, by)
        rates = {
            value: score_pairs(group).wer for value, group in groups.items() if any(one.reference for one in group)
        }
        for value in groups.keys() - rates.keys():
            logger.warning("%s %s: the references hold no words, so there is no error rate", by, value)
        for value, rate in rates.items():
            yield f"{by} {value}: {rate}"
        mean = sum(rate.percent for rate in rates.values()) / len(rates)
        yield f"mean WER over {len(rates)} values of {by}: {mean:.2f} %"
    if (best := oracle(pairs)) is not None:
        yield f"oracle of the n-best: {best}; {normalizer}"
    yield f"{total.cer}; {normalizer}"
    if tones is not None:
        marks = tone_marks(tones)
        texts = [(without_marks(pair.reference, marks), without_marks(pair.hypothesis, marks)) for pair in pairs]
        bare = score_pairs(
            [replace(pair, reference=r, hypothesis=h) for pair, (r, h) in zip(pairs, texts, strict=True)]
        )
        names = " ".join(f"U+{ord(mark):04X}" for mark in marks)
        yield f"{bare.cer}; {normalizer}, without {names}"
    yield f"{total.wer}; {normalizer}"


def _anatomy(pairs: Sequence[Pair], result: Score) -> Iterator[Table]:
    yield by_length(result)
    try:
        yield by_level(result, pairs)
    except AsrError as error:
        logger.warning("no table by signal level: %s", error)
