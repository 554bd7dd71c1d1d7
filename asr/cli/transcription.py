"""`asr transcribe` and `asr align`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import Device, Eaf, Formats, Inputs, Model
from asr.errors import AsrError
from asr.files import read_text


def transcribe(
    model: Model,
    inputs: Inputs,
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
    content = read_text(text)

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
