"""The command group `asr lm`: n-gram and recurrent language models."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from asr.cells import Cell
from asr.cli.groups import Commands, DefaultGroup
from asr.cli.log import show_log, tell
from asr.errors import AsrError
from asr.files import require_file

Texts = Annotated[
    list[Path],
    typer.Argument(metavar="TEXT…", help="Texts, one sentence a line (also .gz), and manifests (.jsonl .csv .tsv)."),
]
Lower = Annotated[bool, typer.Option(help="Read text in lower case (default: as it is).")]

lm = Commands(cls=DefaultGroup)


@lm.command()
def of_n_grams(
    texts: Texts,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The ARPA file to write; compressed if its name ends in .gz.")
    ],
    order: Annotated[
        int | None, typer.Option(help="Length of the longest n-grams (default: 4 words or 6 characters).")
    ] = None,
    units: Annotated[Literal["words", "characters"], typer.Option(help="Tokens that n-grams are made of.")] = "words",
    prune: Annotated[
        str,
        typer.Option(
            metavar="N,N,…",
            help="Leave out n-grams seen N times or less; one N for each order, the last N for all longer: 0,0,1.",
        ),
    ] = "0",
    lower: Lower = False,
    validation: Annotated[Path | None, typer.Option(help="Print the perplexity of this text or manifest.")] = None,
) -> None:
    """Estimate an n-gram language model from text, and write it as an ARPA file.

    The text may have 50 sentences or many millions. Smoothing is Kneser-Ney; orders with too few counts for it get
    Witten-Bell smoothing, and the output says so.
    """
    from asr.cli.inputs import require_no_input
    from asr.corpus.sentences import read_sentences
    from asr.lm.arpa import write_arpa
    from asr.lm.estimate import estimate
    from asr.text import Normalizer

    try:
        thresholds = [int(threshold) for threshold in prune.split(",")]
    except ValueError:
        raise AsrError(f"--prune {prune}: give whole numbers with commas between them, such as 0,0,1") from None
    normalizer = Normalizer(lower=lower)
    require_no_input(output, [str(path) for path in (*texts, validation) if path is not None])
    require_file(output)
    found = estimate(read_sentences(texts, normalizer), order=order, units=units, prune=thresholds)
    tell(found)
    write_arpa(output, found.model, [f"text: {normalizer}", *found.smoothing])
    tell(f"{output}: {output.stat().st_size / 1e3:.0f} kB")
    if validation is not None:
        print(found.model.perplexity(read_sentences([validation], normalizer)))


@lm.command()
def train_rnn(
    texts: Texts,
    output: Annotated[Path, typer.Option("-o", "--output", help="The language model file to write: lm.safetensors.")],
    validation: Annotated[
        Path,
        typer.Option(
            help="Text or manifest to measure perplexity on, which decides the epoch to keep and when to stop."
        ),
    ],
    field: Annotated[
        str | None,
        typer.Option("--given", metavar="FIELD", help="Condition the model on a field of the manifest lines: speaker."),
    ] = None,
    units: Annotated[
        Literal["characters", "words"], typer.Option(help="Tokens that the model reads and predicts.")
    ] = "characters",
    cell: Annotated[Cell, typer.Option(help="Recurrent cell of the layers.")] = "lstm",
    hidden: Annotated[int, typer.Option(min=1, help="Units in each layer.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Number of recurrent layers.")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Share of values dropped in training.")] = 0.2,
    epochs: Annotated[
        int, typer.Option(min=1, help="Largest number of epochs; training stops earlier if perplexity stops falling.")
    ] = 20,
    learning_rate: Annotated[
        float, typer.Option(min=1e-6, max=1, help="Highest learning rate, reached after warm-up.")
    ] = 4e-3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random draws.")] = 0,
    lower: Lower = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an unfinished training with other settings (default: refuse).")
    ] = False,
) -> None:
    """Train a recurrent language model on text, and compare it with n-grams.

    After an interruption, repeat the command: training continues from the checkpoints in OUTPUT.training.
    """
    from asr.cli.inputs import require_no_input
    from asr.config import TrainingConfig
    from asr.corpus.sentences import read_given, read_sentences
    from asr.lm.base import Given
    from asr.lm.estimate import estimate
    from asr.text import Normalizer
    from asr.training.language import Vectors, train

    show_log()
    require_no_input(output, [str(path) for path in (*texts, validation)])
    require_file(output)
    normalizer = Normalizer(lower=lower)
    given: Given | None = None
    vectors: Vectors = (None, None)
    others = absent = None
    if field is None:
        training, held_out = (list(read_sentences(paths, normalizer)) for paths in (texts, [validation]))
    else:
        (training, seen), (held_out, asked) = (read_given(paths, normalizer, field) for paths in (texts, [validation]))
        given = Given.learn(field, seen)
        vectors = given.vectors(seen), given.vectors(asked)
        others, absent = given.others(asked), given.absent(len(asked))
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
        overwrite=overwrite,
        cell=cell,
        hidden=hidden,
        layers=layers,
        dropout=dropout,
    )
    tell(f"{output}: {output.stat().st_size / 1e3:.0f} kB")
    print(f"recurrent: {model.perplexity(held_out, vectors[1])}")
    if others is not None and absent is not None:
        print(f"without {field}: {model.perplexity(held_out, absent)}")
        print(f"with another {field}: {model.perplexity(held_out, others)}")
    print(f"n-grams:   {ngrams.perplexity(held_out)}")


@lm.command()
def generate(
    model: Annotated[Path, typer.Argument(metavar="LM", help="A model of `asr lm train-rnn`.")],
    prompt: Annotated[str, typer.Option(help="Beginning of the text.")] = "",
    length: Annotated[
        int, typer.Option(min=1, help="Number of characters or words to write, ends of sentences included.")
    ] = 200,
    temperature: Annotated[
        float,
        typer.Option(min=0, help="Below 1, likely tokens are drawn more often; 0 always takes the most likely token."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random draws.")] = 0,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Value of the field that the model was trained with, such as a language (default: none).",
        ),
    ] = None,
) -> None:
    """Write text drawn from a recurrent language model, one sentence a line."""
    from asr.lm.recurrent import load_recurrent

    lm = load_recurrent(model, conditional=True)
    vector = lm.vector(given)
    print(lm.generate(prompt, length=length, temperature=temperature, seed=seed, vector=vector))
