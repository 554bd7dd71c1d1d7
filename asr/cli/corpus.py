"""`asr prepare` and `asr check`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.errors import AsrError


def prepare(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder with recordings and texts, or a table.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the manifests, such as data/NAME.")],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Shares of train, validation, test; 0.8,0.1,0.1 where the source has no splits. "
            "Where it has, taken out of its train.",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="What stays together in one split: id (one utterance), speaker or text.")
    ] = "id",
    format: Annotated[str | None, typer.Option(help="Read it as this; by default what is recognised.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Tier with the transcript, in ELAN and Praat files; a pattern for several: tx@*.")
    ] = None,
    text_suffix: Annotated[str | None, typer.Option(help="End of the text files' names, such as .txt.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Takes text, speaker, split from the names of recordings: (?P<speaker>[a-z]+)_(?P<text>.+).",
        ),
    ] = None,
) -> None:
    """Make manifests of any usual corpus: recognise it, show three rows, divide it into splits.

    Nothing is copied or cut. Splits of the source are kept; without any, each utterance falls to one by its hash, so
    that adding data moves none. Recordings without text go to untranscribed.jsonl; texts whose recording is not there
    to missing.jsonl, and the exit status is then 1. Formats: see docs/prepare.md.
    """
    import logging

    from asr.corpus.prepare import describe, parse_fractions
    from asr.corpus.prepare import prepare as prepare_corpus

    logging.basicConfig(format="%(message)s")
    fractions = None if split is None else parse_fractions(split)
    options = {"tier": tier, "text_suffix": text_suffix, "pattern": pattern}
    prepared = prepare_corpus(source, output, format=format, fractions=fractions, by=by, **options)
    for line in describe(prepared, output):
        print(line)
    if prepared.missing:
        raise AsrError(f"{prepared.missing} texts have no recording; they are listed in {output / 'missing.jsonl'}")


def check(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST…", help="One a split: train.jsonl test.jsonl …")],
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="The model it is to train; without it, one of defaults.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write all findings, figures and characters as JSON Lines.")
    ] = None,
) -> None:
    """Check a corpus before training: every recording decoded to its end, every text looked through.

    The manifest named train…, else the first, is training. Exit status 1 if a line is unusable: training would leave
    it out.
    """
    from asr.config import Config
    from asr.corpus.check import check as check_corpus
    from asr.corpus.check import name_splits, settings_of
    from asr.corpus.check_report import summary, write_table

    settings = Config.load(config) if config else Config.model_validate({"data": {"train": "", "validation": ""}})
    splits, training = name_splits(manifests)
    report = check_corpus(splits, training=training, **settings_of(settings))
    if output is not None:
        write_table(report, output)
    features = f"{settings.features.sample_rate} Hz, {settings.features.hop_ms:g} ms, subsampling"
    for line in summary(report, f"{config or 'the default model'} ({features} {settings.model.subsampling})"):
        print(line.encode("utf-8", "backslashreplace").decode())  # a name may hold what UTF-8 cannot
    if report.unusable:
        lines = {(finding.manifest, finding.line) for finding in report.unusable}
        raise AsrError(f"{len(lines)} lines are unusable; training leaves them out")
