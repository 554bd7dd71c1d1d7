"""The index of a manifest: where each line begins, and its lengths, in one memory-mapped file of 28 bytes a line.

A manifest of many millions of lines is read once to build the index, in several processes. Training then opens it in
seconds, and holds no Python object for a line. The columns come first, then a header in JSON, its length, and a digest
of the header.
"""

import codecs
import hashlib
import json
import logging
import os
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from operator import eq
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from joblib import Parallel, cpu_count, delayed

from asr.corpus.cache import cached
from asr.corpus.manifest import fields_of, parse_json
from asr.errors import ManifestError
from asr.files import to_json, whole_file
from asr.lengths import num_frames, subsampled_length
from asr.progress import ProgressBar
from asr.text import Normalizer, Units

SUFFIX = ".idx"
COLUMNS = {"offset": "<u8", "speaker": "<u8", "samples": "<u4", "units": "<u4", "frames": "<u4"}  # name -> dtype
FACTORS = (1, 2, 3, 4)  # subsamplings for which the header counts encoder frames
NAMED = 10  # faulty lines that the header names; the others are counted
_FORMAT = 1  # a new number builds every index again
_PIECE = 8_000_000  # bytes of a manifest that one process reads at a time
_LONGEST_LINE = 16_000_000  # bytes
_TAIL = struct.Struct("<Q32s")  # length of the header, and its SHA-256
_MOST_SAMPLES = 2**32 - 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LineRules:
    """Decide what the text of a line is, and which lines a model can learn from.

    `units` split a normalised text; without units, the text is a class. `hop` is in samples. `subsampling` is None for
    a model without CTC, which has no limit on the length of a text.
    """

    text_field: str
    normalizer: Normalizer
    units: Units | None
    sample_rate: int
    hop: int
    subsampling: int | None
    allow_empty: bool

    def key(self) -> str:
        """Return a text that is equal for rules that give equal indices."""
        units = None if self.units is None else (self.units.kind, self.units.symbols)
        rest = self.text_field, self.sample_rate, self.hop, self.subsampling, self.allow_empty
        return hashlib.sha256(repr((vars(self.normalizer), units, rest)).encode()).hexdigest()

    def text_of(self, row: Any) -> str:
        """Return the normalised text, or the class, of a manifest row. Raises ValueError for a faulty row."""
        _, text, _, _ = fields_of(row, text_field=self.text_field)
        return self.normalizer(text or "")


@dataclass
class Header:
    """Hold what an index states about its manifest as a whole.

    `symbols` counts each unit, or each class; `first` is the line that has it first. `infeasible` and `encoder_frames`
    count, for each subsampling of FACTORS, lines with too few encoder frames and all encoder frames. `faults` names the
    first lines that were left out.
    """

    rules: str = ""
    size: int = 0  # bytes of the manifest
    modified: int = 0  # nanoseconds
    digest: str = ""  # SHA-256 of the content of the manifest
    lines: int = 0
    samples: int = 0
    units: int = 0
    symbols: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    infeasible: list[int] = field(default_factory=lambda: [0] * len(FACTORS))
    encoder_frames: list[int] = field(default_factory=lambda: [0] * len(FACTORS))
    num_faults: int = 0
    faults: list[str] = field(default_factory=list)
    format: int = _FORMAT


