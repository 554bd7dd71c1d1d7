"""The audio of manifest rows: recordings and members of shards, on this machine or at an address.

A row of a shard folder names a tar file of the folder in `audio_filepath`, and in `tar_offset` and `tar_bytes` where
the encoded audio lies in it. Rows can be read ahead in threads, which never changes what is read.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from asr.audio import load_audio, to_int16
from asr.corpus.encoding import is_altered
from asr.corpus.manifest import seconds_of
from asr.corpus.read_ahead import Job, ReadAhead
from asr.corpus.remote import StorageError, is_url, join, kept_copy, local_copy, open_file, read_file, read_range, shown
from asr.decoders import TOLERANCE, open_recording
from asr.errors import AsrError, AudioError

__all__ = ["AudioStore", "StorageError", "local_copy", "open_file", "read_range"]

MEMORY = 256_000_000  # bytes of audio that waits to be used, and of reading under way
_MOST_PER_SECOND = 192_000  # bytes of a recording at an address: 48 kHz, two channels
_LARGEST = 1 << 30  # bytes of a member
_REMOTE_THREADS = 16  # a request waits for the network, not for a core
_GAP = 256_000  # bytes between two members that are read and thrown away, to save a request
_RANGE = 8_000_000  # bytes of one request
_GROUPS = 8  # rows are read ahead in groups, of which so many fit into the memory
logger = logging.getLogger(__name__)
Row = Mapping[str, Any]


class _Part(NamedTuple):
    """A part of a recording: where its encoded bytes lie, and which seconds of them are wanted."""

    file: str  # path or address
    start: int | None  # first byte of a member of a shard; None for a whole file
    size: int  # bytes of the member
    offset: float  # seconds
    duration: float | None  # seconds
    name: str  # for messages


class AudioStore:
    """Reads the audio of rows whose `audio_filepath` is relative to `folder`: a path or an address."""

    def __init__(
        self, folder: str | Path, *, sample_rate: int, memory: int = MEMORY, threads: int | None = None
    ) -> None:
        """`memory` bounds what is read ahead, in bytes; `threads` read ahead (default: cores; 16 at an address)."""
        self.folder, self.sample_rate = folder, sample_rate
        self._ahead = ReadAhead(memory, threads or (_REMOTE_THREADS if is_url(folder) else os.cpu_count() or 1))
        self._told_rate = False

    def read(self, row: Row) -> np.ndarray:
        """Return the samples `(N,)` of a row, int16 at `sample_rate` Hz.

        Raises AudioError that names the file and the utterance.
        """
        part = self._part(row)
        samples = self._ahead.take(part)
        return self._samples(part) if samples is None else samples

    def expect(self, rows: Sequence[Row]) -> None:
        """Begin to read rows that `read` will be asked for next, in about this order.

        Rows without a duration, and rows that cannot be read, are left to `read`.
        """
        group: list[_Part] = []
        size = 0
        for row in rows:
            try:
                part = self._part(row)
            except AudioError:
                continue
            if part.duration is None:  # nobody knows how much memory it takes
                continue
            group.append(part)
            size += self._size(part)
            if size > self._ahead.memory / _GROUPS:
                self._ahead.expect(self._jobs(group))
                group, size = [], 0
        if group:
            self._ahead.expect(self._jobs(group))

    def close(self) -> None:
        """End the threads that read ahead."""
        self._ahead.close()

    def _part(self, row: Row) -> _Part:
        """Find the audio of a row. Raises AudioError for a name or a place that a row must not have."""
        name, identifier = row.get("audio_filepath"), row.get("id", "")
        if not isinstance(name, str) or not name or "\0" in name:
            raise AudioError(
                f"{shown(self.folder)}: {identifier}: has no audio_filepath; add the path of the recording"
            )
        start, size = row.get("tar_offset"), row.get("tar_bytes")
        is_member = start is not None or size is not None
        if is_member or is_url(self.folder):
            self._require_inside(name, identifier)
        file = name if is_url(name) else join(self.folder, name)
        label = f"{shown(file)}: {identifier}" if is_member else shown(file)
        try:
            offset, duration = seconds_of(row, "offset") or 0.0, seconds_of(row, "duration")
        except ValueError as error:
            raise AudioError(f"{label}: {error}") from None
        if not is_member:
            return _Part(file, None, 0, offset, duration, label)
        if not (_is_count(start) and _is_count(size) and 0 < size <= _LARGEST):
            raise AudioError(
                f"{label}: tar_offset {start!r} and tar_bytes {size!r} are no place in a file; pack it again"
            )
        return _Part(file, int(start), int(size), offset, duration, label)

    def _require_inside(self, name: str, identifier: object) -> None:
        """Raise AudioError for a file outside the folder: a shard or a site could name files of this machine."""
        if is_url(name) or name.startswith("/") or "\\" in name or "::" in name or ".." in PurePosixPath(name).parts:
            raise AudioError(
                f"{shown(self.folder)}: {identifier}: names {shown(name)}, which is outside the folder of the manifest;"
                " put the file beside the manifest"
            )

    def _samples(self, part: _Part) -> np.ndarray:
        try:
            if part.start is not None:
                return self._decode(part, read_range(part.file, part.start, part.size))
            if is_url(part.file) and part.offset == 0:
                return self._decode(part, read_file(part.file))
            path = kept_copy(part.file) if is_url(part.file) else Path(part.file)  # read once for several utterances
            samples = load_audio(path, self.sample_rate, offset=part.offset, duration=part.duration)
        except StorageError as error:
            raise AudioError(f"{error} ({part.name})", "missing audio") from None
        return to_int16(samples)

    def _decode(self, part: _Part, content: bytes) -> np.ndarray:
        """Decode the part of a recording whose bytes are `content`. Raises AudioError."""
        label = Path(part.name)  # a path, which has one / after the scheme of an address
        try:
            with open_recording(label, content=content) as recording:
                if part.start is None or part.offset or part.duration is None:
                    samples = load_audio(recording, self.sample_rate, offset=part.offset, duration=part.duration)
                else:  # the whole member, but not a member that is longer than stated by hours
                    limit = part.duration + 2 * TOLERANCE
                    samples = load_audio(recording, self.sample_rate, duration=limit, allow_short=True)
                    self._compare(part, len(samples) / self.sample_rate)
                self._tell_rate(part, recording.sample_rate)
        except AudioError as error:
            raise AudioError(str(error).replace(str(label), part.name), error.fault) from None
        rounded = to_int16(samples)
        if part.start is not None and not part.offset and is_altered(content, rounded, self.sample_rate):
            raise AudioError(f"{part.name}: damaged: its samples are not those that were packed; copy the shard again")
        return rounded

    def _compare(self, part: _Part, held: float) -> None:
        if part.duration is not None and abs(held - part.duration) > TOLERANCE:
            more = "at least " if held > part.duration else ""
            raise AudioError(
                f"{part.name}: holds {more}{held:.2f} s, its manifest states {part.duration:.2f} s; the shard and the "
                "manifest do not belong together: copy both again"
            )

    def _tell_rate(self, part: _Part, rate: int) -> None:
        if part.start is not None and rate != self.sample_rate and not self._told_rate:
            self._told_rate = True
            logger.warning(
                "%s: has %d Hz, the model %d Hz: each reading resamples it; pack it with --sample-rate %d",
                *(part.name, rate, self.sample_rate, self.sample_rate),
            )

    def _size(self, part: _Part) -> int:
        """Return how many bytes of memory a part takes at most: encoded, and decoded."""
        encoded = part.size if part.start is not None else round(_MOST_PER_SECOND * (part.duration or 0.0))
        return encoded + round(2 * self.sample_rate * ((part.duration or 0.0) + 2 * TOLERANCE))

    def _jobs(self, parts: Sequence[_Part]) -> list[Job]:
        """Divide parts into pieces of reading, in the order of use; neighbours in a shard are read at once."""
        order: dict[_Part, int] = {}
        for place, part in enumerate(parts):
            order.setdefault(part, place)
        members = sorted((part for part in order if part.start is not None), key=lambda p: (p.file, p.start))
        runs: list[list[_Part]] = [[part] for part in order if part.start is None]
        for part in members:
            run = runs[-1] if runs else None
            if run is not None and run[0].start is not None and _joins(run, part):
                run.append(part)
            else:
                runs.append([part])
        runs.sort(key=lambda run: min(order[part] for part in run))
        return [Job(run, partial(self._load, run), sum(map(self._size, run)) + _between(run)) for run in runs]

    def _load(self, run: Sequence[_Part]) -> list[np.ndarray | None]:
        """Read and decode neighbours in one file; None for a part that `read` has to read, with its error."""
        first, content = run[0], b""
        if len(run) > 1 and first.start is not None:
            try:
                content = read_range(first.file, first.start, _end(run) - first.start)
            except AsrError:
                return [None] * len(run)
        return [self._load_one(part, content, first.start or 0) for part in run]

    def _load_one(self, part: _Part, content: bytes, begin: int) -> np.ndarray | None:
        try:
            if content and part.start is not None:
                return self._decode(part, content[part.start - begin : part.start - begin + part.size])
            return self._samples(part)
        except (AsrError, OSError):
            return None


def _joins(run: Sequence[_Part], part: _Part) -> bool:
    """Return True if a part is read by the same request as the parts of `run`, which lie before it."""
    start, end = run[0].start or 0, _end(run)
    place = part.start or 0
    return run[0].file == part.file and place - end <= _GAP and max(end, place + part.size) - start <= _RANGE


def _end(run: Sequence[_Part]) -> int:
    return max((part.start or 0) + part.size for part in run)


def _between(run: Sequence[_Part]) -> int:
    """Return the bytes between the members of a run, which are read with them."""
    return max(0, _end(run) - (run[0].start or 0) - sum(part.size for part in run))


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
