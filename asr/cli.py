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
Formats = Annotated[
    str | None,
    typer.Option("-f", "--format", metavar="A,B…", help="txt, json, jsonl, srt, vtt, tsv, ctm, TextGrid, eaf."),
]
Eaf = Annotated[
    Path | None,
    typer.Option(help="With -f eaf: the ELAN file that gets a tier more; by default the one beside the recording."),
]
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
        list[str],
        typer.Argument(metavar="INPUT…", help="Recordings, folders, globs, manifests (.jsonl .csv .tsv), - for stdin."),
    ],
    formats: Formats = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for files, or NAME.jsonl for a manifest with hypotheses."),
    ] = None,
    channels: Annotated[
        str, typer.Option(metavar="mix|split|N", help="Average all, transcribe each by itself, or take number N.")
    ] = "mix",
    skip_existing: Annotated[bool, typer.Option(help="Leave out recordings whose files are all there.")] = False,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Transcribe recordings: the text of each on stdout, after its name where there are several, or files.

    A recording that cannot be read is named on stderr, the rest go on, and the exit status is 1.
    """
    import logging
    import tempfile

    from asr.corpus.manifest import with_hypothesis, write_manifest
    from asr.inputs import find_recordings, parse_channels, require_distinct
    from asr.writers import output_path, parse_formats, write

    manifest = output if output is not None and output.suffix == ".jsonl" and not output.is_dir() else None
    if manifest is not None and (formats or skip_existing):
        raise AsrError(f"-o {manifest}: is one manifest; for -f and --skip-existing name a folder")
    which = parse_channels(channels)
    kinds = () if manifest is not None or not (formats or output) else parse_formats(formats or "txt")
    with tempfile.TemporaryDirectory(prefix="asr-") as temporary:
        found = find_recordings(inputs, Path(temporary))
        stems = {id(utterance): (output or Path()) / name for utterance, name in found}
        if kinds:
            require_distinct(found)
        if eaf is not None and (len(found) != 1 or "eaf" not in kinds):
            raise AsrError("--eaf FILE: goes with -f eaf and one recording")
        utterances = [utterance for utterance, _ in found]
        if skip_existing and kinds:
            first = 1 if which == "split" else None
            utterances = [u for u in utterances if not all(output_path(stems[id(u)], k, first).exists() for k in kinds)]
            print(f"{len(found) - len(utterances)} of {len(found)} recordings have their files", file=sys.stderr)
            if not utterances:
                return

        from asr.model import load
        from asr.progress import ProgressBar
        from asr.transcribe import transcribe as transcribe_all
        from asr.transcribe import with_channel
        from asr.transcript import Transcript

        logging.basicConfig(format="%(message)s")
        logging.getLogger("asr").setLevel(logging.INFO)  # channels averaged, levels changed: said, not hidden
        recognizer = load(model, device)
        rows, failed = [], []
        with ProgressBar("transcribing", len(utterances)) as bar:
            for utterance, result in transcribe_all(recognizer, utterances, which):
                bar.advance()
                channel = result.channel if which == "split" and isinstance(result, Transcript) else None
                try:
                    if not isinstance(result, Transcript):
                        raise result
                    if kinds:
                        write(result, utterance.audio, stems[id(utterance)], kinds, channel=channel, eaf=eaf)
                except AsrError as error:
                    failed.append(utterance.id)
                    bar.print(f"asr: {error}")
                    continue
                named = with_channel(utterance, channel)
                if not result.text:
                    bar.print(f"{named.id}: no speech found")
                if kinds:
                    continue
                if manifest is not None:
                    rows.append(with_hypothesis(named, result.text))
                else:
                    print(result.text if len(utterances) == 1 and channel is None else f"{named.id}\t{result.text}")
    if manifest is not None:
        write_manifest(manifest, rows)
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {len(utterances)} recordings could not be transcribed:\n  {names}")


@app.command()
def align(
    model: Model,
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any length.")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="What is said in it, as plain text in UTF-8.")],
    formats: Formats = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the files of -f.")] = Path(),
    make_corpus: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/AUDIO.jsonl, a manifest of the well-aligned segments.")
    ] = None,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Find when each word of a text is said: start, end, confidence and word on stdout, or files.

    Words that are not said and speech that is not written are passed over, and named on stderr.
    """
    from asr.writers import parse_formats, write

    kinds = parse_formats(formats or "")
    if eaf is not None and "eaf" not in kinds:
        raise AsrError("--eaf FILE: goes with -f eaf")
    try:
        content = text.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AsrError(f"{text}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AsrError(f"{text}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None

    from asr.align import align as align_text
    from asr.align import well_aligned
    from asr.corpus.manifest import write_manifest
    from asr.model import load
    from asr.writers.tsv import render

    alignment = align_text(load(model, device), audio, content)
    write(alignment.transcript, audio, output / audio.stem, kinds, eaf=eaf)
    if not kinds and make_corpus is None:
        print(render(alignment.transcript, audio), end="")
    for line in alignment.report():
        print(line, file=sys.stderr)
    if make_corpus is not None:
        segments = well_aligned(alignment, audio, audio.stem)
        if not segments:
            raise AsrError(f"{audio}: no segment is aligned well enough to train on; is {text} its text?")
        write_manifest(make_corpus / f"{audio.stem}.jsonl", segments)
        seconds = sum(segment.duration or 0.0 for segment in segments)
        print(f"{len(segments)} segments, {seconds:.1f} s of {alignment.transcript.duration:.1f} s", file=sys.stderr)


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
def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
