"""`asr compare`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.cli.log import tell


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…", help="Folders of training runs, or of `asr train --seeds`; the first is the baseline."
        ),
    ],
    format: Annotated[
        Literal["text", "markdown", "latex", "html"], typer.Option("-f", "--format", help="Form of the tables.")
    ] = "text",
    html: Annotated[
        Path | None,
        typer.Option(metavar="NAME.html", help="Write tables and learning curves as one page for a browser."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="NAME.png", help="Draw the learning curves over each other.")
    ] = None,
) -> None:
    """Show runs beside each other: settings that differ, validation errors, significance, learning curves.

    Runs that differ in their seed alone are one run with mean and standard deviation. Error rates are compared only
    between runs that were validated on the same utterances with the same normalisation. Works while runs train.
    """
    from asr.files import require_file
    from asr.report.compare import compare_runs, draw_comparison, write_comparison
    from asr.scoring.tables import Table

    for path, suffix in ((html, ".html"), (png, ".png")):
        if path is not None:
            require_file(path, suffix)
    found = compare_runs(runs)
    for note in found.notes:
        tell(note)
    forms = {"text": Table.__str__, "markdown": Table.markdown, "latex": Table.latex, "html": Table.html}
    print("\n\n".join(map(forms[format], found.tables)))
    if png is not None:
        draw_comparison(png, found)
    if html is not None:
        write_comparison(html, found)