class Index:
    """The index of one manifest; `columns` are memory-mapped arrays, one element for each line that can be used."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self.columns: dict[str, np.ndarray] = {}
        start = 0
        for name, dtype in COLUMNS.items():
            shape = (header.lines,)
            self.columns[name] = np.memmap(path, dtype, "r", start, shape) if header.lines else np.zeros(shape, dtype)
            start += header.lines * np.dtype(dtype).itemsize

    def __len__(self) -> int:
        return self.header.lines


def open_index(manifest: Path, rules: LineRules) -> Index:
    """Open the index of a manifest, or build it: if there is none, or it is damaged, or of other rules or content.

    The index lies beside the manifest, or in `ASR_CACHE`. A line that a model cannot learn from is left out; see
    `Header.faults`. Ids are not compared. Raises ManifestError for a manifest that cannot be read, or is not JSON
    Lines, and OutputError if the index cannot be written.
    """
    if manifest.suffix.lower() in (".csv", ".tsv"):
        raise ManifestError(
            f"{manifest}: is a table, and streamed data needs JSON Lines; convert it: asr prepare {manifest.parent}"
        )
    if not manifest.is_file():
        raise ManifestError(f"{manifest}: no such manifest; check the path")
    path = cached(manifest.with_name(f"{manifest.name}.{rules.key()[:8]}{SUFFIX}"))
    found = _open(path, manifest, rules)
    if found is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):  # one process builds it, other processes wait
            found = _open(path, manifest, rules)
            if found is None:
                _build(path, manifest, rules)
                found = _open(path, manifest, rules)
    if found is None:
        raise ManifestError(f"{manifest}: changes while it is read, or {path} is damaged at once; check the disk")
    return found


def _open(path: Path, manifest: Path, rules: LineRules) -> Index | None:
    """Return the index at `path` if it is whole, and belongs to the manifest as it is now and to the rules."""
    try:
        with path.open("rb") as file:
            header = _read_header(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, struct.error, RecursionError) as fault:
        logger.warning(f"{path}: is damaged ({fault}); it is built again")
        return None
    if header is None or header.rules != rules.key():
        return None
    state = manifest.stat()
    if state.st_size != header.size:
        return None
    if state.st_mtime_ns != header.modified and _digest_of(manifest) != header.digest:
        return None
    return Index(path, header)


def _read_header(file: BinaryIO) -> Header | None:
    """Read the header of an index; None for another version. Raises ValueError if the file is damaged."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL.size))
    length, digest = _TAIL.unpack(file.read())
    if length > size - _TAIL.size:
        raise ValueError("it ends too early")
    file.seek(size - _TAIL.size - length)
    content = file.read(length)
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its header does not fit its digest")
    tree = json.loads(content)
    if tree["format"] != _FORMAT:
        return None
    header = Header(**tree)
    if size != header.lines * _bytes_a_line() + length + _TAIL.size:
        raise ValueError("its size is wrong")
    return header


def _bytes_a_line() -> int:
    return sum(np.dtype(dtype).itemsize for dtype in COLUMNS.values())


@dataclass(slots=True)
class _Piece:
    """The lines that begin in one piece of a manifest."""

    columns: dict[str, np.ndarray]
    symbols: Counter[str]
    first: dict[str, int]  # line in the piece
    faults: list[tuple[int, str]]  # lines in the piece; the first NAMED faults
    num_faults: int
    newlines: int
    digest: bytes
    size: int  # bytes


