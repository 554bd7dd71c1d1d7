"""Packed audio: every utterance decoded and resampled once, int16, in one memory-mapped Arrow file.

Epochs then touch no decoder, and memory stays flat whatever the size of the corpus.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from asr.audio import load_audio
from asr.corpus.manifest import Utterance
from asr.errors import AudioError, ManifestError
from asr.progress import ProgressBar

_SCHEMA = pa.schema([("audio", pa.large_list(pa.int16())), ("error", pa.string())])
_ROWS_PER_BATCH = 64


class PackedCorpus:
    """Utterances whose audio can be read, in manifest order, and what was wrong with the others."""

    def __init__(self, path: Path, utterances: Sequence[Utterance], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.utterances: list[Utterance] = []
        self.errors: list[tuple[Utterance, str]] = []
        self._audio: list[pa.Scalar] = []
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        rows = [(batch, row) for batch in batches for row in range(batch.num_rows)]
        for utterance, (batch, row) in zip(utterances, rows, strict=True):
            error = batch["error"][row].as_py()
            if error is None:
                self.utterances.append(utterance)
                self._audio.append(batch["audio"][row])
            else:
                self.errors.append((utterance, error))
        self.num_samples = np.array([len(scalar.values) for scalar in self._audio], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def seconds(self) -> float:
        return float(self.num_samples.sum()) / self.sample_rate

    def audio(self, index: int) -> np.ndarray:
        """Samples of utterance `index`, float32 in [-1, 1], shape `(N,)`."""
        samples: np.ndarray = self._audio[index].values.to_numpy()
        return samples.astype(np.float32) / np.float32(32768)

    def select(self, indices: Sequence[int]) -> None:
        """Keeps only the utterances at `indices`."""
        self.utterances = [self.utterances[index] for index in indices]
        self._audio = [self._audio[index] for index in indices]
        self.num_samples = self.num_samples[np.asarray(indices, dtype=np.int64)]


def pack(utterances: Sequence[Utterance], sample_rate: int, path: Path) -> PackedCorpus:
    """Packs the audio of `utterances` at `sample_rate` Hz into `path`, or opens it if it is up to date.

    It is up to date while paths, sizes, times of change and the parts taken are the same. Recordings that
    cannot be read do not stop the others: see `PackedCorpus.errors`. Raises ManifestError where `path` cannot
    be written; what is left then is never taken for whole.
    """
    key = _content_key(utterances, sample_rate)
    if not _is_packed(path, key):
        draft = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(utterances, sample_rate, draft, key)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ManifestError(f"{path}: cannot write the packed audio: {error.strerror or error}") from None
    return PackedCorpus(path, utterances, sample_rate)


def _write(utterances: Sequence[Utterance], sample_rate: int, draft: Path, key: bytes) -> None:
    def read(utterance: Utterance) -> tuple[np.ndarray | None, str | None]:
        try:
            samples = load_audio(utterance.audio, sample_rate, offset=utterance.offset, duration=utterance.duration)
            return (samples * 32768).clip(-32768, 32767).astype(np.int16), None
        except AudioError as error:
            return None, str(error)

    schema = _SCHEMA.with_metadata({"key": key})
    with (
        ProgressBar(f"packing {draft.name.removesuffix('.part')}", len(utterances)) as bar,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for start in range(0, len(utterances), _ROWS_PER_BATCH):
            rows = list(pool.map(read, utterances[start : start + _ROWS_PER_BATCH]))
            audio = pa.array([row[0] for row in rows], type=_SCHEMA.field("audio").type)
            writer.write_batch(pa.record_batch([audio, pa.array([row[1] for row in rows], pa.string())], schema=schema))
            bar.advance(len(rows))


def _content_key(utterances: Sequence[Utterance], sample_rate: int) -> bytes:
    digest = hashlib.sha256(f"{sample_rate}".encode())
    for utterance in utterances:
        state = utterance.audio.stat() if utterance.audio.exists() else None
        stamp = (state.st_size, state.st_mtime_ns) if state else None
        digest.update(repr((str(utterance.audio), stamp, utterance.offset, utterance.duration)).encode())
    return digest.hexdigest().encode()


def _is_packed(path: Path, key: bytes) -> bool:
    if not path.exists():
        return False
    try:
        with pa.memory_map(str(path)) as file:
            return bool((pa.ipc.open_file(file).schema.metadata or {}).get(b"key") == key)
    except pa.ArrowInvalid:
        return False
