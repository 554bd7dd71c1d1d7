"""Packed audio: every utterance decoded and resampled once, int16, in one memory-mapped Arrow file.

Epochs then touch no decoder, and memory stays flat whatever the size of the corpus, while packing too.
"""

import fcntl
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asr.audio import load_audio
from asr.equalize import Equalizer, source_of
from asr.errors import AudioError, ManifestError
from asr.progress import ProgressBar
from asr.utterance import Utterance

_SCHEMA = pa.schema([("audio", pa.large_list(pa.int16())), ("error", pa.string())])
_SAMPLES_PER_BATCH = 4_000_000  # about four minutes of speech are held in memory before they are written
_READ_AHEAD = 16  # recordings
_FORMAT = 3  # of the file and of what `load_audio` makes; another number packs everything anew
Item = TypeVar("Item")
Result = TypeVar("Result")
Row = tuple[np.ndarray, str | None]  # samples, or what is wrong with the recording


class PackedCorpus:
    """Utterances whose audio can be read, in manifest order, and what was wrong with the others."""

    def __init__(self, table: pa.Table, utterances: Sequence[Utterance], sample_rate: int) -> None:
        """`table` holds a row for each of `utterances`, as `pack` wrote it."""
        self.sample_rate = sample_rate
        errors = table["error"].to_pylist()
        self.errors = [(utterance, e) for utterance, e in zip(utterances, errors, strict=True) if e is not None]
        self.utterances = list(utterances)
        self._audio = table["audio"]  # stays on disk
        self._rows = np.arange(len(errors))  # of each utterance
        self._equalizer: Equalizer | None = None
        self.num_samples: np.ndarray = pc.list_value_length(self._audio).to_numpy()
        self.select([row for row, error in enumerate(errors) if error is None])

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def seconds(self) -> float:
        return float(self.num_samples.sum()) / self.sample_rate

    def audio(self, index: int) -> np.ndarray:
        """Samples of utterance `index`, float32, shape `(N,)`; in [-1, 1], unless it is equalised."""
        samples = self._recorded(index)
        return samples if self._equalizer is None else self._equalizer(index, samples)

    def samples(self, index: int) -> np.ndarray:
        """Samples of utterance `index` as they were recorded, int16, shape `(N,)`, which stay on disk until used."""
        samples: np.ndarray = self._audio[int(self._rows[index])].values.to_numpy()
        return samples

    @property
    def is_equalized(self) -> bool:
        return self._equalizer is not None

    def _recorded(self, index: int) -> np.ndarray:
        return self.samples(index).astype(np.float32) / np.float32(32768)

    def equalize(self) -> None:
        """Evens out what the utterances of a source, as far as they are kept, have in common: see `Equalizer`."""
        self._equalizer = Equalizer(list(map(source_of, self.utterances)), self._recorded, self.sample_rate)

    def select(self, indices: Sequence[int]) -> None:
        """Keeps only the utterances at `indices`."""
        self.utterances = [self.utterances[index] for index in indices]
        self._rows = self._rows[np.asarray(indices, dtype=np.int64)]
        self.num_samples = self.num_samples[np.asarray(indices, dtype=np.int64)]
        if self._equalizer is not None:
            self.equalize()


def pack(utterances: Sequence[Utterance], sample_rate: int, path: Path) -> PackedCorpus:
    """Packs the audio of `utterances` at `sample_rate` Hz into `path`, or opens it if it is up to date.

    It is up to date while the files hold the same bytes and the parts taken of them are the same; files whose
    paths, sizes and times of change are the same are not read for that. Recordings that cannot be read do not stop
    the others: see `PackedCorpus.errors`. Packing that was interrupted starts again. Raises ManifestError where
    `path` cannot be written, the disk being full, say; what is left then is never taken for whole.
    """
    state = _state_key(utterances, sample_rate)
    table = _open(path, state)
    if table is None:
        content = _content_key(utterances, sample_rate)
        table = _open(path, content)
    if table is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _one_process_at_a_time(path):
                table = _open(path, content)
                if table is None:
                    _write(utterances, sample_rate, path, {"state": state, "content": content})
                    table = _open(path, content)
        except OSError as error:
            raise ManifestError(
                f"{path}: cannot write the packed audio: {error.strerror or error}; an hour of it takes "
                f"{sample_rate * 7200 / 1e6:.0f} MB"
            ) from None
    return PackedCorpus(table, utterances, sample_rate)


@contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    """Of several runs on the same data, one packs; the others wait, and find it packed."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back by the system, however the process ends
        yield


def _write(utterances: Sequence[Utterance], sample_rate: int, path: Path, keys: dict[str, bytes]) -> None:
    """Writes `path`, whole or not at all."""

    def read(utterance: Utterance) -> Row:
        try:
            samples = load_audio(utterance.audio, sample_rate, offset=utterance.offset, duration=utterance.duration)
            return (samples * 32768).clip(-32768, 32767).astype(np.int16), None
        except (AudioError, OSError) as error:
            return np.zeros(0, np.int16), str(error)

    draft = path.with_name(path.name + ".part")
    schema = _SCHEMA.with_metadata(keys)
    try:
        with draft.open("wb") as file:
            with (
                ProgressBar(f"packing {path.name}", len(utterances)) as bar,
                ThreadPoolExecutor(os.cpu_count()) as pool,
                pa.ipc.new_file(file, schema) as writer,
            ):
                rows: list[Row] = []
                held = 0  # samples
                for row in _map_in_order(pool, read, utterances):
                    rows.append(row)
                    held += len(row[0])
                    if held >= _SAMPLES_PER_BATCH:
                        writer.write_batch(_batch(rows, schema))
                        rows, held = [], 0
                    bar.advance()
                writer.write_batch(_batch(rows, schema))
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the audio
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _map_in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """`pool.map` that works only a few items ahead, so that results do not pile up."""
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > _READ_AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    offsets = np.cumsum([0, *(len(samples) for samples, _ in rows)])
    samples = np.concatenate([np.zeros(0, np.int16), *(samples for samples, _ in rows)])
    audio = pa.LargeListArray.from_arrays(offsets, samples)
    return pa.record_batch([audio, pa.array([error for _, error in rows], pa.string())], schema=schema)


def _open(path: Path, key: bytes) -> pa.Table | None:
    """The rows of a packed file, which stay on disk; None if it is not whole, or has another key."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid):
        return None
    return reader.read_all() if key in (reader.schema.metadata or {}).values() else None


def _state_key(utterances: Sequence[Utterance], sample_rate: int) -> bytes:
    """What differs if any file was touched; quick to tell."""

    def state(path: Path) -> object:
        try:
            found = path.stat()
        except OSError:
            return None
        # The time of change of the inode too: it moves when a copy keeps the time of its source.
        return path.absolute(), found.st_size, found.st_mtime_ns, found.st_ctime_ns

    return _key(utterances, sample_rate, state)


def _content_key(utterances: Sequence[Utterance], sample_rate: int) -> bytes:
    """What differs if any file holds other bytes, whatever its name; every file is read."""

    def digest(path: Path) -> object:
        if not path.is_file():  # nor wait for ever on a pipe
            return None
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None

    return _key(utterances, sample_rate, digest)


def _key(utterances: Sequence[Utterance], sample_rate: int, identify: Callable[[Path], object]) -> bytes:
    def digest(path: Path) -> bytes:
        return hashlib.sha256(repr(identify(path)).encode()).digest()

    paths = list(dict.fromkeys(utterance.audio for utterance in utterances))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(paths, _map_in_order(pool, digest, paths), strict=True))
    key = hashlib.sha256(repr((_FORMAT, sample_rate)).encode())
    for utterance in utterances:
        key.update(repr((digests[utterance.audio], utterance.offset, utterance.duration)).encode())
    return key.hexdigest().encode()
