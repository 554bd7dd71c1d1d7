"""The commands `asr prepare`, `asr check` and `asr pack`."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from asr.cli.log import show_log
from asr.cli.options import Cache, config_file
from asr.errors import AsrError
from asr.wording import counted


def prepare(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder with recordings and texts, or a table.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the manifests, such as data/NAME.")],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Shares of train, validation and test (default: 0.8,0.1,0.1 if the source has no splits). "
            "If the source has splits, its train is divided.",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Keep utterances with equal values in one split: id, speaker or text.")
    ] = "id",
    format: Annotated[str | None, typer.Option(help="Format of the source (default: recognised by itself).")] = None,
    tier: Annotated[
        str | None,
        typer.Option(
            help="Tier with the transcript in annotations, or a pattern such as tx@* (default: the only tier)."
        ),
    ] = None,
    media: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Recording to take if an ELAN file names several: a name, or a pattern such as '*_A.wav'.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD=NAME,…",
            help="Columns of a table: file=Filename,text=Orthography, also start, end, duration (in s, or start_ms, "
            "start_samples), speaker, id, split. Numbers name the columns of a table without a header.",
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Part of the names that a recording and its text share: '{id}_mic1.flac' for recordings, "
            "'{id}_annotated.TextGrid' for texts; * is anything. Can be repeated.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Leave out utterances with this text, such as sil. Can be repeated."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoding of texts that are not UTF-8 or UTF-16, such as cp1252."),
    ] = None,
    text_suffix: Annotated[
        str | None, typer.Option(help="End of the text files' names, such as .txt (default: the only one).")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Take text, speaker or split from the recordings' names: (?P<speaker>[a-z]+)_(?P<text>.+).",
        ),
    ] = None,
) -> None:
    """Make manifests and a configuration from recordings and texts in any common format.

    The command recognises the format, shows three utterances, and writes one manifest per split. It copies and cuts no
    recording. Splits of the source are kept. Otherwise, a hash assigns each utterance to a split, so that new data
    moves no utterance. The sample rate and the rules for texts that suit the data are written to config.yaml, with
    reasons; a config.yaml that you changed is never replaced. Recordings without a text go to untranscribed.jsonl.
    Texts without a recording go to missing.jsonl. The exit status is 1 if there are any, or if a file cannot be read.
    docs/prepare.md lists the formats.
    """
    from asr.cli.next_step import after_preparing
    from asr.corpus.prepare import describe, parse_fractions
    from asr.corpus.prepare import prepare as prepare_corpus

    show_log(logging.WARNING)
    fractions = None if split is None else parse_fractions(split)
    options: dict[str, Any] = {
        "format": format,
        "by": by,
        "encoding": encoding,
        "pair": pair or (),
        "drop": drop or (),
        "tier": tier,
        "media": media,
        "columns": columns,
        "text_suffix": text_suffix,
        "pattern": pattern,
    }
    prepared = prepare_corpus(source, output, fractions=fractions, **options)
    for line in describe(prepared, output):
        print(line)
    after_preparing(output, source, prepared.config, list(prepared.manifests), options)
    problems = []
    if prepared.faults:
        shown = [*prepared.faults[:10], *(["…"] if len(prepared.faults) > 10 else [])]
        problems.append(
            "\n".join([counted("{} file<s> cannot be read; all others are prepared:", len(prepared.faults)), *shown])
        )
    if prepared.missing:
        without = counted("{} text<s> <has|have> no recording; <it is|they are>", prepared.missing)
        problems.append(f"{without} listed in {output / 'missing.jsonl'}")
    if problems:
        raise AsrError("\n".join(problems))


def check(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST…",
            help="Folder that asr prepare wrote, or one manifest per split: train.jsonl test.jsonl …",
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG",
            callback=config_file,
            help="Configuration of the model to train, or its folder (default: default settings).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File for all findings, figures and characters, as JSON Lines."),
    ] = None,
    cache: Cache = None,
) -> None:
    """Check a corpus before training.

    Every recording is decoded to its end, and every text is inspected. The manifest whose name begins with train is the
    training split, or else the first manifest. A folder stands for its splits and its config.yaml. The exit status is 1
    if a line is unusable; training leaves it out.
    """
    from asr.cli.next_step import after_checking
    from asr.config import Config
    from asr.corpus.cache import use_cache
    from asr.corpus.check import check as check_corpus
    from asr.corpus.check import name_splits, settings_of
    from asr.corpus.check_report import summary, write_table
    from asr.corpus.prepare import splits_in

    beside = manifests[0] / "config.yaml"
    config = config or (beside if beside.is_file() else None)
    manifests = [file for path in manifests for file in (splits_in(path) if path.is_dir() else [path])]
    show_log()
    use_cache(cache)
    settings = Config.load(config) if config else Config.model_validate({"data": {"train": "", "validation": ""}})
    splits, training = name_splits(manifests)
    report = check_corpus(splits, training=training, **settings_of(settings))
    if output is not None:
        write_table(report, output)
    features = f"{settings.features.sample_rate} Hz, {settings.features.hop_ms:g} ms, subsampling"
    for line in summary(report, f"{config or 'the default model'} ({features} {settings.model.subsampling})"):
        print(line.encode("utf-8", "backslashreplace").decode())  # a name may hold what UTF-8 cannot
    after_checking(manifests, config)
    if report.unusable:
        lines = {(finding.manifest, finding.line) for finding in report.unusable}
        raise AsrError(counted("{} line<s> <is|are> unusable; training leaves <it|them> out", len(lines)))


def pack(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…",
            help="Configuration or its folder, whose data.train is packed; manifests, also at addresses (s3://…); or "
            "folders of tar files that WebDataset or lhotse wrote.",
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Folder or address for the shards.")],
    shards: Annotated[str, typer.Option(metavar="SIZE", help="Largest size of a shard, such as 500M.")] = "1G",
    format: Annotated[
        str, typer.Option(help="Format of the audio: flac, or opus, which is lossy and takes a quarter.")
    ] = "flac",
    sample_rate: Annotated[
        int | None,
        typer.Option(metavar="HZ", help="Sample rate of the shards (default: that of the configuration, else 16000)."),
    ] = None,
) -> None:
    """Write the audio of a corpus as shards: tar files for training from large disks and from object storage.

    Each utterance is decoded, cut out of its recording and resampled once. DIR gets shard-000000.tar and so on, which
    WebDataset reads too, and manifest.jsonl, which training and other commands read. A command that was interrupted
    continues where it stopped. The exit status is 1 if a line cannot be read; all others are packed. docs/scale.md
    shows when shards help.
    """
    from asr.cli.next_step import after_packing
    from asr.corpus.remote import shown
    from asr.corpus.shards import parse_size, write_shards
    from asr.progress import format_duration

    show_log(logging.WARNING)
    config, manifests, rate = _packable(inputs)
    packed = write_shards(
        manifests, output, sample_rate=sample_rate or rate, shard_bytes=parse_size(shards), format=format
    )
    hours = packed.seconds / 3600
    print(
        f"{shown(output)}: {counted('{} utterance<s>', packed.utterances)}, {format_duration(packed.seconds)}, in "
        f"{counted('{} shard<s>', packed.shards)} of {format}: {packed.size / 1e6:.1f} MB"
        + (f", {packed.size / 1e6 / hours:.0f} MB an hour" if hours else "")
    )
    if packed.utterances:
        after_packing(config, output)
    if packed.left_out:
        more = [f"… and {packed.left_out - 10} more lines"] if packed.left_out > 10 else []
        left_out = counted("{} line<s> <is|are> left out; all others are packed:", packed.left_out)
        raise AsrError("\n".join([left_out, *packed.faults[:10], *more]))


def _packable(inputs: list[str]) -> tuple[Path | None, list[str], int]:
    """Return the configuration, the manifests and the sample rate in Hz that the arguments of `asr pack` name."""
    from asr.config import Config, FeaturesConfig
    from asr.corpus.shards import MANIFEST

    path = Path(inputs[0])
    if len(inputs) == 1 and (path.suffix in (".yaml", ".yml") or (path / "config.yaml").is_file()):
        config = Config.load(config_file(path) or path)
        return path, list(config.data.train), config.features.sample_rate
    manifests = [str(Path(name) / MANIFEST) if (Path(name) / MANIFEST).is_file() else name for name in inputs]
    if (path.parent / "config.yaml").is_file():
        return path.parent, manifests, Config.load(path.parent / "config.yaml").features.sample_rate
    return None, manifests, FeaturesConfig().sample_rate
