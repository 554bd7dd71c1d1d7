"""Shards: the audio of a corpus in tar files of equal size, which are read in large pieces from a disk or an address.

A shard folder is `manifest.jsonl` beside `shard-000000.tar`, …: uncompressed tar files as WebDataset reads them, with
the members `KEY.flac` (or `KEY.opus`) and `KEY.json`. The manifest states where the audio of each utterance lies.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from asr.corpus.encoding import encode, require_encodable
from asr.corpus.folders import Folder, open_folder
from asr.corpus.manifest import from_row, parse_json, scan_manifest, to_row
from asr.corpus.pack import map_in_order
from asr.corpus.remote import is_url, join, local_copy, open_file, shown
from asr.corpus.storage import AudioStore
from asr.corpus.webdataset import rows_of_tars
from asr.errors import AsrError, AudioError
from asr.files import require_folder, to_json
from asr.progress import ProgressBar

MANIFEST, STATE = "manifest.jsonl", "pack.json"
SHARD_BYTES = 1_000_000_000
_LARGEST = 100_000_000_000  # bytes of a shard
_VERSION = 1  # version of the shards: a new number refuses to continue a folder that an older version began
_BLOCK = tarfile.BLOCKSIZE  # bytes; a member has a header of one block and fills whole blocks
_KEY_CHARACTERS = 60  # characters of the id in the name of a member
_PLACE = ("offset", "tar_offset", "tar_bytes")  # fields of the recording, which no member of a shard has
_REMOTE_THREADS = 16
_MOST_FAULTS = 100  # lines that are named; all are counted


class PackError(AsrError):
    """A corpus cannot be packed into shards."""


@dataclass(slots=True)
class Packed:
    """What a shard folder holds; `faults` name the first lines of the input that were left out."""

    lines: int = 0  # lines of the input
    utterances: int = 0
    seconds: float = 0.0
    shards: int = 0
    size: int = 0  # bytes of all shards
    left_out: int = 0
    faults: list[str] = field(default_factory=list)


class _Line(NamedTuple):
    """A line of the input: its place for messages, the store of its audio, and its row, or what is wrong with it."""

    place: str
    store: AudioStore
    row: Any


class _Item(NamedTuple):
    """The row of an utterance, and its two members of a shard: encoded audio and JSON; or why the line is left out."""

    row: dict[str, Any]
    audio: bytes = b""
    json: bytes = b""
    fault: str | None = None


def parse_size(text: str) -> int:
    """Return a size such as `1G`, `500M` or `200k` in bytes. Raises PackError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG])", text, re.IGNORECASE)
    size = 0 if match is None else round(float(match[1]) * 1000 ** ("kmg".index(match[2].lower()) + 1))
    if not 0 < size <= _LARGEST:
        raise PackError(f"--shards {text}: must be a size up to {_LARGEST / 1e9:g}G, such as 500M or 1G")
    return size


def write_shards(
    manifests: Sequence[str],
    out: str | Path,
    *,
    sample_rate: int,
    shard_bytes: int = SHARD_BYTES,
    format: str = "flac",
) -> Packed:
    """Decode the utterances of `manifests` once, at `sample_rate` Hz, and write them as shards into the folder `out`.

    Manifests and `out` are paths or addresses; a folder of tar files stands for its samples. A shard has at most
    `shard_bytes`, or one utterance. The samples of `flac` are those that training reads from the recordings, to the
    last bit. Equal input gives equal bytes. A call that was interrupted continues after the last whole shard. Lines
    that cannot be read do not stop the others.

    Raises PackError if `out` holds something else, StorageError or OutputError if a file cannot be written.
    """
    require_encodable(format, sample_rate)
    lines, digest = _inspect(manifests)
    state = {"version": _VERSION, "format": format, "sample_rate": sample_rate, "shard_bytes": shard_bytes}
    folder = open_folder(out)
    with _alone_in(out):
        if (packed := _settle(folder, str(out), {**state, "input": digest})) is None:
            packed = _finished(folder)
            with ProgressBar(f"packing {shown(str(out))}", lines, done=packed.lines) as bar:
                _write(manifests, folder, packed, bar, sample_rate, shard_bytes, format)
            with folder.create(MANIFEST) as file:
                for number in range(packed.shards):
                    file.writelines(f"{to_json(row)}\n".encode() for row in _part(folder, number)["rows"])
            folder.write(STATE, to_json({**state, "input": digest, **asdict(packed)}, indent=2).encode() + b"\n")
        for number in range(packed.shards):
            folder.remove(_part_name(number))
    return packed


