"""The command line: parses, calls the library, prints. Heavy imports wait inside the commands."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.decoding.ngram import NGram

app = typer.Typer(
    help="Train your own speech recogniser, and use it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: importing rich would double its time
    pretty_exceptions_enable=False,
)

Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. training.epochs=20.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file: runs/NAME/model.safetensors.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default a GPU if there is one.")]


def main() -> None:
    """Runs the command line."""
    run(app)


def run(program: Callable[[], None]) -> None:
    """Runs a program: exit status 0, 1 for an error said on stderr, 2 for a wrong call. Recipes use it too."""
    try:
        program()
    except AsrError as error:
        print(f"asr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("asr: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `asr … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as recipes/fsdd/config.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where results go; by default runs/NAME, NAME being the recipe's folder."),
    ] = None,
    override: Set = None,
) -> None:
    """Train a recogniser; its one file is OUT/model.safetensors."""
    from asr.config import Config

    settings = Config.load(config, override or [])
    from asr.training.loop import train as train_recognizer

    name = config.resolve().parent.name if config.stem == "config" else config.stem
    train_recognizer(settings, out or Path("runs") / name)


@app.command()
def transcribe(
    model: Model,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT…", help="Recordings, and manifests (.jsonl .csv .tsv).")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write a manifest with a hypothesis in each line here instead."),
    ] = None,
    device: Device = None,
) -> None:
    """Transcribe recordings: the text of each on stdout, after its name where there are several.

    A recording that cannot be read is named on stderr, the rest go on, and the exit status is 1.
    """
    from asr.corpus.manifest import Utterance, read_manifest, with_hypothesis, write_manifest

    utterances: list[Utterance] = []
    for path in inputs:
        is_manifest = path.suffix in (".jsonl", ".csv", ".tsv")
        utterances += read_manifest(path) if is_manifest else [Utterance(id=str(path), audio=path)]

    import logging

    from asr.model import load
    from asr.progress import ProgressBar
    from asr.transcribe import Transcript
    from asr.transcribe import transcribe as transcribe_all

    logging.basicConfig(format="%(message)s")
    logging.getLogger("asr").setLevel(logging.INFO)  # channels averaged, levels changed: said, not hidden
    recognizer = load(model, device)
    done, failures = [], 0
    with ProgressBar("transcribing", len(utterances)) as bar:
        for utterance, result in transcribe_all(recognizer, utterances):
            if not isinstance(result, Transcript):
                failures += 1
                bar.print(f"asr: {result}")
            elif output is not None:
                done.append(with_hypothesis(utterance, result.text))
            else:
                print(result.text if len(utterances) == 1 else f"{utterance.id}\t{result.text}")
            bar.advance()
    if output is not None:
        write_manifest(output, done)
    if failures:
        raise AsrError(f"{failures} of {len(utterances)} recordings could not be transcribed")


@app.command()
def score(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="Manifest, or text with one utterance a line.")],
    hypothesis: Annotated[Path, typer.Argument(metavar="HYP", help="What `asr transcribe -o` wrote, or such a text.")],
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Also for each value of a field: --by speaker.")
    ] = None,
    lower: Annotated[bool, typer.Option(help="Score in lower case.")] = False,
) -> None:
    """Score hypotheses against references: WER and CER with counts and a 95 % bootstrap interval.

    Manifests are matched by id, texts line by line.
    """
    from asr.scoring.files import pair_files, score_groups

    pairs = pair_files(reference, hypothesis, lower=lower)
    for line in score_groups(pairs, by):
        print(line)


@app.command()
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


@app.command()
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
    from asr.decoding.tune import HEADER, Validation, models_of_text, search_settings, spelling_model
    from asr.model import load

    recognizer = load(model, device)
    utterances = read_manifest(manifest, require_text=True)
    if lm_text:
        sentences = list(read_sentences(lm_text, recognizer.normalizer))
        known = set(sentences)
        if seen := sum(recognizer.normalizer(utterance.text or "") in known for utterance in utterances):
            share = f"{seen} of {len(utterances)} texts of {manifest}"
            print(
                f"asr: {share} stand verbatim in the language model's text: it will be trusted too much",
                file=sys.stderr,
            )
        models: tuple[NGram | None, NGram | None] = models_of_text(sentences, recognizer.units)
    else:
        words = read_arpa(lm) if lm else None
        models = words, read_arpa(character_lm) if character_lm else spelling_model(words) if words else None
    decoder = Decoder(recognizer.units, *models, closed=closed)
    validation = Validation(recognizer, utterances)
    print(HEADER)
    for best in search_settings(validation, decoder):
        print(best, flush=True)
    decoder = decoder.using(weights=best.weights, pruning=best.pruning)
    plain, tuned = validation.score(None, interval=True), validation.score(decoder, interval=True)
    print(f"best path: {plain.cer}\n           {plain.wer}\ntuned:     {tuned.cer}\n           {tuned.wer}")
    helps = (tuned.wer.errors, tuned.cer.errors) < (plain.wer.errors, plain.cer.errors)
    recognizer.decoder = decoder if helps else None
    if helps:
        decoder.summary = {"utterances": len(utterances), "best path": str(plain.wer), "tuned": str(tuned.wer)}
    else:
        print("no setting helps: no language model is stored, the model keeps to best path")
    recognizer.save(output or model)


@app.command()
def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
