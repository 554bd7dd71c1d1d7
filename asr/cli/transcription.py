"""`asr transcribe` and `asr align`."""

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Device, Eaf, Formats, Model, OptionalInputs, OptionalModel
from asr.errors import AsrError, one_line
from asr.files import read_text
from asr.wording import counted

if TYPE_CHECKING:
    from asr.transcript import Transcript


def transcribe(
    model: OptionalModel = None,
    inputs: OptionalInputs = None,
    stream: Annotated[
        str | None,
        typer.Option(metavar="-|mic", help="Instead of INPUT: a pipe (16-bit WAV or raw) or the microphone, live."),
    ] = None,
    formats: Formats = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Folder for files (default: the current one), NAME.jsonl for a manifest, or one file: NAME.srt.",
        ),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(metavar="mix|split|N", help="Average all channels, transcribe each by itself, or take channel N."),
    ] = "mix",
    nbest: Annotated[
        int, typer.Option(metavar="N", min=0, help="Add the N best texts to the manifest and to json files.")
    ] = 0,
    hotwords: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Words and phrases to favour, one a line; a weight may follow after a tab."),
    ] = None,
    phrases: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Allowed texts, one a line: each transcript is one of them, or empty."),
    ] = None,
    salvage: Annotated[
        bool, typer.Option(help="Transcribe what is there of truncated and damaged recordings.")
    ] = False,
    skip_existing: Annotated[bool, typer.Option(help="Skip recordings whose files are all there and whole.")] = False,
    eaf: Eaf = None,
    device: Device = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N|all/N",
            help="Divide INPUT into N shards for many processes; write shard I, or all open shards, to folder -o.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="local|ADDRESS",
            help="Transcribe INPUT on a Ray cluster, to shards in folder -o: local (this machine), auto or HOST:PORT.",
        ),
    ] = None,
    status: Annotated[
        bool,
        typer.Option("--status", help="Show which shards in folder -o are done; exit status 1 until all are."),
    ] = False,
    merge: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the shards in folder -o as one manifest: NAME.jsonl.")
    ] = None,
) -> None:
    """Transcribe recordings of any length.

    Text goes to stdout, after the name of the recording if there are several; with -f or -o it goes to files, which
    stderr names. A recording that cannot be read is named on stderr, the other recordings go on, and the exit status is
    1; with --shard it keeps its line, with an error, and the exit status is 0.

    Several models before INPUT (A B C INPUT…) transcribe as one, by the average of their log-probabilities. Language
    models and confidences are those of the first model.
    """
    settings = (stream, formats, channels != "mix", nbest, hotwords, phrases, salvage, skip_existing, eaf, device)
    if status or merge is not None:
        from asr.cli.bulk import merge_shards, show_status

        if model or inputs or shard or ray or any(settings) or (status and merge):
            raise AsrError(f"{'--status' if status else '--merge FILE'}: goes with the folder -o, and nothing else")
        if merge is not None:
            merge_shards(output, merge)
        elif not show_status(output):
            raise typer.Exit(1)
        return
    if model is None:
        raise typer.BadParameter("name a model file, or the folder of a run", param_hint="MODEL")
    if stream is not None:
        if inputs or formats or output or skip_existing or eaf or salvage or shard or ray or channels != "mix":
            raise AsrError(f"--stream {stream}: excludes INPUT and the options of files; text goes to stdout")
        _transcribe_live(model, stream, device)
        return
    from asr.cli.inputs import divide_models

    others, inputs = divide_models(inputs or [])
    models = [model, *others]
    if not inputs:
        raise typer.BadParameter("name recordings, or --stream - for a pipe", param_hint="INPUT…")
    if shard is not None or ray is not None:
        from asr.cli.bulk import read_options, transcribe_shards

        option = f"--shard {shard}" if ray is None else f"--ray {ray}"
        if others:
            raise AsrError(f"{option}: takes one model, found {len(models)}; make one of them: asr distil")
        if formats or skip_existing or eaf:
            raise AsrError(f"{option}: excludes -f, --skip-existing and --eaf; shards are manifests")
        options = read_options(channels, nbest, hotwords, phrases, salvage, device)
        if ray is not None:
            from asr.cli.ray import transcribe_on_ray

            transcribe_on_ray(model, inputs, output, shard, options, ray)
        elif shard is not None:
            transcribe_shards(model, inputs, output, shard, options, device)
        return

    import tempfile

    from asr.cli.inputs import find_recordings, parse_channels, require_no_input
    from asr.cli.next_step import after_transcribing
    from asr.writers.outputs import Outputs

    show_log()  # tells of names changed, channels averaged, levels scaled
    require_no_input(output, inputs)
    which = parse_channels(channels)
    with tempfile.TemporaryDirectory(prefix="asr-") as folder:
        outputs = Outputs(
            find_recordings(inputs, Path(folder)),
            output=output,
            formats=formats,
            split_channels=which == "split",
            skip_existing=skip_existing,
            eaf=eaf,
        )
        if skip_existing and outputs.formats:
            total = outputs.skipped + len(outputs.utterances)
            tell(f"{outputs.skipped} of {total} recordings have their files")
        if not outputs.utterances:
            return

        from asr.api import load_transcriber
        from asr.progress import ProgressBar
        from asr.recognition.transcribe import transcribe as transcribe_all
        from asr.transcript import Transcript

        recognizer = load_transcriber(models, device)
        if others:
            tell(f"{len(models)} models as one: {', '.join(map(str, models))}")
            if recognizer.decoder is not None or recognizer.confidence is not None:
                tell(f"language models and confidences are those of {model}")
        search = None
        if nbest or hotwords is not None or phrases is not None:
            from asr.recognition.search import build_search  # imports numba

            search = build_search(recognizer, nbest=nbest, hotwords=hotwords, phrases=phrases)
        failed, changed, total = [], 0, len(outputs.utterances)
        with ProgressBar("transcribing", total) as bar:
            for outcome in outputs.write(
                transcribe_all(recognizer, outputs.utterances, which, search, salvage=salvage)
            ):
                bar.advance()
                name, result = one_line(outcome.utterance.id), outcome.result
                if not isinstance(result, Transcript):
                    failed.append(name)
                    bar.print(f"asr: {result}")
                    continue
                changed += result.unbiased not in (None, result.text)
                if not result.text:
                    bar.print(f"{name}: {_reason_for_no_text(result, phrases)}")
                if not outputs.formats and outputs.manifest is None:
                    print(result.text if total == 1 and which != "split" else f"{name}\t{result.text}")
    if outputs.formats or outputs.manifest is not None:
        tell(outputs.written)
    if hotwords is not None:
        tell(f"hotwords changed {changed} of {total} texts")
    after_transcribing(models, inputs, manifest=outputs.manifest, formats=outputs.formats, output=output)
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {total} recordings could not be transcribed:\n  {names}")