def _inspect(manifests: Sequence[str]) -> tuple[int, str]:
    """Return the number of lines of manifests, and a digest of their content; of tar files, names, sizes and times."""
    lines, digest = 0, hashlib.sha256()
    for manifest in manifests:
        if Path(manifest).is_dir():
            found = [(path.name, path.stat()) for path in _tars(manifest)]
            digest.update(repr([(name, state.st_size, state.st_mtime_ns) for name, state in found]).encode())
            continue
        with open_file(manifest) as file:
            while piece := file.read(1 << 20):
                lines += piece.count(b"\n")
                digest.update(piece)
        digest.update(b"\0")
    return lines, digest.hexdigest()


@contextmanager
def _alone_in(out: str | Path) -> Iterator[None]:
    """Hold the lock of a folder of this machine, without drafts that a killed process left. Raises PackError."""
    if is_url(out):
        yield
        return
    folder = Path(out)
    require_folder(folder)
    try:
        with FileLock(folder / "pack.lock", timeout=0):
            for draft in folder.glob("*.part"):
                draft.unlink()
            yield
    except Timeout:
        raise PackError(f"{out}: another process packs into this folder; wait until it ends") from None


def _settle(folder: Folder, out: str, state: dict[str, Any]) -> Packed | None:
    """Return what the folder holds if it is complete, or make it ready for the shards that `state` describes.

    Raises PackError if it holds something else.
    """
    if not folder.has(STATE):
        if folder.has(MANIFEST):
            raise PackError(f"{shown(out)}: holds {MANIFEST} of something else; choose another folder")
        folder.write(STATE, to_json(state, indent=2).encode() + b"\n")
        return None
    try:
        found = json.loads(folder.read(STATE))
        differing = [f"{key} was {found[key]}, now {state[key]}" for key in state if found[key] != state[key]]
        packed = Packed(**{key: found[key] for key in asdict(Packed())}) if "utterances" in found else None
    except (ValueError, KeyError, TypeError):
        raise PackError(f"{shown(join(out, STATE))}: is damaged; delete the folder, or choose another one") from None
    if differing:
        named = [text if not text.startswith("input ") else "other manifests" for text in differing]
        raise PackError(f"{shown(out)}: holds other shards ({'; '.join(named)}); choose another folder, or delete it")
    if packed is not None:
        _require_shards(folder, packed)
    return packed


def _finished(folder: Folder) -> Packed:
    """Return the totals of the shards that an earlier call has finished."""
    packed = Packed()
    while folder.has(_part_name(packed.shards)):
        packed = Packed(**_part(folder, packed.shards)["totals"])
    _require_shards(folder, packed)
    return packed


def _require_shards(folder: Folder, packed: Packed) -> None:
    """Raise PackError if a shard that was finished is gone."""
    for number in range(packed.shards):
        if not folder.has(_shard_name(number)):
            raise PackError(f"{_shard_name(number)} was removed from the folder; delete the folder, and pack again")


def _part(folder: Folder, number: int) -> dict[str, Any]:
    """Return what is known of a finished shard: its rows, and the totals of all shards up to it."""
    part: dict[str, Any] = json.loads(folder.read(_part_name(number)))
    return part


def _part_name(number: int) -> str:
    return f"shard-{number:06}.json"


def _shard_name(number: int) -> str:
    return f"shard-{number:06}.tar"


