"""The page of a score: one system, or two systems side by side."""

from pathlib import Path

from asr.figures.page import write_page
from asr.scoring.summary import Summary, num_errors

MAX_SHOWN = 5000  # utterances; a page of more is slow in a browser


def write_score(path: Path, summary: Summary, title: str) -> None:
    """Write the page: the lines to quote, the tables, and the utterances with errors, most errors first.

    A page of two systems shows the utterances whose hypotheses differ. At most MAX_SHOWN utterances are shown.
    """
    utterances = sorted(summary.alignments(), key=lambda item: -max(map(num_errors, item[1])))
    names = [f"errors {system.name}".strip() for system in summary.systems]
    write_page(
        path,
        "score.html",
        title=title,
        summary=summary,
        heading="Utterances with different hypotheses" if summary.comparison else "Utterances with errors",
        columns=[
            ("id", False),
            ("speaker", False),
            ("words", True),
            *((name, True) for name in names),
            ("reference and hypothesis", False),
        ],
        utterances=utterances[:MAX_SHOWN],
        omitted=len(utterances[MAX_SHOWN:]),
        num_errors=num_errors,
    )
