"""Packed audio: every utterance and its context decoded and resampled once, as int16, in one memory-mapped Arrow file.

No epoch of training decodes a file. The memory does not grow with the corpus, neither while packing nor while reading.
After the Arrow file follow two keys, which tell what was packed, and a digest, which reveals damage.
"""

import errno
import hashlib
import logging
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock

from asr.audio import to_int16
from asr.corpus.context import NO_ROOM, Excerpt, Room, read_excerpt
from asr.equalize import Equalizer, source_of
from asr.errors import AudioError, ManifestError
from asr.files import file_digest
from asr.progress import ProgressBar
from asr.utterance import Utterance

_COLUMNS = ("audio", "before", "after")  # samples of the utterance, and of the pauses before and after it
_SCHEMA = pa.schema([*((name, pa.large_list(pa.int16())) for name in _COLUMNS), ("error", pa.string())])
_SAMPLES_PER_BATCH = 4_000_000  # samples held in memory before they are written, about four minutes of speech
_READ_AHEAD = 16  # recordings
_FORMAT = 5  # version of the file and of the output of `read_excerpt`; a new number packs every corpus again
_PIECE = 1_000_000  # bytes of which one thread computes the digest at a time
_KEY, _DIGEST = 64, 32  # bytes
logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
Part = tuple[Utterance, Room]
Row = tuple[Excerpt, str | None]  # int16 samples, and the error if the recording cannot be read
_NOTHING = Excerpt(*[np.zeros(0, np.int16)] * 3)


