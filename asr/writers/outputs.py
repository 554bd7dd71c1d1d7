"""The outputs of many transcriptions: planned before the first, written as each transcript comes."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from asr.corpus.manifest import manifest_in_parts, with_hypothesis
from asr.decoders import open_recording
from asr.errors import AsrError, AudioError, OutputError, explain
from asr.files import require_file, require_folder
from asr.transcript import Transcript
from asr.utterance import Utterance
from asr.writers import format_of, output_paths, parse_formats, write
from asr.writers.eaf import extends
from asr.writers.names import Source, distinct_names
from asr.writers.whole import is_whole

_SHOWN = 4  # files that are named; of more the number is shown
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one recording, or for one of its channels: a transcript, or the error that prevented it.

    Where channels are transcribed separately, `utterance` has an id of its own for each channel.
    """

    utterance: Utterance
    result: Transcript | AsrError


class Written:
    """The files that were written, for a line that tells of them."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._replaced = 0
        self._extended = 0

    def add(self, path: Path, replaced: bool, extended: bool = False) -> None:
        """Add a file that `replaced` an older file, or, if it is `extended`, holds all of the older file."""
        self._paths.append(path)
        self._replaced += replaced and not extended
        self._extended += extended

    def __str__(self) -> str:
        """Name a few files, or count many and name their folder."""
        if not self._paths:
            return "no file written"
        few = len(self._paths) <= _SHOWN
        what = ", ".join(map(str, self._paths)) if few else f"{len(self._paths)} files in {self._folders()}"
        older = f"; {self._replaced} of them replaced older files" if self._replaced else ""
        longer = f"; {self._extended} of them are older ELAN files with one more tier" if self._extended else ""
        return f"written: {what}{older}{longer}"

    def _folders(self) -> str:
        """Return the folder that holds all files; two where some paths are relative and others absolute."""
        parents = [path.parent for path in self._paths]
        kinds = ([one for one in parents if one.is_absolute() == absolute] for absolute in (False, True))
        return " and ".join(os.path.commonpath(kind) or "." for kind in kinds if kind)


class Destination:
    """The place of output files: a folder, or one file for one recording."""

    def __init__(self, output: Path | None, formats: str | None, default: str = "txt") -> None:
        """Read the options `-o` and `-f`, whose values are `output` and `formats`.

        An `output` whose suffix is a format is a file, unless it is a folder already. `default` are the formats where
        `formats` names none. Raises AsrError for formats that do not exist, and for a file of another format.
        """
        name = None if output is None or os.path.isdir(output) else format_of(output)  # noqa: PTH112
        self.file = output if name is not None else None
        self.folder = output if output is not None and name is None else Path()
        self.formats = (name,) if name and not formats else parse_formats(formats or default)
        if name and self.formats != (name,):
            raise AsrError(f"-o {output}: is a file in the format {name}, and -f names {formats}; name a folder")

    def paths(self, name: Path, channel: int | None = None) -> dict[str, Path]:
        """Return the file of each format for outputs called `name`, a relative path."""
        if self.file is not None:
            return {self.formats[0]: self.file}
        return output_paths(self.folder / name, self.formats, channel)


class Outputs:
    """The outputs of recordings, each with the name of its files: files of some formats, or one manifest, or neither.

    `utterances` are those that are still to be transcribed, `skipped` is the number of recordings whose files exist.
    `written` tells of the files so far.
    """

    def __init__(
        self,
        recordings: Sequence[Source],
        *,
        output: Path | None = None,
        formats: str | None = None,
        split_channels: bool = False,
        skip_existing: bool = False,
        eaf: Path | None = None,
    ) -> None:
        """Plan the outputs before anything is transcribed.

        `output` is a folder, or `NAME.jsonl` for a manifest with hypotheses, or one file `NAME.FORMAT` for one
        recording. `formats` are names as `parse_formats` takes them (default: txt, if there is a folder). `eaf` is the
        ELAN file that gets a new tier.

        Raises AsrError for options that exclude each other, and for two recordings with the same file; OutputError if
        the folder cannot be written.
        """
        self.manifest = output if output is not None and output.suffix == ".jsonl" and not output.is_dir() else None
        if self.manifest and (formats or skip_existing):
            raise AsrError(f"-o {output}: is one manifest; for -f and --skip-existing name a folder")
        folder = None if self.manifest else output
        self._destination = Destination(folder, formats, "txt" if folder else "")
        self.formats = self._destination.formats
        self._split_channels, self._eaf = split_channels, eaf
        if self._destination.file and (len(recordings) != 1 or split_channels):
            why = "--channels split makes several" if split_channels else f"there are {len(recordings)} recordings"
            raise AsrError(f"-o {output}: is one file, and {why}; name a folder")
        if eaf is not None and (len(recordings) != 1 or "eaf" not in self.formats):
            raise AsrError("--eaf FILE: goes with -f eaf and one recording")
        names = distinct_names(recordings) if self.formats else [Path()] * len(recordings)
        everything = [source.utterance for source in recordings]
        self._names = {id(utterance): name for utterance, name in zip(everything, names, strict=True)}
        skips = skip_existing and self.formats
        self.utterances = [one for one in everything if not (skips and self._is_written(one))]
        self.skipped = len(everything) - len(self.utterances)
        self.written = Written()
        if self.utterances and (file := self.manifest or self._destination.file):
            require_file(file)
        elif self.utterances and self.formats:
            require_folder(self._destination.folder)

    def write(self, results: Iterable[tuple[Utterance, Transcript | AudioError]]) -> Iterator[Outcome]:
        """Write each transcript as it comes, and yield what became of it.

        A manifest has its name when all is written; until then, its lines are in a draft. An error in writing concerns
        one recording, but a disk that is full ends all: raises AsrError.
        """
        with ExitStack() as stack:
            add = None
            if self.manifest is not None:
                replaced = self.manifest.exists()
                add = stack.enter_context(manifest_in_parts(self.manifest))
            for utterance, result in results:
                channel = result.channel if self._split_channels and isinstance(result, Transcript) else None
                named = with_channel(utterance, channel)
                if isinstance(result, Transcript):
                    if add is not None:
                        add(with_transcript(named, result))
                    elif (error := self._write_files(utterance, result, channel)) is not None:
                        yield Outcome(named, error)
                        continue
                yield Outcome(named, result)
        if self.manifest is not None:
            self.written.add(self.manifest, replaced)

    def _write_files(self, utterance: Utterance, result: Transcript, channel: int | None) -> AsrError | None:
        """Write the files of one transcript; return the error that concerns this transcript only."""
        try:
            for name, path in self._destination.paths(self._names[id(utterance)], channel).items():
                replaced = path.exists()
                extended = name == "eaf" and extends(path, utterance.audio, self._eaf)
                write(result, utterance.audio, {name: path}, eaf=self._eaf)
                self.written.add(path, replaced, extended)
        except Exception as error:
            explained = explain(error, utterance.id)
            if explained is None:
                raise
            if isinstance(explained, OutputError) and explained.ends_all:
                raise AsrError(
                    f"{explained}; what was transcribed before is written, and --skip-existing goes on after it"
                ) from None
            return explained
        return None

    def _is_written(self, utterance: Utterance) -> bool:
        """Return True if all files of a recording are there and whole; name a file that is not whole in the log."""
        channels: Sequence[int | None] = [None]
        name = self._names[id(utterance)]
        if self._split_channels:
            if not all(path.exists() for path in self._destination.paths(name, 1).values()):
                return False
            try:
                with open_recording(utterance.audio) as recording:
                    channels = range(1, recording.channels + 1)
            except AudioError:
                return False
        files = [file for channel in channels for file in self._destination.paths(name, channel).items()]
        if not all(path.exists() for _, path in files):
            return False
        broken = [path for kind, path in files if not is_whole(path, kind)]
        for path in broken:
            _log.warning("%s: is not whole, and is written again", path)
        return not broken


def with_transcript(utterance: Utterance, result: Transcript) -> Utterance:
    """Return the line of an utterance in a manifest with hypotheses."""
    return with_hypothesis(replace(utterance, extra={**utterance.extra, **result.certainty()}), result.text)


def with_channel(utterance: Utterance, channel: int | None) -> Utterance:
    """Return the utterance of one channel, with an id of its own; the utterance itself for channel None."""
    if channel is None:
        return utterance
    return replace(utterance, id=f"{utterance.id}-{channel}", extra={**utterance.extra, "channel": channel})
