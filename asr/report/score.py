"""The score of one system, or of two side by side, as one page."""

from pathlib import Path

from asr.figures.page import write_page
from asr.scoring.summary import Summary, num_errors

_SHOWN = 1000  # utterances; many more make a browser slow, and the worst come first


def write_score(path: Path, summary: Summary, title: str) -> None:
    """Writes the page: the lines to quote, the tables, and coloured differences of texts with errors, worst first."""
    utterances = sorted(summary.alignments(), key=lambda item: -max(map(num_errors, item[1])))
    write_page(
        path,
        "score.html",
        title=title,
        summary=summary,
        utterances=utterances[:_SHOWN],
        omitted=len(utterances[_SHOWN:]),
        num_errors=num_errors,
    )