class PackedCorpus:
    """The utterances whose audio can be read, in manifest order, and the errors of the others."""

    is_streamed = False

    def __init__(self, table: pa.Table, utterances: Sequence[Utterance], sample_rate: int) -> None:
        """Wrap a table of `pack`, which has one row for each of `utterances`."""
        self.sample_rate = sample_rate
        errors = table["error"].to_pylist()
        self.errors = [(utterance, e) for utterance, e in zip(utterances, errors, strict=True) if e is not None]
        self.utterances = list(utterances)
        self._audio, self._before, self._after = (table[name] for name in _COLUMNS)  # memory-mapped
        self._rows = np.arange(len(errors))  # row of the table for each utterance
        self._equalizer: Equalizer | None = None
        self.num_samples, self.num_before, self.num_after = (
            pc.list_value_length(column).to_numpy() for column in (self._audio, self._before, self._after)
        )
        self.select([row for row, error in enumerate(errors) if error is None])

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def rows(self) -> np.ndarray:
        """The place of each utterance among those that were packed, `(U,)`."""
        return self._rows

    @property
    def total_samples(self) -> int:
        return int(self.num_samples.sum())

    @property
    def seconds(self) -> float:
        return float(self.num_samples.sum()) / self.sample_rate

    def state(self) -> bytes:
        """Return bytes that differ for corpora with other lengths, ids or texts."""
        texts = repr([(utterance.id, utterance.text) for utterance in self.utterances])
        return self.num_samples.tobytes() + texts.encode()

    def expect(self, indices: Sequence[int]) -> None:
        """Do nothing: packed audio is mapped into memory, and needs no reading ahead."""

    def audio(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of utterance `index`, float32; in [-1, 1] unless the corpus is equalised."""
        return self._waveform(index, self._audio)

    def before(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of the pause before utterance `index`, as `audio` does; see `num_before`."""
        return self._waveform(index, self._before)

    def after(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of the pause after utterance `index`, as `audio` does; see `num_after`."""
        return self._waveform(index, self._after)

    def samples(self, index: int) -> np.ndarray:
        """Return the recorded samples `(N,)` of utterance `index`, int16, memory-mapped and not equalised."""
        return self._packed(index, self._audio)

    @property
    def is_equalized(self) -> bool:
        return self._equalizer is not None

    def _packed(self, index: int, column: pa.ChunkedArray) -> np.ndarray:
        samples: np.ndarray = column[int(self._rows[index])].values.to_numpy()
        return samples

    def _recorded(self, index: int, column: pa.ChunkedArray) -> np.ndarray:
        return self._packed(index, column).astype(np.float32) / np.float32(32768)

    def _waveform(self, index: int, column: pa.ChunkedArray) -> np.ndarray:
        samples = self._recorded(index, column)
        return samples if self._equalizer is None else self._equalizer(index, samples)

    def equalize(self) -> None:
        """Filter each utterance by its source (see `Equalizer`), from now on; filters use only the utterances kept."""
        self._equalizer = Equalizer(
            list(map(source_of, self.utterances)), lambda index: self._recorded(index, self._audio), self.sample_rate
        )

    def select(self, indices: Sequence[int]) -> None:
        """Keep only the utterances at `indices`, in this order."""
        self.utterances = [self.utterances[index] for index in indices]
        kept = np.asarray(indices, dtype=np.int64)
        self._rows, self.num_samples, self.num_before, self.num_after = (
            column[kept] for column in (self._rows, self.num_samples, self.num_before, self.num_after)
        )
        if self._equalizer is not None:
            self.equalize()


def pack(
    utterances: Sequence[Utterance],
    sample_rate: int,
    path: Path,
    *,
    also: Path | None = None,
    rooms: Sequence[Room] | None = None,
) -> PackedCorpus:
    """Pack the audio of `utterances` at `sample_rate` Hz into `path`, or open `path` or `also` if it is up to date.

    `rooms` state how far the context of each utterance may reach (default: no context). The file is up to date if all
    recordings hold the bytes, and all utterances the parts and rooms, that were packed. Recordings with unchanged
    paths, sizes and times of change are not read for this test. A file that is damaged is logged, and packed again. A
    recording that cannot be read does not stop the others: see `PackedCorpus.errors`. Packing starts again after an
    interruption.

    Raises ManifestError if `path` cannot be written, for example on a full disk; a file is never left half written.
    """
    places = [path] if also in (None, path) else [path, also]
    parts = list(zip(utterances, rooms or [NO_ROOM] * len(utterances), strict=True))
    state = _state_key(parts, sample_rate)
    table = _open(places, state)
    if table is None:
        content = _content_key(parts, sample_rate)
        table = _open(places, content)
    if table is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(path.name + ".lock")):  # one run packs, other runs wait for it
                table = _open([path], content)
                if table is None:
                    _write(parts, sample_rate, path, state + content)
                    table = _open([path], content)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                cure = f"make room: an hour of audio takes {sample_rate * 7200 / 1e6:.0f} MB"
            else:
                cure = "name a folder that can be written with --cache, or in the environment variable ASR_CACHE"
            raise ManifestError(f"{path}: cannot write the packed audio: {error.strerror or error}; {cure}") from None
    if table is None:
        raise ManifestError(f"{path}: was damaged while it was written; check the disk")
    return PackedCorpus(table, utterances, sample_rate)


def _write(parts: Sequence[Part], sample_rate: int, path: Path, keys: bytes) -> None:
    """Write `path`, whole or not at all."""

    def read(part: Part) -> Row:
        utterance, room = part
        try:
            excerpt = read_excerpt(utterance, sample_rate, room)
        except (AudioError, OSError) as error:
            return _NOTHING, str(error)
        return Excerpt(*map(to_int16, excerpt)), None

    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            with (
                ProgressBar(f"packing {path.name}", len(parts)) as bar,
                ThreadPoolExecutor(os.cpu_count()) as pool,
                pa.ipc.new_file(file, _SCHEMA) as writer,
            ):
                rows: list[Row] = []
                held = 0  # samples
                for row in map_in_order(pool, read, parts):
                    rows.append(row)
                    held += sum(map(len, row[0]))
                    if held >= _SAMPLES_PER_BATCH:
                        writer.write_batch(_batch(rows))
                        rows, held = [], 0
                    bar.advance()
                writer.write_batch(_batch(rows))
            file.flush()
            file.write(keys + _digest(draft, file.tell(), keys))
            file.flush()
            os.fsync(file.fileno())  # the audio must be on the disk before the name
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def map_in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Apply a function like `pool.map`, but only a few items ahead, so that few results are held in memory."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > _READ_AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = zip(*(excerpt for excerpt, _ in rows), strict=True) if rows else ((),) * len(_COLUMNS)
    lists = [
        pa.LargeListArray.from_arrays(
            np.cumsum([0, *map(len, column)]), np.concatenate([np.zeros(0, np.int16), *column])
        )
        for column in columns
    ]
    return pa.record_batch([*lists, pa.array([error for _, error in rows], pa.string())], schema=_SCHEMA)


def _open(paths: Sequence[Path], key: bytes) -> pa.Table | None:
    """Return the rows of the first packed file that is whole and has `key`, memory-mapped, or None; log damage."""
    for path in paths:
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END) - 2 * _KEY - _DIGEST
                file.seek(max(0, size))
                end = file.read()
        except OSError:
            continue
        keys, digest = end[:-_DIGEST], end[-_DIGEST:]
        if size <= 0 or key not in (keys[:_KEY], keys[_KEY:]):
            continue
        if _digest(path, size, keys) != digest:  # Arrow would read beyond the file, or give other audio
            logger.warning(f"{path}: is damaged; its audio is packed again")
            with suppress(OSError):
                path.unlink()
            continue
        whole = pa.memory_map(str(path)).read_buffer()
        return pa.ipc.open_file(pa.BufferReader(whole.slice(0, size))).read_all()
    return None


def _digest(path: Path, size: int, keys: bytes) -> bytes:
    """Return a digest of the checksums of the first `size` bytes of a file, computed in parallel, and of its keys."""

    def checksum(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return zlib.crc32(file.read(min(_PIECE, size - start))).to_bytes(4)  # three times as fast as SHA-256

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return hashlib.sha256(b"".join([*map_in_order(pool, checksum, range(0, size, _PIECE)), keys])).digest()


def _state_key(parts: Sequence[Part], sample_rate: int) -> bytes:
    """Return a key that changes if any file was touched; no file is read."""

    def state(path: Path) -> object:
        try:
            found = path.stat()
        except OSError:
            return None
        # A copy may keep the modification time of its source, but not the time of change of the inode.
        return path.absolute(), found.st_size, found.st_mtime_ns, found.st_ctime_ns

    return _key(parts, sample_rate, state)


def _content_key(parts: Sequence[Part], sample_rate: int) -> bytes:
    """Return a key that changes if any file holds other bytes, whatever its name; every file is read."""
    return _key(parts, sample_rate, file_digest)


def _key(parts: Sequence[Part], sample_rate: int, identify: Callable[[Path], object]) -> bytes:
    def digest(path: Path) -> bytes:
        return hashlib.sha256(repr(identify(path)).encode()).digest()

    paths = list(dict.fromkeys(utterance.audio for utterance, _ in parts))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(paths, map_in_order(pool, digest, paths), strict=True))
    key = hashlib.sha256(repr((_FORMAT, sample_rate)).encode())
    for utterance, room in parts:
        key.update(repr((digests[utterance.audio], utterance.offset, utterance.duration, *room)).encode())
    return key.hexdigest().encode()