def _write(
    manifests: Sequence[str],
    folder: Folder,
    packed: Packed,
    bar: ProgressBar,
    sample_rate: int,
    shard_bytes: int,
    format: str,
) -> None:
    """Write the shards that are missing, and count them in `packed`."""

    def read(line: _Line) -> _Item:
        try:
            if isinstance(line.row, ValueError):
                raise line.row
            samples = line.store.read(line.row)
        except (AudioError, OSError, ValueError) as error:
            return _Item({}, fault=f"{line.place}: {error}")
        row = {key: value for key, value in line.row.items() if key not in _PLACE}
        row["duration"] = len(samples) / sample_rate
        return _Item(row, encode(samples, sample_rate, format), to_json(row).encode())

    threads = _REMOTE_THREADS if any(map(is_url, manifests)) else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        items = map_in_order(pool, read, _lines(manifests, sample_rate, packed.lines))
        item = next(items, None)
        while item is not None:
            if item.fault is not None:  # a shard is begun for an utterance only
                item = _count(packed, bar, item, items)
                continue
            rows: list[dict[str, Any]] = []
            name = _shard_name(packed.shards)
            with folder.create(name) as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                    while item is not None and (item.fault or not rows or tar.offset + _size(item) <= shard_bytes):
                        if item.fault is None:
                            rows.append(_add(tar, name, packed.lines, item))
                            packed.utterances += 1
                            packed.seconds += item.row["duration"]
                        item = _count(packed, bar, item, items)
                packed.size += file.tell()
            packed.shards += 1
            folder.write(_part_name(packed.shards - 1), to_json({"totals": asdict(packed), "rows": rows}).encode())


def _count(packed: Packed, bar: ProgressBar, item: _Item, items: Iterator[_Item]) -> _Item | None:
    """Count a line as done, and return the next one."""
    packed.lines += 1
    bar.advance()
    if item.fault is not None:
        packed.left_out += 1
        packed.faults += [item.fault] * (packed.left_out <= _MOST_FAULTS)
    return next(items, None)


def _add(tar: tarfile.TarFile, name: str, number: int, item: _Item) -> dict[str, Any]:
    """Add the members of an utterance to a shard; return its row in the manifest of the shards."""
    suffix = "opus" if item.audio.startswith(b"OggS") else "flac"
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", item.row["id"])[:_KEY_CHARACTERS]  # WebDataset divides a name at a dot
    place = {"tar_offset": tar.offset + _BLOCK, "tar_bytes": len(item.audio)}
    for ending, content in ((suffix, item.audio), ("json", item.json)):
        member = tarfile.TarInfo(f"{number:09}-{safe}.{ending}")  # owner and time are 0
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return {**item.row, "audio_filepath": name, **place}


def _size(item: _Item) -> int:
    """Return the bytes of the members of an utterance in a tar file, and of the end of the file."""
    return sum(_BLOCK * (1 + -(-len(content) // _BLOCK)) for content in (item.audio, item.json)) + tarfile.RECORDSIZE


def _lines(manifests: Sequence[str], sample_rate: int, start: int) -> Iterator[_Line]:
    """Yield the lines of manifests from line `start` on, with an id in each row; an id that repeats is a fault."""
    places: dict[str, str] = {}
    number = 0
    for manifest in manifests:
        folder = manifest.rpartition("/")[0] if is_url(manifest) else Path(manifest).parent
        store = AudioStore(manifest if Path(manifest).is_dir() else folder, sample_rate=sample_rate)
        for place, row in _rows(manifest):
            try:
                identifier = from_row(row, Path()).id
                if identifier in places:
                    raise ValueError(f"id {identifier!r} repeats {places[identifier]}; ids must differ")
                places[identifier] = place
                row = {"id": identifier} | {**row, "id": identifier}
            except ValueError as error:
                row = error
            if number >= start:
                yield _Line(place, store, row)
            number += 1


def _rows(manifest: str) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a manifest, or of a folder of tar files, with their places; faults become ValueErrors."""
    if Path(manifest).is_dir():
        yield from rows_of_tars(Path(manifest))
        return
    name, path = shown(manifest), local_copy(manifest)
    if path.suffix.lower() in (".csv", ".tsv"):
        utterances, problems = scan_manifest(path)
        rows = [(line, to_row(utterance, path.parent)) for line, utterance in utterances]
        faults = [(line, ValueError(problem)) for line, problem in problems]
        yield from ((f"{name}:{line}", row) for line, row in sorted([*rows, *faults], key=lambda found: found[0]))
        return
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            if content.strip():
                try:
                    yield f"{name}:{line}", parse_json(content.decode("utf-8-sig"))
                except ValueError as error:  # also for bytes that are not UTF-8
                    fault = f"is not JSON in UTF-8 ({error}); each line must be one JSON object"
                    yield f"{name}:{line}", ValueError(fault)


def _tars(folder: str) -> list[Path]:
    """Return the tar files in a folder. Raises PackError if there are none."""
    if not (found := sorted(Path(folder).glob("*.tar"))):
        raise PackError(f"{folder}: holds no manifest.jsonl and no tar files; name a manifest or a configuration")
    return found
