"""The commands `asr curve` and `asr next`."""

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.cli.options import Cache, Device, Inputs, Model, Set, TrainingConfig, parse_time, run_name
from asr.errors import AsrError, one_line
from asr.files import require_folder


def curve(
    config: TrainingConfig,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--more",
            metavar="TIME",
            help="Forecast the errors with so much more training data, such as 30m or 2h, at most four times the data "
            "in all. Repeatable (default: as much again, three times as much, and an hour).",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=20, help="Trainings of each part; more narrow the interval.")
    ] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results (default: runs/NAME/curve, where NAME is that of CONFIG).")
    ] = None,
    override: Set = None,
    device: Device = None,
    cache: Cache = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how long the trainings take, and train nothing.")
    ] = False,
) -> None:
    """Tell what another hour of data would bring.

    Trains on an eighth, a quarter, a half and all of the training data, with the settings that training chooses for
    each amount, and continues the curve of the errors. The time that this takes is printed before it begins. If it was
    interrupted, repeat the command to continue. OUT gets curve.png, curve.html, points.jsonl, and the models.
    """
    show_log()
    from asr.config import Config
    from asr.corpus.cache import use_cache

    use_cache(cache)
    hours = [parse_time("--more", time) / 3600 for time in more or ()]
    settings = Config.load(config, list(override or []))
    folder = out or Path("runs") / run_name(config) / "curve"
    require_folder(folder)
    from asr.cli.next_step import after_curve
    from asr.learning.curve import Trainings
    from asr.learning.outlook import PAGE_FILE, PICTURE_FILE, Outlook
    from asr.learning.power_law import require_near
    from asr.progress import format_duration
    from asr.training.hardware import use_device
    from asr.wording import counted

    if device is not None:
        use_device(device)
    trainings = Trainings(settings, folder, seeds=seeds, say=tell)
    for one in hours:  # refused before the trainings, not after
        require_near(trainings.hours + one, trainings.hours)
    expected = trainings.seconds()
    left = sum(seconds > 0 for seconds in expected)
    tell(
        f"{counted('{} training<s>', len(expected))}, {left} to do, for about {format_duration(sum(expected))} on this "
        "machine; less if some stop early"
    )
    if dry_run:
        return
    outlook = Outlook(trainings.run(expected), hours)
    outlook.write(folder, f"More data for {run_name(config)}")
    print("\n".join(map(str, [outlook.table(), *outlook.forecasts, *outlook.remarks(), *outlook.notes()])))
    tell(f"written: {folder / PAGE_FILE}, {folder / PICTURE_FILE}")
    after_curve(trainings.trainings[-1].folder, settings)


def next_(
    model: Model,
    inputs: Inputs,
    minutes: Annotated[
        float, typer.Option(metavar="N", min=0.1, help="Minutes of speech to choose, at most (default: 30).")
    ] = 30.0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for ELAN files of the segments to transcribe, and next.jsonl (default: only print the list).",
        ),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Leave the annotations empty (default: the model's draft, to correct).")
    ] = False,
    transcribed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MANIFEST",
            help="Transcripts that there are; what they hold is left out. Repeatable (default: the training and "
            "validation data of MODEL).",
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Tell what to transcribe next.

    Ranks the segments of untranscribed recordings: those that are hard for the model, dense in speech, typical of what
    is left, and unlike the training data and each other come first. Silence, noise, and what is transcribed already are
    left out. Prints recording, start and end in seconds, and the reason, the most useful segment first.
    """
    from asr.cli.inputs import find_recordings
    from asr.cli.next_step import after_choosing

    show_log()
    if empty and output is None:
        raise AsrError("--empty: goes with -o DIR, which holds the annotations")
    if "-" in inputs:
        raise AsrError("-: standard input has no name that an annotation could have; save it as a file")
    from asr.learning.next import LIST_FILE, suggest, transcripts_of, write_suggestions

    if output is not None:
        require_folder(output)
        if (output / LIST_FILE).exists():
            raise AsrError(f"{output}: holds an earlier choice, and maybe your transcripts of it; name another folder")
    from asr.api import load_transcriber
    from asr.config import Config
    from asr.model_file import read_metadata
    from asr.progress import format_duration
    from asr.wording import counted
    from asr.writers.names import Source, distinct_names

    sources = find_recordings(inputs, Path())
    recogniser = load_transcriber(model, device)
    known = transcripts_of(Config.model_validate(read_metadata(model)["config"]), transcribed or [], tell)
    found, failed = suggest(recogniser, [source.utterance for source in sources], known, 60 * minutes, tell)
    for one in found:
        segment = one.choice.candidate
        name = one_line(str(segment.utterance.audio))
        print(f"{name}\t{segment.start:.2f}\t{segment.end:.2f}\t{one_line(one.reason)}")
    chosen = sum(one.choice.candidate.seconds for one in found)
    tell(f"chosen: {counted('{} segment<s>', len(found))}, {format_duration(chosen)} of speech")
    if output is not None:
        by_recording: dict[Path, Source] = {}
        for utterance, name, suffix in sources:
            is_line = not suffix  # a line of a manifest is named by its id, and several may share a recording
            named = Source(utterance, utterance.audio.stem if is_line else name, utterance.audio.suffix)
            by_recording.setdefault(utterance.audio, named)
        names = dict(zip(by_recording, distinct_names(list(by_recording.values())), strict=True))
        files = write_suggestions(output, found, names, empty=empty)
        tell(f"written: {counted('{} ELAN file<s>', len(files))} in {output}, and {output / LIST_FILE}")
        after_choosing(output)
    if failed:
        raise AsrError(f"{len(failed)} of {len(sources)} recordings could not be read, and are named above")
