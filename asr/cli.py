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
    tones: Annotated[
        str | None, typer.Option(metavar="LETTERS", help="Also the CER without the marks on these: --tones áà.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Confused words and characters, most missed words.")] = False,
    anatomy: Annotated[bool, typer.Option("--anatomy", help="Errors by length and by signal level.")] = False,
    training: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training texts: errors in words known and unknown from them.")
    ] = None,
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

    from asr.scoring.summary import summarise
    from asr.scoring.tables import write_rows
    from asr.text import Normalizer

    logging.basicConfig(format="asr: %(message)s")
    summary = summarise(
        reference,
        [hypothesis] if other is None else [hypothesis, other],
        Normalizer(lower=lower),
        by=by,
        tones=tones,
        errors=errors,
        anatomy=anatomy,
        training=training,
    )
    if output is not None:
        write_rows(output, list(summary.rows()))
    if html is not None:
        from asr.report.score import write_page

        write_page(html, summary, f"{hypothesis.name} against {reference.name}")
    if alignments:
        print("\n".join(summary.alignment_lines()))
    print("\n".join(summary.lines()))


@app.command()
def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