def _build(path: Path, manifest: Path, rules: LineRules) -> None:
    state = manifest.stat()
    header = Header(rules=rules.key(), size=state.st_size, modified=state.st_mtime_ns)
    digest, symbols, line = hashlib.sha256(), Counter[str](), 1
    starts = range(0, state.st_size, _PIECE)
    pieces: Iterator[_Piece] = Parallel(n_jobs=min(cpu_count(), max(1, len(starts))), return_as="generator")(
        delayed(_measure)(manifest.absolute(), start, rules) for start in starts
    )
    with ExitStack() as stack:
        bar = stack.enter_context(ProgressBar(f"indexing {manifest.name} (MB)", state.st_size // 1_000_000))
        columns = {name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for name in COLUMNS}
        for piece in pieces:
            for name, column in piece.columns.items():
                columns[name].write(column.tobytes())
            for symbol, place in piece.first.items():
                header.first.setdefault(symbol, line + place)
            header.faults += [
                f"{manifest}:{line + place}: {fault}" for place, fault in piece.faults[: NAMED - len(header.faults)]
            ]
            header.num_faults += piece.num_faults
            symbols.update(piece.symbols)
            _add(header, piece.columns, rules.hop)
            digest.update(piece.digest)
            line += piece.newlines
            bar.advance(piece.size / 1e6)
        header.symbols = {symbol: symbols[symbol] for symbol in sorted(symbols)}
        header.first = {symbol: header.first[symbol] for symbol in sorted(symbols)}
        header.digest = digest.hexdigest()
        content = to_json(asdict(header)).encode()
        with whole_file(path) as file:
            for column_file in columns.values():
                column_file.seek(0)
                shutil.copyfileobj(column_file, file, _PIECE)
            file.write(content + _TAIL.pack(len(content), hashlib.sha256(content).digest()))


def _add(header: Header, columns: dict[str, np.ndarray], hop: int) -> None:
    """Add the lines of a piece to the sums in the header."""
    samples = columns["samples"].astype(np.int64)
    header.lines += len(samples)
    header.samples += int(samples.sum())
    header.units += int(columns["units"].sum())
    for place, factor in enumerate(FACTORS):
        frames = subsampled_length(num_frames(samples, hop), factor)
        header.encoder_frames[place] += int(frames.sum())
        header.infeasible[place] += int((frames < columns["frames"]).sum())


def _measure(manifest: Path, start: int, rules: LineRules) -> _Piece:
    """Measure the lines that begin in the piece of a manifest at byte `start`."""
    own, content, place, number = _read_piece(manifest, start)
    piece = _Piece({}, Counter(), {}, [], 0, own.count(b"\n"), hashlib.sha256(own).digest(), len(own))
    rows: list[tuple[int, ...]] = []
    for line in content.split(b"\n"):
        if line.strip():
            try:
                lengths, units = _measure_line(line, rules)
                rows.append((place, *lengths))
                piece.symbols.update(units)
                if len(piece.symbols) > len(piece.first):
                    for unit in units:
                        piece.first.setdefault(unit, number)
            except ValueError as fault:
                piece.num_faults += 1
                if len(piece.faults) < NAMED:
                    piece.faults.append((number, str(fault)))
        place += len(line) + 1
        number += 1
    table = np.array(rows, dtype=np.uint64).reshape(-1, len(COLUMNS))
    piece.columns = {name: table[:, at].astype(dtype) for at, (name, dtype) in enumerate(COLUMNS.items())}
    return piece


def _read_piece(manifest: Path, start: int) -> tuple[bytes, bytes, int, int]:
    """Read a piece of a manifest, and the lines that begin in it.

    Returns the bytes of the piece; the lines, the last one whole; the byte at which the first of them begins; and the
    number of line ends before it in the piece.
    """
    with manifest.open("rb") as file:
        file.seek(max(0, start - 1))
        begins_line = start == 0 or file.read(1) == b"\n"
        own = file.read(_PIECE)
        skipped = 0 if begins_line else own.find(b"\n") + 1
        if not begins_line and not skipped:  # the whole piece lies inside a line
            return own, b"", start, 0
        if start == 0 and own.startswith(codecs.BOM_UTF8):
            skipped = len(codecs.BOM_UTF8)
        parts = [own[skipped:]]
        if not own.endswith(b"\n"):
            parts.append(file.readline(_LONGEST_LINE))
    return own, b"".join(parts), start + skipped, int(not begins_line)


def _measure_line(line: bytes, rules: LineRules) -> tuple[tuple[int, int, int, int], list[str]]:
    """Return the speaker's hash, samples, units and least encoder frames of a line, and its units.

    Raises ValueError if a model cannot learn from the line.
    """
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"has more than {_LONGEST_LINE // 1_000_000} MB; each line must be one JSON object")
    row = row_of(line)
    name, text, _, duration = fields_of(row, rules.units is None, rules.text_field)
    if duration is None:
        raise ValueError(f"{name} has no duration, which streamed data needs; add the seconds of speech")
    samples = round(duration * rules.sample_rate)
    if not 0 < samples <= _MOST_SAMPLES:
        raise ValueError(f"{name}: {duration:g} s are {samples} samples, which nothing can be learned from; correct it")
    if rules.units is None:
        units, needed = [rules.normalizer(text or "")], 0
    else:
        units = rules.units.split(rules.normalizer(text or ""))
        needed = len(units) + sum(map(eq, units, units[1:]))
        if not units and (text is None or not rules.allow_empty):
            cure = "transcribe it, or remove the line; if it has no speech, data.train_on_empty=true uses it"
            raise ValueError(f"{name}: the {rules.text_field} is {text!r}; {cure}")
        if rules.subsampling:
            frames = subsampled_length(num_frames(samples, rules.hop), rules.subsampling)
            if frames < needed:
                raise ValueError(
                    f"{name}: its {len(units)} units need {needed} encoder frames, its {duration:g} s give {frames}; "
                    "check the text against the audio, or lower model.subsampling"
                )
    speaker = hashlib.blake2b(str(row.get("speaker") or "").encode(), digest_size=8).digest()
    return (int.from_bytes(speaker, "little"), samples, len(units), needed), units


def row_of(line: bytes) -> Any:
    """Return the JSON object of a line of a manifest. Raises ValueError that says what the line is."""
    try:
        return parse_json(line.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save the manifest as UTF-8") from None
    except ValueError as fault:
        raise ValueError(f"is not JSON ({fault}); each line must be one JSON object") from None


def _digest_of(manifest: Path) -> str:
    """Return the digest of the content of a manifest, as `_build` computes it."""

    def digest(start: int) -> bytes:
        with manifest.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(_PIECE)).digest()

    with ThreadPoolExecutor(cpu_count()) as pool:
        return hashlib.sha256(b"".join(pool.map(digest, range(0, manifest.stat().st_size, _PIECE)))).hexdigest()
