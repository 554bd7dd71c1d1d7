"""A corpus that is read while it is used, through the indices of its manifests: no memory for each utterance."""

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from asr.config_text import SHARDS
from asr.corpus.index import FACTORS, Index, LineRules, open_index, row_of
from asr.corpus.manifest import from_row
from asr.corpus.storage import AudioStore, local_copy
from asr.errors import ManifestError
from asr.utterance import Utterance

_LINE = 2048  # bytes that are read of a manifest for one line, at first
_RECENT = 64  # utterances whose audio is kept: a pause is made of the utterance beside it
_AWAITED = 10_000  # rows that are kept from the call of `expect` to that of `audio`


class StreamedCorpus:
    """The utterances of several manifests, one after the other; see `Corpus`."""

    is_equalized = False
    is_streamed = True

    def __init__(self, manifests: Sequence[str], rules: LineRules) -> None:
        """Open or build the index of each manifest. Raises the errors of `open_index`."""
        self.rules = rules
        self.sample_rate = rules.sample_rate
        self._manifests = [_Manifest(manifest, rules) for manifest in map(manifest_of, manifests)]
        self.indices = [manifest.index for manifest in self._manifests]
        self._ends = list(accumulate(map(len, self.indices)))
        columns = [index.columns["samples"] for index in self.indices]
        self.num_samples = columns[0] if len(columns) == 1 else np.concatenate(columns)
        self.num_before = self.num_after = np.broadcast_to(np.int64(0), self.num_samples.shape)  # one number in memory
        self._samples = lru_cache(_RECENT)(self._read)
        self._awaited: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def utterances(self) -> "Utterances":
        return Utterances(self)

    @property
    def sizes(self) -> list[int]:
        return list(map(len, self.indices))

    @property
    def total_samples(self) -> int:
        return sum(index.header.samples for index in self.indices)

    @property
    def seconds(self) -> float:
        return self.total_samples / self.sample_rate

    @property
    def symbols(self) -> Counter[str]:
        """How often each unit of the texts, or each class, occurs."""
        return sum((Counter(index.header.symbols) for index in self.indices), Counter[str]())

    def fits(self, subsampling: int, frames: float) -> bool:
        """Return whether all texts are feasible with this subsampling, with so many encoder frames a unit or more."""
        headers, at = [index.header for index in self.indices], FACTORS.index(subsampling)
        enough = sum(one.encoder_frames[at] for one in headers) >= frames * sum(one.units for one in headers)
        return enough and not any(one.infeasible[at] for one in headers)

    def place(self, symbols: Collection[str]) -> str:
        """Return the first line, as `PATH:LINE`, that has one of some units."""
        return next(
            f"{manifest.path}:{min(first[symbol] for symbol in symbols if symbol in first)}"
            for manifest in self._manifests
            if not (first := manifest.index.header.first).keys().isdisjoint(symbols)
        )

    def state(self) -> bytes:
        return "".join(index.header.rules + index.header.digest for index in self.indices).encode()

    def row(self, index: int) -> Any:
        """Return the row of utterance `index` in its manifest. Raises ManifestError if the file has changed."""
        manifest, line = self._place(index)
        return manifest.row(line)

    def utterance(self, index: int) -> Utterance:
        """Return utterance `index` with its normalised text. Raises ManifestError if the manifest has changed."""
        manifest, line = self._place(index)
        return manifest.utterance(line)

    def audio(self, index: int) -> np.ndarray:
        """Return the samples `(N,)` of utterance `index`, float32 in [-1, 1]. Raises AudioError."""
        samples: np.ndarray = self._samples(index)
        return samples

    def _read(self, index: int) -> np.ndarray:
        manifest, _ = self._place(index)
        row = self._awaited.pop(index, None) or self.row(index)
        return manifest.store.read(row).astype(np.float32) / np.float32(32768)

    def before(self, index: int) -> np.ndarray:
        return np.zeros(0, np.float32)

    after = before

    def expect(self, indices: Sequence[int]) -> None:
        """Begin to read the audio of utterances that will be asked for soon, about in this order."""
        for manifest in self._manifests:
            rows = []
            for index in indices:
                its_manifest, line = self._place(index)
                if its_manifest is manifest and index not in self._awaited:
                    self._awaited[index] = manifest.row(line)
                    rows.append(self._awaited[index])
            if rows:
                manifest.store.expect(rows)
        while len(self._awaited) > _AWAITED:  # some were never asked for
            self._awaited.pop(next(iter(self._awaited)))

    def _place(self, index: int) -> "tuple[_Manifest, int]":
        """Return the manifest of utterance `index`, and the number of its line in the index of the manifest."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return self._manifests[number], index - (self._ends[number - 1] if number else 0)


class Utterances(Sequence[Utterance]):
    """The utterances of a streamed corpus, each read from its manifest when it is asked for."""

    def __init__(self, corpus: StreamedCorpus) -> None:
        self._corpus = corpus

    def __len__(self) -> int:
        return len(self._corpus)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._corpus.utterance(one) for one in range(*index.indices(len(self)))]
        return self._corpus.utterance(int(index) + len(self) * (index < 0))


class _Manifest:
    """One manifest, its index, and the store of its audio."""

    def __init__(self, path: str, rules: LineRules) -> None:
        self.path = path
        self.folder = folder_of(path)
        self.local = local_copy(path)
        self.rules = rules
        self.index: Index = open_index(self.local, rules)
        self.store = AudioStore(self.folder, sample_rate=rules.sample_rate)
        self._file = os.open(self.local, os.O_RDONLY)

    def row(self, line: int) -> Any:
        start = int(self.index.columns["offset"][line])
        size = _LINE
        while b"\n" not in (content := os.pread(self._file, size, start)) and len(content) == size:
            size *= 2
        try:
            return row_of(content.partition(b"\n")[0])
        except ValueError:
            raise ManifestError(
                f"{self.path}: has changed: no line begins at byte {start}; do not change it while training reads it"
            ) from None

    def utterance(self, line: int) -> Utterance:
        row = self.row(line)
        text = self.rules.text_of(row)
        found = from_row(row, Path(self.folder), text_field=self.rules.text_field)
        return Utterance(found.id, found.audio, text, found.offset, found.duration, found.speaker, found.extra)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


def manifest_of(name: str) -> str:
    """Return the manifest that a name of `data.train` means: of a folder of shards, the manifest in it."""
    if "://" in name:
        return name if name.endswith(".jsonl") else f"{name.rstrip('/')}/{SHARDS}"
    return str(Path(name) / SHARDS) if Path(name).is_dir() else name


def folder_of(manifest: str) -> str:
    """Return the folder, or the address, that the audio paths of a manifest are relative to."""
    return manifest.rpartition("/")[0] if "://" in manifest else str(Path(manifest).parent)
