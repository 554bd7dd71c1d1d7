"""The command `asr score`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log
from asr.cli.options import config_file


def score(
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REF",
            help="References: manifest, plain text, Kaldi text, trn, CTM or STM (docs/score.md); - is a pipe.",
        ),
    ],
    hypothesis: Annotated[
        Path, typer.Argument(metavar="HYP", help="Hypotheses: output of `asr transcribe -o`, or any of these kinds.")
    ],
    other: Annotated[
        Path | None, typer.Argument(metavar="HYP2", help="Hypotheses of a second system, to compare with HYP.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Add the WER for each value of a field: --by speaker.")
    ] = None,
    lower: Annotated[bool, typer.Option(help="Score in lower case (default: case matters).")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            callback=config_file,
            help="Normalise texts and choose the text field as in this configuration: runs/NAME/config.yaml.",
        ),
    ] = None,
    tones: Annotated[
        str | None,
        typer.Option(metavar="LETTERS", help="Add the CER without the tone marks on these letters: --tones áà."),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Show confused words and characters, and the words most often missed.")
    ] = False,
    anatomy: Annotated[bool, typer.Option("--anatomy", help="Show errors by length and by signal level.")] = False,
    training: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show missed words by how often these training texts have them.")
    ] = None,
    bleu: Annotated[bool, typer.Option("--bleu", help="Add BLEU and chrF, for translations.")] = False,
    alignments: Annotated[
        bool, typer.Option("--alignments", help="Show the texts with errors, word under word.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a row for each utterance: .jsonl, .csv or .tsv.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the results as one page for a browser.")] = None,
) -> None:
    """Score hypotheses against references: WER and CER with a 95 % interval.

    Texts are matched by id; plain texts are matched line by line, a CTM and an STM by time. Of the files, one can be -,
    standard input.
    """
    import logging

    from asr.cli.inputs import require_no_input
    from asr.cli.next_step import after_scoring
    from asr.config import Config
    from asr.files import require_file
    from asr.scoring.summary import summarise
    from asr.scoring.tables import write_rows
    from asr.text import Normalizer

    if lower and config is not None:
        raise typer.BadParameter("give --lower or --config, not both")
    show_log(logging.WARNING, prefix="asr: ")
    settings = Config.load(config) if config else None
    inputs = [str(path) for path in (reference, hypothesis, other, training) if path is not None]
    for path, option, suffix in ((output, "-o", ""), (html, "--html", ".html")):
        if path is not None:
            require_no_input(path, inputs, option)
            require_file(path, suffix)
    summary = summarise(
        reference,
        [hypothesis] if other is None else [hypothesis, other],
        settings.text.normalizer if settings else Normalizer(lower=lower),
        by=by,
        tones=tones,
        errors=errors,
        anatomy=anatomy,
        training=training,
        bleu=bleu,
        text_field=settings.data.text_field if settings else "text",
    )
    if output is not None:
        write_rows(output, list(summary.rows()))
    if html is not None:
        from asr.report.score import write_score

        write_score(html, summary, f"{hypothesis.name} against {reference.name}")
    if alignments:
        print("\n".join(summary.alignment_lines()))
    print("\n".join(summary.lines()))
    if other is None:
        analysed = any((by, tones, errors, anatomy, training, bleu, alignments, output, html))
        options = [*(["--lower"] if lower else []), *(["--config", str(config)] if config else [])]
        after_scoring(reference, hypothesis, options, analysed=analysed)
