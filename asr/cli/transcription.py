"""`asr transcribe` and `asr align`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.options import Device, Eaf, Formats, Model, OptionalInputs
from asr.errors import AsrError
from asr.files import read_text


def transcribe(
    model: Model,
    inputs: OptionalInputs = None,
    stream: Annotated[
        str | None,
        typer.Option(metavar="-|mic", help="Instead of INPUT: a pipe (16-bit WAV or raw) or the microphone, live."),
    ] = None,
    formats: Formats = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for files, or NAME.jsonl for a manifest with hypotheses."),
    ] = None,
    channels: Annotated[
        str, typer.Option(metavar="mix|split|N", help="Average all, transcribe each by itself, or take number N.")
    ] = "mix",
    nbest: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also the N best guesses, in the manifest and in json files.")
    ] = 0,
    hotwords: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Words and phrases to expect, one a line; weight after a tab.")
    ] = None,
    phrases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Phrases, one a line: the text is one of them, or nothing. docs/transcribe.md"
        ),
    ] = None,
    skip_existing: Annotated[bool, typer.Option(help="Leave out recordings whose files are all there.")] = False,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Transcribe recordings: the text of each on stdout, after its name where there are several, or files.

    A recording that cannot be read is named on stderr, the rest go on, and the exit status is 1.
    """
    if stream is not None:
        if inputs or formats or output or skip_existing or eaf or channels != "mix":
            raise AsrError(f"--stream {stream}: goes without INPUT and without options of files; text goes to stdout")
        _transcribe_live(model, stream, device)
        return
    if not inputs:
        raise typer.BadParameter("name recordings, or --stream - for what a pipe brings", param_hint="INPUT…")

    import logging
    import tempfile
    from dataclasses import replace

    from asr.cli.inputs import find_recordings, parse_channels, require_distinct
    from asr.corpus.manifest import with_hypothesis, write_manifest
    from asr.writers import output_path, parse_formats, write
    from asr.writers.json import certainty

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

        from asr.progress import ProgressBar
        from asr.recognition.recognizer import load
        from asr.recognition.transcribe import transcribe as transcribe_all
        from asr.recognition.transcribe import with_channel
        from asr.transcript import Transcript

        logging.basicConfig(format="%(message)s")
        logging.getLogger("asr").setLevel(logging.INFO)  # channels averaged, levels changed: said, not hidden
        recognizer = load(model, device)
        steering = None
        if nbest or (hotwords or phrases) is not None:
            from asr.recognition.steering import steer

            steering = steer(recognizer, nbest=nbest, hotwords=hotwords, phrases=phrases)
        rows, failed, changed = [], [], 0
        with ProgressBar("transcribing", len(utterances)) as bar:
            for utterance, result in transcribe_all(recognizer, utterances, which, steering):
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
                changed += result.unsteered not in (None, result.text)
                named = with_channel(utterance, channel)
                if not result.text:
                    bar.print(f"{named.id}: no speech found")
                if kinds:
                    continue
                if manifest is not None:
                    named = replace(named, extra={**named.extra, **certainty(result)})
                    rows.append(with_hypothesis(named, result.text))
                else:
                    print(result.text if len(utterances) == 1 and channel is None else f"{named.id}\t{result.text}")
    if hotwords is not None:
        print(f"hotwords changed {changed} of {len(utterances)} texts", file=sys.stderr)
    if manifest is not None:
        write_manifest(manifest, rows)
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {len(utterances)} recordings could not be transcribed:\n  {names}")


def _transcribe_live(model: Path, source: str, device: str | None) -> None:
    """Each segment of text on stdout when it ends with a pause; until then what was understood so far on stderr."""
    if source not in ("-", "mic"):
        raise AsrError(f"--stream {source}: must be - for a pipe or mic; cat {source} | asr transcribe … --stream -")

    from asr.recognition.live import microphone, piped
    from asr.recognition.recognizer import load
    from asr.recognition.stream import describe
    from asr.transcript import spoken

    recognizer = load(model, device)
    rate, blocks = microphone() if source == "mic" else piped(sys.stdin.buffer, recognizer.sample_rate)  # type: ignore[arg-type]
    stream = recognizer.stream(rate)
    print(f"listening at {rate} Hz; {describe(recognizer)}; Ctrl-C ends", file=sys.stderr)
    told, shown = 0, ""
    try:
        for block in blocks:
            ended, partial = stream.feed(block)
            if ended:
                _show("")
                print(spoken(ended), flush=True)
                told += len(ended)
            if partial != shown:
                _show(partial)
                shown = partial
    except KeyboardInterrupt:
        pass
    if rest := stream.finish().words[told:]:
        _show("")
        print(spoken(rest), flush=True)


def _show(partial: str) -> None:
    """A text that may still change: on a terminal in one line that is written anew, elsewhere in a line each time."""
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\033[K{partial[1 - columns :]}", end="", file=sys.stderr, flush=True)
    elif partial:
        print(f"… {partial}", file=sys.stderr, flush=True)


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

    from asr.corpus.manifest import write_manifest
    from asr.recognition.align import align as align_text
    from asr.recognition.align import well_aligned
    from asr.recognition.recognizer import load
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
