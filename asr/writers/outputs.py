"""The outputs of many transcriptions: planned before the first, written as each transcript comes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.corpus.manifest import with_hypothesis, write_manifest
from asr.errors import AsrError, AudioError
from asr.transcript import Transcript
from asr.utterance import Utterance
from asr.writers import output_path, parse_formats, write


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one recording, or for one of its channels: a transcript, or the error that prevented it.

    Where channels are transcribed separately, `utterance` has an id of its own for each channel.
    """

    utterance: Utterance
    result: Transcript | AsrError


class Outputs:
    """The outputs of recordings, each with the name of its files: files of some formats, or one manifest, or neither.

    `utterances` are those that are still to be transcribed, `skipped` is the number of recordings whose files exist.
    """

    def __init__(
        self,
        recordings: Sequence[tuple[Utterance, Path]],
        *,
        output: Path | None = None,
        formats: str | None = None,
        split_channels: bool = False,
        skip_existing: bool = False,
        eaf: Path | None = None,
    ) -> None:
        """Plan the outputs before anything is transcribed.

        `output` is a folder, or `NAME.jsonl` for a manifest with hypotheses. `formats` are names as `parse_formats`
        takes them (default: txt, if there is a folder). `eaf` is the ELAN file that gets a new tier.

        Raises AsrError for options that exclude each other, for two recordings with the same file, and for a file
        outside the folder.
        """
        is_manifest = output is not None and output.suffix == ".jsonl" and not output.is_dir()
        if is_manifest and (formats or skip_existing):
            raise AsrError(f"-o {output}: is one manifest; for -f and --skip-existing name a folder")
        self.manifest = output if is_manifest else None
        self.formats = () if is_manifest or not (formats or output) else parse_formats(formats or "txt")
        self._split_channels, self._eaf = split_channels, eaf
        self._stems = {id(utterance): (output or Path()) / name for utterance, name in recordings}
        if self.formats:
            require_distinct(recordings)
        if eaf is not None and (len(recordings) != 1 or "eaf" not in self.formats):
            raise AsrError("--eaf FILE: goes with -f eaf and one recording")
        everything = [utterance for utterance, _ in recordings]
        skips = skip_existing and self.formats
        self.utterances = [one for one in everything if not (skips and self._is_written(one))]
        self.skipped = len(everything) - len(self.utterances)
        self._rows: list[Utterance] = []

    def write(self, results: Iterable[tuple[Utterance, Transcript | AudioError]]) -> Iterator[Outcome]:
        """Write each transcript as it comes, and yield what became of it; the manifest is written at the end."""
        for utterance, result in results:
            channel = result.channel if self._split_channels and isinstance(result, Transcript) else None
            named = with_channel(utterance, channel)
            if isinstance(result, Transcript):
                try:
                    self._write_one(utterance, named, result, channel)
                except AsrError as error:
                    yield Outcome(named, error)
                    continue
            yield Outcome(named, result)
        if self.manifest is not None:
            write_manifest(self.manifest, self._rows)

    def _write_one(self, utterance: Utterance, named: Utterance, result: Transcript, channel: int | None) -> None:
        if self.formats:
            stem = self._stems[id(utterance)]
            write(result, utterance.audio, stem, self.formats, channel=channel, eaf=self._eaf)
        elif self.manifest is not None:
            extra = {**named.extra, **result.certainty()}
            self._rows.append(with_hypothesis(replace(named, extra=extra), result.text))

    def _is_written(self, utterance: Utterance) -> bool:
        first = 1 if self._split_channels else None
        return all(output_path(self._stems[id(utterance)], name, first).exists() for name in self.formats)


def with_channel(utterance: Utterance, channel: int | None) -> Utterance:
    """Return the utterance of one channel, with an id of its own; the utterance itself for channel None."""
    if channel is None:
        return utterance
    return replace(utterance, id=f"{utterance.id}-{channel}", extra={**utterance.extra, "channel": channel})


def require_distinct(recordings: Sequence[tuple[Utterance, Path]]) -> None:
    """Raise AsrError if two recordings have the same output file, or one an output file outside the folder."""
    owners: dict[Path, Utterance] = {}
    for utterance, name in recordings:
        if ".." in name.parts:
            raise AsrError(f"{utterance.id}: an id with .. in it would be written outside the output folder; change it")
        if name in owners:
            raise AsrError(
                f"{owners[name].id} and {utterance.id} would both be written to {name}; name their common folder "
                "instead, whose tree is mirrored, or use two output folders"
            )
        owners[name] = utterance
