"""The score of one system, or of two side by side, as one page that needs nothing else: no network, no scripts."""

from pathlib import Path

import jinja2

from asr.scoring.summary import Summary, num_errors

_SHOWN = 1000  # utterances; many more make a browser slow, and the worst come first


def write_page(path: Path, summary: Summary, title: str) -> None:
    """Writes the page: the lines to quote, the tables, and coloured differences of texts with errors, worst first."""
    utterances = sorted(summary.alignments(), key=lambda item: -max(map(num_errors, item[1])))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("score.html").render(
        title=title,
        summary=summary,
        utterances=utterances[:_SHOWN],
        omitted=len(utterances[_SHOWN:]),
        num_errors=num_errors,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
