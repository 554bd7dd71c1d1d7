"""Bulk transcription on the command line: `asr transcribe --shard`, `--status` and `--merge`."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.api import load_transcriber
from asr.cli.inputs import find_recordings, parse_channels, require_no_input
from asr.cli.log import show_log, tell
from asr.cli.next_step import after_transcribing, show_next
from asr.cluster.bulk import transcribe_rows
from asr.cluster.folder import ERRORS_FILE, BulkFolder, Claim
from asr.cluster.job import File, Job, Options, Shard, digest, file_digest
from asr.cluster.merge import failed_rows, merge, ranges, write_errors
from asr.corpus.manifest import SUFFIXES
from asr.corpus.parquet import SUFFIX as PARQUET
from asr.errors import AsrError, one_line
from asr.progress import ProgressBar
from asr.recognition.transcriber import Transcriber
from asr.utterance import Utterance
from asr.wording import counted
from asr.writers.names import Source

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
    folder, read = plan(model, inputs, output, options, lambda _: count, f"--shard {shard}")
    if number is not None and number not in folder.unfinished():
        tell(f"shard {shard} is done: {folder.file(number)}")
    elif folder.unfinished():
        worker = _Worker(folder, load_transcriber(model, device))
        # Only now, so that a model that cannot be used leaves no folder.
        folder.begin(read)
        if number is None:
            worker.all_shards()
        elif not worker.one_shard(number):
            raise AsrError(f"shard {shard}: is held by {folder.holder(number) or 'a process that has just ended'}")
    show_rest(folder)


def plan(
    model: Path,
    inputs: Sequence[str],
    output: Path | None,
    options: Options,
    count: Callable[[Callable[[], Sequence[Utterance]]], int],
    option: str,
) -> tuple[BulkFolder, Callable[[], Sequence[Utterance]]]:
    """Return the folder of a job, and a function that reads its utterances.

    `count` returns the number of shards, from that function; `option` begins errors. Raises AsrError for a wrong call,
    and for a folder with another bulk transcription.
    """
    if output is None or output.suffix == ".jsonl" or output.is_file():
        raise AsrError(f"{option}: writes a file for each shard; name a folder for them: -o out")
    show_log()  # tells of channels averaged, levels scaled
    found = [_Input(argument) for argument in inputs]

    def read() -> Sequence[Utterance]:
        return [utterance for one in found for utterance in one.utterances()]

    listed = tuple(File(path=one.argument, sha256=one.digest()) for one in found)
    job = Job(model=File.of(model), inputs=listed, options=options, count=count(read))
    return BulkFolder(output, job), read


def show_rest(folder: BulkFolder) -> None:
    """Show the command that follows: what is done, or one manifest of all shards."""
    if folder.unfinished():
        show_next("transcribe", "-o", folder.path, "--status")
    else:
        _show_merge(folder)


def show_status(output: Path | None) -> bool:
    """Print what is done in a folder of shards, and who holds the others; return whether all is done."""
    folder = _opened(output, "--status")
    job, shards, missing = folder.job, folder.shards, folder.unfinished()
    held = {number: holder for number in missing if (holder := folder.holder(number)) is not None}
    free = [number for number in missing if number not in held]
    done = [shards[number - 1] for number in sorted(set(folder.numbers) - set(missing))]
    failed = sum(1 for _ in failed_rows(folder))
    print(f"shards  {len(done)} of {len(shards)} done, {len(held)} held, {len(free)} open")
    print(f"lines   {sum(one.lines for one in done)} of {sum(one.lines for one in shards)}")
    print(f"hours   {_hours(done)} of {_hours(shards)}")
    print(f"errors  {failed}" + (f", in {folder.path / ERRORS_FILE}" if failed else ""))
    for number, holder in held.items():
        print(f"held    {number} by {one_line(holder)}")
    if free:
        print(f"open    {ranges(free)}")
        inputs = (one.path for one in job.inputs)
        count = f"all/{job.count}"
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
    after_transcribing([Path(folder.job.model.path)], inputs, manifest=path, formats=(), output=None)


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

    def __init__(self, folder: BulkFolder, recognizer: Transcriber) -> None:
        self._folder, self._recognizer = folder, recognizer
        self._search = folder.job.options.build_search(recognizer)
        self._everything: list[Utterance] | None = None

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
        utterances, part = self._utterances(number)
        lines, failed = folder.shards[number - 1].lines, 0
        with ProgressBar(f"shard {folder.name(number)}", lines) as bar:

            def told() -> Iterator[dict[str, Any]]:
                nonlocal failed
                for row in transcribe_rows(
                    self._recognizer,
                    utterances,
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
        tell(f"shard {folder.name(number)}: {counted('{} line<s>', lines)} in {folder.file(number)}")
        if failed:
            write_errors(folder)
            _tell_of_errors(folder, failed)

    def _utterances(self, number: int) -> tuple[Sequence[Utterance], range | None]:
        """Return the utterances of a shard, and which of them to transcribe.

        For a model that equalises they are all utterances: the filter of a speaker comes from all of the speaker's.
        """
        if not self._recognizer.equalizes:
            return self._folder.utterances(number), None
        if self._everything is None:
            shards = map(self._folder.utterances, self._folder.numbers)
            self._everything = [utterance for shard in shards for utterance in shard]
        first = sum(shard.lines for shard in self._folder.shards[: number - 1])
        return self._everything, range(first, first + self._folder.shards[number - 1].lines)


class _Input:
    """A manifest, a folder, a glob or a recording, which is listed when it is needed."""

    def __init__(self, argument: str) -> None:
        if argument == "-":
            raise AsrError("INPUT -: standard input cannot be divided into shards; save it as a file")
        self.argument = argument

    @cached_property
    def _sources(self) -> list[Source]:
        return find_recordings([self.argument], Path())

    def utterances(self) -> list[Utterance]:
        """List the utterances in order."""
        return [source.utterance for source in self._sources]

    def digest(self) -> str:
        """Return the SHA-256 of the content of a manifest, or of the names of recordings."""
        if Path(self.argument).suffix in (*SUFFIXES, PARQUET) and not Path(self.argument).is_dir():
            return file_digest(Path(self.argument))
        return digest([source.name + source.suffix for source in self._sources])


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
