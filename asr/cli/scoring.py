"""`asr score`."""

from pathlib import Path
from typing import Annotated

import typer


def score(
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="Manifest, plain text, Kaldi text, CTM or STM: docs/score.md.")
    ],
    hypothesis: Annotated[Path, typer.Argument(metavar="HYP", help="What `asr transcribe -o` wrote, or any of these.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="HYP2", help="Another system's, to compare: is it better than HYP?")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Also for each value of a field: --by speaker.")
    ] = None,
    lower: Annotated[bool, typer.Option(help="Score in lower case.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="Normalise and take references as this configuration: runs/NAME/config.yaml."
        ),
    ] = None,
    tones: Annotated[
        str | None, typer.Option(metavar="LETTERS", help="Also the CER without the marks on these: --tones áà.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Confused words and characters, most missed words.")] = False,
    anatomy: Annotated[bool, typer.Option("--anatomy", help="Errors by length and by signal level.")] = False,
    training: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training texts: errors in words known and unknown from them.")
    ] = None,
    bleu: Annotated[bool, typer.Option("--bleu", help="Also BLEU and chrF, of translations.")] = False,
    alignments: Annotated[bool, typer.Option("--alignments", help="The texts with errors, word under word.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A row for each utterance: .jsonl, .csv or .tsv.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="All of it as one page for a browser.")] = None,
) -> None:
    """Score hypotheses against references: WER and CER with counts and a 95 % bootstrap interval.

    Texts are matched by id, plain texts line by line, a CTM with an STM by time.
    """
    import logging

    from asr.config import Config
    from asr.scoring.summary import summarise
    from asr.scoring.tables import write_rows
    from asr.text import Normalizer

    if lower and config is not None:
        raise typer.BadParameter("give --lower or --config, not both")
    logging.basicConfig(format="asr: %(message)s")
    settings = Config.load(config) if config else None
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
