"""Views of an alignment: single edits, aligned lines, confused pairs, words most often missed."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import combining

from rich.cells import cell_len

from asr.scoring.tables import Table, fill, percent
from asr.scoring.wer import Alignment

_MOST = 20  # rows of a table
NOTHING = "∅"  # shown in tables for the missing side of an insertion or deletion


class Edit(NamedTuple):
    """One step of an alignment: `kind` is equal, substitute, delete or insert; a missing side is ''."""

    kind: str
    reference: str
    hypothesis: str


def edits(alignment: Alignment) -> Iterator[list[Edit]]:
    """Yield the edits of each utterance in order."""
    for reference, hypothesis, chunks in zip(
        alignment.references, alignment.hypotheses, alignment.alignments, strict=True
    ):
        steps = []
        for chunk in chunks:
            expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            found = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            steps += [
                Edit(chunk.type, expected[i] if expected else "", found[i] if found else "")
                for i in range(max(len(expected), len(found)))
            ]
        yield steps


def aligned_lines(steps: list[Edit], name: str = "HYP") -> str:
    """Print the reference above the hypothesis, word under word, with S, D or I under each error.

    `name` stands before the hypothesis.
    """
    columns = [
        (
            step.reference or "*" * cell_len(step.hypothesis),
            step.hypothesis or "*" * cell_len(step.reference),
            "" if step.kind == "equal" else step.kind[0].upper(),
        )
        for step in steps
    ]
    widths = [max(map(cell_len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join(
        f"  {label:3} {' '.join(map(fill, row, widths))}".rstrip()
        for label, row in zip(("REF", name, ""), rows, strict=False)
    ).rstrip()


def confusions(alignment: Alignment) -> Table:
    """Return the most frequent pairs of a reference token and the token recognised instead."""
    kind = "words" if hasattr(alignment, "wer") else "characters"
    pairs = Counter(step[1:] for steps in edits(alignment) for step in steps if step.kind != "equal")
    return Table(
        f"Confused {kind}",
        ("reference", "hypothesis", "times"),
        [(_shown(expected), _shown(found), count) for (expected, found), count in most_frequent(pairs)],
    )


def missed(alignment: Alignment) -> Table:
    """Return the reference words most often missed, with how often they occur."""
    occurrences, wrong = Counter[str](), Counter[str]()
    for steps in edits(alignment):
        occurrences.update(step.reference for step in steps if step.reference)
        wrong.update(step.reference for step in steps if step.reference and step.kind != "equal")
    rows = [(word, count, occurrences[word], percent(count, occurrences[word])) for word, count in most_frequent(wrong)]
    return Table("Most missed words", ("word", "missed", "of", "%"), rows)


def most_frequent(counts: Counter) -> list:
    """Return the most frequent items with their counts; items of equal count in alphabetical order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST]


def _shown(token: str) -> str:
    """Make a missing token, a space or a combining mark visible."""
    return {"": NOTHING, " ": "␣"}.get(token, f"◌{token}" if all(map(combining, token)) else token)
