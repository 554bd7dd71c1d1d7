"""`asr lm` and `asr tune`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.cli.options import Device, Model
from asr.errors import AsrError


def lm(
    texts: Annotated[
        list[Path],
        typer.Argument(metavar="TEXT…", help="Texts, one sentence a line (.gz too), and manifests (.jsonl .csv .tsv)."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The ARPA file to write; compressed if its name ends in .gz.")
    ],
    order: Annotated[
        int | None, typer.Option(help="Length of the longest n-grams; by default 4 words or 6 characters.")
    ] = None,
    units: Annotated[Literal["words", "characters"], typer.Option(help="What n-grams are made of.")] = "words",
    prune: Annotated[
        str,
        typer.Option(
            metavar="N,N,…",
            help="Leave out n-grams seen N times or less, one N for each order, the last for all longer: 0,0,1.",
        ),
    ] = "0",
    lower: Annotated[bool, typer.Option(help="Count in lower case.")] = False,
    validation: Annotated[Path | None, typer.Option(help="Also print the perplexity of this text or manifest.")] = None,
) -> None:
    """Estimate an n-gram language model from text, 50 sentences or many millions, and write it as an ARPA file.

    Kneser-Ney smoothing; orders whose counts are too few for it get Witten-Bell, and it says so.
    """
    from asr.corpus.sentences import read_sentences
    from asr.decoding.arpa import write_arpa
    from asr.decoding.estimate import estimate
    from asr.text import Normalizer

    try:
        thresholds = [int(threshold) for threshold in prune.split(",")]
    except ValueError:
        raise AsrError(f"--prune {prune}: must be whole numbers with commas between them, as in 0,0,1") from None
    normalizer = Normalizer(lower=lower)
    found = estimate(read_sentences(texts, normalizer), order=order, units=units, prune=thresholds)
    print(found, file=sys.stderr)
    write_arpa(output, found.model, [f"text: {normalizer}", *found.smoothing])
    print(f"{output}: {output.stat().st_size / 1e3:.0f} kB", file=sys.stderr)
    if validation is not None:
        print(found.model.perplexity(read_sentences([validation], normalizer)))


def tune(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Validation data with texts: .jsonl .csv .tsv.")],
    lm: Annotated[Path | None, typer.Option(help="ARPA file of words.")] = None,
    character_lm: Annotated[
        Path | None, typer.Option(help="ARPA file of characters; by default one is made of the words of --lm.")
    ] = None,
    lm_text: Annotated[
        list[Path] | None,
        typer.Option(help="Instead of both: text or manifest to estimate them from, such as the training manifest."),
    ] = None,
    closed: Annotated[bool, typer.Option(help="Allow only words of the word model.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The model file to write; by default MODEL itself.")
    ] = None,
    device: Device = None,
) -> None:
    """Add language models to a model file, their weights tuned on validation data; if they do not help, none is stored.

    Words the word model has never seen stay possible: they are scored by their characters.
    """
    if (lm or character_lm) is None and not lm_text:
        raise AsrError("give --lm-text with text to learn from, or --lm and --character-lm with ARPA files")
    if (lm or character_lm) is not None and lm_text:
        raise AsrError("--lm-text estimates both language models; leave out --lm and --character-lm, or --lm-text")

    from asr.corpus.manifest import read_manifest
    from asr.corpus.sentences import read_sentences
    from asr.decoding.arpa import read_arpa
    from asr.decoding.decoder import Decoder
    from asr.decoding.tune import models_of_text, said_verbatim, spelling_model
    from asr.decoding.tune import tune as tune_decoder
    from asr.model import load

    recognizer = load(model, device)
    field = recognizer.config.data.text_field
    utterances = read_manifest(manifest, require_text=True, text_field=field)
    if lm_text:
        sentences = list(read_sentences(lm_text, recognizer.normalizer, field))
        if seen := said_verbatim(sentences, utterances, recognizer.normalizer):
            share = f"{seen} of {len(utterances)} texts of {manifest}"
            warning = f"asr: {share} stand verbatim in the language model's text: it will be trusted too much"
            print(warning, file=sys.stderr)
        words, characters = models_of_text(sentences, recognizer.units)
    else:
        words = read_arpa(lm) if lm else None
        characters = read_arpa(character_lm) if character_lm else spelling_model(words) if words else None
    decoder = Decoder(recognizer.units, words, characters, closed=closed)
    tune_decoder(recognizer, utterances, decoder, partial(print, flush=True))
    recognizer.save(output or model)
