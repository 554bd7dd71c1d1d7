"""`asr lm` and `asr tune`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.cells import Cell
from asr.cli.groups import DefaultGroup
from asr.cli.log import show_log
from asr.cli.options import Device, Model
from asr.errors import AsrError

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT…", help="Texts, one sentence a line (.gz too), and manifests (.jsonl .csv .tsv)."),
]
Lower = Annotated[bool, typer.Option(help="Read text in lower case.")]

lm = typer.Typer(cls=DefaultGroup)


@lm.command()
def of_n_grams(
    texts: Texts,
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
    lower: Lower = False,
    validation: Annotated[Path | None, typer.Option(help="Also print the perplexity of this text or manifest.")] = None,
) -> None:
    """Estimate an n-gram language model from text, 50 sentences or many millions, and write it as an ARPA file.

    Kneser-Ney smoothing; orders whose counts are too few for it get Witten-Bell, and it says so.
    """
    from asr.corpus.sentences import read_sentences
    from asr.lm.arpa import write_arpa
    from asr.lm.estimate import estimate
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


@lm.command()
def train_rnn(
    texts: Texts,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write: lm.safetensors.")],
    validation: Annotated[
        Path, typer.Option(help="Text or manifest whose perplexity tells which epoch is kept, and when to stop.")
    ],
    field: Annotated[
        str | None,
        typer.Option("--given", metavar="FIELD", help="Learn how text depends on a field of manifest lines: speaker."),
    ] = None,
    units: Annotated[Literal["characters", "words"], typer.Option(help="What it reads and predicts.")] = "characters",
    cell: Annotated[Cell, typer.Option(help="Of the layers.")] = "lstm",
    hidden: Annotated[int, typer.Option(min=1, help="Size of each layer.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="How many there are.")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of values left out in training.")] = 0.2,
    epochs: Annotated[int, typer.Option(min=1, help="At most; it stops before if nothing improves.")] = 20,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1, help="The highest, after warm-up.")] = 4e-3,
    seed: Annotated[int, typer.Option(min=0, help="Another gives other first weights.")] = 0,
    lower: Lower = False,
) -> None:
    """Train a recurrent language model on text, and compare it with n-grams of the same text.

    The same command goes on where an interrupted one stopped; until it is done, OUTPUT.training holds what it needs.
    """
    from asr.config import TrainingConfig
    from asr.corpus.sentences import read_given, read_sentences
    from asr.lm.estimate import estimate
    from asr.lm.recurrent import Given
    from asr.text import Normalizer
    from asr.training.language import Vectors, train

    show_log()
    normalizer = Normalizer(lower=lower)
    given: Given | None = None
    vectors: Vectors = (None, None)
    others = None
    if field is None:
        training, held_out = (list(read_sentences(paths, normalizer)) for paths in (texts, [validation]))
    else:
        (training, seen), (held_out, asked) = (read_given(paths, normalizer, field) for paths in (texts, [validation]))
        given = Given.learn(field, seen)
        vectors, others = (given.vectors(seen), given.vectors(asked)), given.others(asked)
    ngrams = estimate(training, units=units).model
    model = train(
        training,
        held_out,
        output,
        ngrams=ngrams,
        normalizer=normalizer,
        options=TrainingConfig(epochs=epochs, learning_rate=learning_rate, patience=5, seed=seed),
        vectors=vectors,
        given=given,
        cell=cell,
        hidden=hidden,
        layers=layers,
        dropout=dropout,
    )
    print(f"{output}: {output.stat().st_size / 1e3:.0f} kB", file=sys.stderr)
    print(f"recurrent: {model.perplexity(held_out, vectors[1])}")
    if others is not None:
        print(f"with another {field}: {model.perplexity(held_out, others)}")
    print(f"n-grams:   {ngrams.perplexity(held_out)}")


@lm.command()
def generate(
    model: Annotated[Path, typer.Argument(metavar="LM", help="What `asr lm train-rnn` wrote.")],
    prompt: Annotated[str, typer.Option(help="How the text begins.")] = "",
    length: Annotated[int, typer.Option(min=1, help="How many characters or words, ends of sentences too.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, help="Below 1 likely text gets likelier; 0 takes the likeliest each time.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another gives another text.")] = 0,
    given: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Of the field that the model was trained with: whose text, say.")
    ] = None,
) -> None:
    """Write text as a recurrent language model expects it, one sentence a line."""
    from asr.lm.recurrent import load_recurrent

    lm = load_recurrent(model, conditional=True)
    vector = lm.vector(given)
    print(lm.generate(prompt, length=length, temperature=temperature, seed=seed, vector=vector))


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
    rnn_lm: Annotated[
        Path | None,
        typer.Option(help="What `asr lm train-rnn` wrote: read in the search, or rescoring what that leaves."),
    ] = None,
    phrases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Set how sure `transcribe --phrases FILE` must be of a phrase.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw how far word confidences can be trusted, before and after.")
    ] = None,
    closed: Annotated[bool, typer.Option(help="Allow only words of the word model.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The model file to write; by default MODEL itself.")
    ] = None,
    device: Device = None,
) -> None:
    """Add language models to a model file, their weights tuned on validation data; if they do not help, none is stored.

    Words the word model has never seen stay possible: they are scored by their characters. With or without language
    models, word confidences are calibrated: of the words with confidence 0.8, eight in ten shall be right.
    """
    if closed and lm is None and not lm_text:
        raise AsrError("--closed allows only words of a word model; give one with --lm, or --lm-text to learn it from")
    if (lm or character_lm) is not None and lm_text:
        raise AsrError("--lm-text estimates both language models; leave out --lm and --character-lm, or --lm-text")

    from asr.corpus.manifest import read_manifest
    from asr.corpus.sentences import read_sentences
    from asr.decoding.decoder import Decoder
    from asr.decoding.phrases import read_phrases
    from asr.lm.arpa import read_arpa
    from asr.lm.recurrent import load_recurrent
    from asr.recognition.recognizer import load
    from asr.tuning.confidence import tune_confidence, tune_rejection
    from asr.tuning.ngrams import models_of_text, spelling_model, tune_ngrams
    from asr.tuning.recurrent import tune_fusion, tune_rescoring
    from asr.tuning.validation import Validation, said_verbatim

    say = partial(print, flush=True)

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
    elif lm or character_lm:
        words = read_arpa(lm) if lm else None
        characters = read_arpa(character_lm) if character_lm else spelling_model(words) if words else None
    else:
        words = characters = None
    listed = read_phrases(phrases, recognizer.units, recognizer.normalizer) if phrases is not None else []
    recurrent = load_recurrent(rnn_lm) if rnn_lm else None
    decoder = Decoder(recognizer.units, words, characters, closed=closed)
    validation = Validation(recognizer, utterances)
    if words or characters:
        tune_ngrams(validation, decoder, say)
    if recurrent is not None:
        tune_rescoring(validation, recurrent, say)
        tune_fusion(validation, recurrent, say)
    tune_confidence(validation, say, plot)
    if listed:
        tune_rejection(validation, listed, say)
    recognizer.save(output or model)