def _reason_for_no_text(transcript: "Transcript", phrases: Path | None) -> str:
    if phrases is None:
        return "no speech found"
    if transcript.nearest is None:
        return f"none of {phrases}; the recording is too short for every phrase"
    probability = math.exp(transcript.nearest.score)
    return f"none of {phrases}; the nearest is {transcript.nearest.text!r} with probability {probability:.2f}"


def _transcribe_live(model: Path, source: str, device: str | None) -> None:
    """Print each segment on stdout when a pause ends it; until then, its text so far on stderr."""
    if source not in ("-", "mic"):
        raise AsrError(f"--stream {source}: must be - for a pipe or mic; cat {source} | asr transcribe … --stream -")

    from asr.api import load_transcriber
    from asr.recognition.latency import describe
    from asr.recognition.live import microphone, piped
    from asr.transcript import text_of

    recognizer = load_transcriber(model, device)
    rate, blocks = microphone() if source == "mic" else piped(sys.stdin.buffer, recognizer.sample_rate)  # type: ignore[arg-type]
    stream = recognizer.stream(rate)
    tell(f"listening at {rate} Hz; {describe(recognizer.settings)}; Ctrl-C ends")
    printed, shown = 0, ""
    try:
        for block in blocks:
            ended, partial = stream.feed(block)
            if ended:
                _show("")
                print(text_of(ended), flush=True)
                printed += len(ended)
            if partial != shown:
                _show(partial)
                shown = partial
    except KeyboardInterrupt:
        pass
    if rest := stream.finish().words[printed:]:
        _show("")
        print(text_of(rest), flush=True)


def _show(partial: str) -> None:
    """Show a text that may still change: on a terminal in one line that is rewritten, elsewhere in a line each time."""
    partial = one_line(partial)
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\033[K{partial[1 - columns :]}", end="", file=sys.stderr, flush=True)
    elif partial:
        tell(f"… {partial}")


def align(
    model: Model,
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any length.")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="Its text, as a plain text file in UTF-8.")],
    formats: Formats = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Folder for the files of -f (default: the current one), or one file: NAME.TextGrid.",
        ),
    ] = None,
    make_corpus: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DIR/AUDIO.jsonl: well-aligned segments, as a manifest to train on."),
    ] = None,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Find when each word of a text is spoken in a recording.

    Start, end, confidence and word go to stdout, or to files with -f or -o. Words that are not spoken, and speech that
    is not in the text, are skipped and named on stderr.
    """
    from asr.files import require_file, require_folder
    from asr.writers import write
    from asr.writers.eaf import extends
    from asr.writers.names import safe_name
    from asr.writers.outputs import Destination, Written

    destination, written = Destination(output, formats, default=""), Written()
    if output is not None and not destination.formats:
        raise AsrError(f"-o {output}: is a folder; name the formats of its files with -f")
    paths = destination.paths(safe_name(audio.stem))
    if eaf is not None and "eaf" not in paths:
        raise AsrError("--eaf FILE: goes with -f eaf")
    content = read_text(text)
    for path in paths.values():
        require_file(path)
    if make_corpus is not None:
        require_folder(make_corpus)

    from asr.api import load_transcriber
    from asr.corpus.manifest import write_manifest
    from asr.recognition.align import align as align_text
    from asr.recognition.align import well_aligned
    from asr.writers.tsv import render

    show_log()
    alignment = align_text(load_transcriber(model, device), audio, content)
    for name, path in paths.items():
        replaced, extended = path.exists(), name == "eaf" and extends(path, audio, eaf)
        write(alignment.transcript, audio, {name: path}, eaf=eaf)
        written.add(path, replaced, extended)
    if not paths and make_corpus is None:
        print(render(alignment.transcript, audio), end="")
    for line in alignment.report():
        tell(line)
    if make_corpus is not None:
        segments = well_aligned(alignment, audio, audio.stem)
        if not segments:
            raise AsrError(f"{audio}: no segment is aligned well enough to train on; is {text} its text?")
        listed = make_corpus / f"{safe_name(audio.stem)}.jsonl"
        replaced = listed.exists()
        write_manifest(listed, segments)
        written.add(listed, replaced)
        seconds = sum(segment.duration or 0.0 for segment in segments)
        tell(f"{counted('{} segment<s>', len(segments))}, {seconds:.1f} s of {alignment.transcript.duration:.1f} s")
    if paths or make_corpus is not None:
        tell(written)
