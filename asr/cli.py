"""The command line: parses, calls the library, prints. Heavy imports wait inside the commands."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from asr.errors import AsrError

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
    config: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Normalise as this configuration's text: section: runs/NAME/config.yaml."),
    ] = None,
) -> None:
    """Score hypotheses against references: WER and CER with counts and a 95 % bootstrap interval.

    Manifests are matched by id, texts line by line. Both sides are normalised alike, and how is said on stderr.
    """
    from asr.config import Config
    from asr.scoring.files import pair_files, score_groups
    from asr.text import Normalizer

    if lower and config is not None:
        raise typer.BadParameter("give --lower or --config, not both")
    normalizer = Normalizer(lower=lower) if config is None else Config.load(config).text.normalizer
    print(f"texts: {normalizer}", file=sys.stderr)
    pairs = pair_files(reference, hypothesis, normalizer)
    for line in score_groups(pairs, by):
        print(line)


@app.command()
def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
