"""Bulk transcription on the command line: `asr transcribe --shard`, `--status` and `--merge`."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from asr.api import load_transcriber
from asr.cli.inputs import find_recordings, parse_channels, require_no_input
from asr.cli.log import show_log, tell
from asr.cli.next_step import after_transcribing, show_next
from asr.cluster.bulk import plan_shards, transcribe_rows
from asr.cluster.folder import ERRORS_FILE, BulkFolder, Claim
from asr.cluster.job import File, Input, Job, Options, Shard, digest, file_digest
from asr.cluster.merge import failed_rows, merge, ranges, write_errors
from asr.corpus.manifest import SUFFIXES
from asr.corpus.parquet import SUFFIX as PARQUET
from asr.errors import AsrError, one_line
from asr.progress import ProgressBar
from asr.recognition.transcriber import Transcriber
from asr.utterance import Utterance
from asr.wording import counted

MOST_SHARDS = 100_000
_MERGED = "all.hyp.jsonl"  # name of the manifest that the next command shows
_PATIENCE = 0.2  # seconds; `--status` holds a lock for an instant


def read_options(
    channels: str, nbest: int, hotwords: Path | None, phrases: Path | None, salvage: bool, device: str | None
) -> Options:
    """Read the values of options. Raises AsrError for a value that cannot be, and for a file that cannot be read."""
    return Options(
        channels=parse_channels(channels),
        nbest=nbest,
        hotwords=hotwords and File.of(hotwords),
        phrases=phrases and File.of(phrases),
        salvage=salvage,
        device=device and device.partition(":")[0],
    )


def transcribe_shards(
    model: Path, inputs: Sequence[str], output: Path | None, shard: str, options: Options, device: str | None
) -> None:
    """Transcribe one shard `I/N`, or with `all/N` each shard that is neither done nor held by another process.

    Raises AsrError for a wrong call, for a folder with another bulk transcription, and if another process holds the
    shard I.
    """
    number, count = parse_shard(shard)
    folder, utterances, parts = read_job(model, inputs, output, options, lambda _: count, f"--shard {shard}")
    if number is not None and number not in folder.unfinished():
        tell(f"shard {shard} is done: {folder.file(number)}")
    elif folder.unfinished():
        recognizer = load_transcriber(model, device)
        worker = _Worker(folder, recognizer, utterances, parts)
        folder.begin()  # only now: a model that cannot be used leaves no folder
        if number is None:
            worker.all_shards()
        elif not worker.one_shard(number):
            raise AsrError(f"shard {shard}: is held by {folder.holder(number) or 'a process that has just ended'}")
    show_next_of(folder)


def read_job(
    model: Path,
    inputs: Sequence[str],
    output: Path | None,
    options: Options,
    count: Callable[[Sequence[float | None]], int],
    option: str,
) -> tuple[BulkFolder, list[Utterance], list[range]]:
    """Read the input and divide it into shards: the folder of the shards, all utterances, and the lines of each shard.

    `count` returns the number of shards from the durations of the lines; `option` begins errors. Raises AsrError for a
    wrong call, and for a folder with another bulk transcription.
    """
    if output is None or output.suffix == ".jsonl" or output.is_file():
        raise AsrError(f"{option}: writes a file for each shard; name a folder for them: -o out")
    show_log()  # tells of channels averaged, levels scaled
    utterances, listed = _read_inputs(inputs)
    seconds = [one.duration for one in utterances]
    parts = plan_shards(seconds, count(seconds))
    shards = tuple(Shard.of([utterances[line] for line in part]) for part in parts)
    job = Job(model=File.of(model), inputs=listed, options=options, shards=shards)
    return BulkFolder(output, job), utterances, parts


def show_next_of(folder: BulkFolder) -> None:
    """Show the command that follows: what is done, or the manifest of all shards."""
    if folder.unfinished():
        show_next("transcribe", "-o", folder.path, "--status")
    else:
        _show_merge(folder)


def show_status(output: Path | None) -> bool:
    """Print what is done in a folder of shards, and who holds the others; return whether all is done."""
    folder = _opened(output, "--status")
    job, missing = folder.job, folder.unfinished()
    held = {number: holder for number in missing if (holder := folder.holder(number)) is not None}
    free = [number for number in missing if number not in held]
    done = [job.shards[number - 1] for number in sorted(set(folder.numbers) - set(missing))]
    failed = sum(1 for _ in failed_rows(folder))
    print(f"shards  {len(done)} of {len(job.shards)} done, {len(held)} held, {len(free)} open")
    print(f"lines   {sum(one.lines for one in done)} of {sum(one.lines for one in job.shards)}")
    print(f"hours   {_hours(done)} of {_hours(job.shards)}")
    print(f"errors  {failed}" + (f", in {folder.path / ERRORS_FILE}" if failed else ""))
    for number, holder in held.items():
        print(f"held    {number} by {one_line(holder)}")
    if free:
        print(f"open    {ranges(free)}")
        inputs = (one.path for one in job.inputs)
        count = f"all/{len(job.shards)}"
        show_next("transcribe", job.model.path, *inputs, "-o", folder.path, "--shard", count, *_words(job.options))
    elif not missing:
        _show_merge(folder)
    return not missing


def merge_shards(output: Path | None, path: Path) -> None:
    """Write one manifest of all shards, in the order of the input. Raises AsrError if shards are missing."""
    folder = _opened(output, "--merge")
    inputs = [one.path for one in folder.job.inputs]
    require_no_input(path, inputs, "--merge")
    written, failed = merge(folder, path)
    tell(f"written: {path}, {counted('{} line<s>', written)}")
    if failed:
        write_errors(folder)
        _tell_of_errors(folder, failed)
    after_transcribing(Path(folder.job.model.path), inputs, manifest=path, formats=(), output=None)


def parse_shard(value: str) -> tuple[int | None, int]:
    """Read `I/N` or `all/N`: the number of the shard, None for all, and the number of shards."""
    found = re.fullmatch(r"(all|[0-9]{1,9})/([0-9]{1,9})", value)
    count = int(found[2]) if found else 0
    number = None if found is None or found[1] == "all" else int(found[1])
    if not 1 <= count <= MOST_SHARDS or (number is not None and not 1 <= number <= count):
        raise AsrError(
            f"--shard {value}: must be I/N or all/N, with I from 1 to N, and N, the number of shards, at most "
            f"{MOST_SHARDS}"
        )
    return number, count


class _Worker:
    """A model that transcribes shards of a folder, one after another."""

    def __init__(
        self, folder: BulkFolder, recognizer: Transcriber, utterances: Sequence[Utterance], parts: Sequence[range]
    ) -> None:
        self._folder, self._recognizer, self._utterances, self._parts = folder, recognizer, utterances, parts
        self._search = folder.job.options.build_search(recognizer)

    def one_shard(self, number: int) -> bool:
        """Transcribe a shard; return False if another process holds it."""
        claim = self._folder.claim(number, _PATIENCE)
        if claim is None:
            return False
        with claim:
            self._transcribe(number)
        return True

    def all_shards(self) -> None:
        """Transcribe shards until each is done, or held by another process."""
        last = 0
        while (found := self._claim_after(last)) is not None:
            last, claim = found
            with claim:
                self._transcribe(last)

    def _claim_after(self, last: int) -> tuple[int, Claim] | None:
        """Claim the next shard after `last`, or else before it, that is neither done nor held by another process."""
        for patience in (0.0, _PATIENCE):
            for number in sorted(self._folder.unfinished(), key=lambda number: (number <= last, number)):
                if (claim := self._folder.claim(number, patience)) is not None:
                    return number, claim
        return None

    def _transcribe(self, number: int) -> None:
        folder, options = self._folder, self._folder.job.options
        if number not in folder.unfinished():  # done by another process just before it was claimed
            return
        part, failed = self._parts[number - 1], 0
        with ProgressBar(f"shard {folder.name(number)}", len(part)) as bar:

            def told() -> Iterator[dict[str, Any]]:
                nonlocal failed
                for row in transcribe_rows(
                    self._recognizer,
                    self._utterances,
                    self._search,
                    folder=folder.path,
                    channels=options.channels,
                    salvage=options.salvage,
                    part=part,
                ):
                    bar.advance()
                    if "error" in row:
                        failed += 1
                        bar.print(f"asr: {row['error']}")
                    yield row

            folder.write(number, told())
        tell(f"shard {folder.name(number)}: {counted('{} line<s>', len(part))} in {folder.file(number)}")
        if failed:
            write_errors(folder)
            _tell_of_errors(folder, failed)


def _read_inputs(arguments: Sequence[str]) -> tuple[list[Utterance], tuple[Input, ...]]:
    """Read manifests, folders and recordings: their utterances in order, and what each argument holds."""
    utterances: list[Utterance] = []
    inputs = []
    for argument in arguments:
        if argument == "-":
            raise AsrError("INPUT -: standard input cannot be divided into shards; save it as a file")
        sources = find_recordings([argument], Path())
        is_manifest = Path(argument).suffix in (*SUFFIXES, PARQUET) and not Path(argument).is_dir()
        content = file_digest(Path(argument)) if is_manifest else digest([one.name + one.suffix for one in sources])
        inputs.append(Input(path=argument, sha256=content, lines=len(sources)))
        utterances += [source.utterance for source in sources]
    return utterances, tuple(inputs)


def _opened(output: Path | None, option: str) -> BulkFolder:
    if output is None:
        raise AsrError(f"{option}: name the folder of the shards with -o")
    return BulkFolder.open(output)


def _hours(shards: Sequence[Shard]) -> str:
    """Return the hours of shards for people; `?` if they are not known."""
    seconds = [one.seconds for one in shards]
    return "?" if None in seconds else f"{sum(filter(None, seconds)) / 3600:.2f}"


def _tell_of_errors(folder: BulkFolder, failed: int) -> None:
    tell(counted("{} line<s> could not be transcribed; see ", failed) + str(folder.path / ERRORS_FILE))


def _show_merge(folder: BulkFolder) -> None:
    show_next("transcribe", "-o", folder.path, "--merge", folder.path / _MERGED)


def _words(options: Options) -> Iterator[str]:
    """Yield options as the words of a command."""
    for name, value in options:
        if value is True:
            yield f"--{name}"
        elif value != Options.model_fields[name].default:
            yield from (f"--{name}", value.path if isinstance(value, File) else str(value))
