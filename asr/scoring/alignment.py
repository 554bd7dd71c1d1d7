"""Views of an alignment: single edits, lines under each other, confusion pairs, most-missed words."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import combining

from rich.cells import cell_len

from asr.scoring.tables import Table, fill, percent
from asr.scoring.wer import Alignment

_MOST = 20  # rows of a table of the most frequent
NOTHING = "∅"  # in tables: what an insertion stands against, and a deletion is heard as


class Edit(NamedTuple):
    """One step of an alignment: `kind` is equal, substitute, delete or insert; the side that is not there is ''."""

    kind: str
    reference: str
    hypothesis: str


def edits(alignment: Alignment) -> Iterator[list[Edit]]:
    """The edits of each utterance in order."""
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
    """Reference above hypothesis, word under word, S, D or I under each error; `name` stands before the hypothesis."""
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
    """The most frequent pairs of what was said and what was heard instead."""
    kind = "words" if hasattr(alignment, "wer") else "characters"
    pairs = Counter(step[1:] for steps in edits(alignment) for step in steps if step.kind != "equal")
    return Table(
        f"Confused {kind}",
        ("said", "heard", "times"),
        [(_shown(said), _shown(heard), count) for (said, heard), count in ranked(pairs)],
    )


def missed(alignment: Alignment) -> Table:
    """The reference words most often not recognised, with how often they were said."""
    said, wrong = Counter[str](), Counter[str]()
    for steps in edits(alignment):
        said.update(step.reference for step in steps if step.reference)
        wrong.update(step.reference for step in steps if step.reference and step.kind != "equal")
    rows = [(word, count, said[word], percent(count, said[word])) for word, count in ranked(wrong)]
    return Table("Most missed words", ("word", "missed", "said", "%"), rows)


def ranked(counts: Counter) -> list:
    """The most frequent, equals in alphabetical order, so that equal results print alike."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST]


def _shown(token: str) -> str:
    """Readable where the token alone is not: nothing, a space, a combining mark."""
    return {"": NOTHING, " ": "␣"}.get(token, f"◌{token}" if all(map(combining, token)) else token)
