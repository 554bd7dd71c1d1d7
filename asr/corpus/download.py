"""Corpora from their official sources: resumable, checked, safely extracted; or from a local copy."""

import bz2
import errno
import gzip
import hashlib
import http.client
import lzma
import math
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from asr.errors import AsrError
from asr.progress import ProgressBar

_MB = 1e6
_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_STALL = 60.0  # seconds in which a server that is alive sends at least
_LEAST = 60_000  # bytes
_ATTEMPTS = 5
_PASSING = (408, 429, 500, 502, 503, 504)  # answers of a server that may be well again a moment later
_DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # full
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
)
# What readers of archives raise for damaged ones; OSError also for names that no file can have.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, OverflowError, RuntimeError, ValueError),
)
_MAX_EXPANSION = 100  # an archive may grow to this many times its size when extracted,
_MIN_LIMIT = 1_000_000  # or to so many bytes
_MOST_HEADER = 1_000_000  # bytes of headers before a member of a tar archive, which are read into memory
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class DownloadError(AsrError):
    """A corpus cannot be fetched or extracted, or what came is not what was asked for."""


class DamagedArchiveError(DownloadError):
    """An archive is damaged, malicious, or none at all."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An official archive: its address and, where its source keeps its bytes fixed, its size and checksum.

    `checksum` is `sha256:…`, or `md5:…` where its source publishes nothing better. `size` is in bytes.
    """

    url: str
    checksum: str | None = None
    size: int | None = None

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def obtain(name: str, archives: Sequence[Archive], folder: Path, source: Path | None = None) -> Path:
    """The folder that holds the corpus `name`, which is, in this order:

    `source` (the recipe's `--source`), a folder, or an archive, which is extracted; `$ASR_CORPORA/NAME`; else the
    archives, downloaded into `folder` and extracted there. What is there already is not fetched again. Raises
    DownloadError with the way out.
    """
    unpacked = folder / "unpacked"
    if source is not None and source.is_file():
        stem = _stem(source.name)
        if not (unpacked / stem).is_dir():
            extract(source, unpacked / stem)
        return unpacked / stem
    if source is not None:
        if not source.is_dir():
            raise DownloadError(f"--source {source}: no such folder or archive")
        return source
    local = Path(os.environ.get("ASR_CORPORA", "")) / name
    if os.environ.get("ASR_CORPORA") and local.is_dir():
        return local
    if not archives and not unpacked.is_dir():
        raise DownloadError(
            f"{name}: has no address to fetch it from; download it by hand (see recipes/{name}/README.md) and give its "
            f"archive or folder: make {name} SOURCE=…, or --source"
        )
    for archive in archives:
        packed, extracted = folder / archive.file_name, unpacked / _stem(archive.file_name)
        if not extracted.is_dir():
            fetch(archive, packed)
            try:
                extract(packed, extracted)
            except DamagedArchiveError as error:
                packed.unlink()
                raise DownloadError(f"{error}; it was deleted: run again to fetch it anew") from None
            packed.unlink()  # so that the corpus lies on the disk once
    return unpacked


def fetch(archive: Archive, path: Path) -> None:
    """Downloads into `path`, going on where an earlier try broke off, and checks size and sum.

    Raises DownloadError, which says how to use a copy fetched by other means.
    """
    if path.exists():
        return
    draft = path.with_name(path.name + ".part")
    help_text = f"or fetch {archive.url} by other means and give it, extracted, with --source or ASR_CORPORA"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _size(draft) != archive.size:
                _fetch_rest(archive, draft)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left to send: the draft is whole, or not of this file
                if archive.checksum is not None or error.headers["Content-Range"] == f"bytes */{_size(draft)}":
                    break
                draft.unlink()
                reason = "it has no such part"
            elif error.code not in _PASSING:
                raise DownloadError(
                    f"{archive.url}: the server answers {error.code} {error.reason}; try later, {help_text}"
                ) from None
            else:
                reason = f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and (error.errno in _DISK_ERRORS or error.filename is not None):
                raise DownloadError(
                    f"{draft}: cannot be written ({error.strerror}); make room there and run the same command to go on"
                ) from None
            reason = str(error)
        if attempt == _ATTEMPTS:
            raise DownloadError(
                f"{archive.url}: broke off after {_size(draft) / _MB:.1f} MB ({reason}); run the same command to go on "
                f"from there, {help_text}"
            )
        time.sleep(min(2.0**attempt, 10.0))
    _stamp(draft).unlink(missing_ok=True)
    fault = _fault(archive, draft)
    if fault is not None:
        draft.unlink()
        raise DownloadError(f"{archive.url}: what came {fault} and was deleted; try again, {help_text}")
    draft.replace(path)


def extract(packed: Path, folder: Path) -> None:
    """Extracts a tar or zip archive into `folder`, whole or not at all.

    Raises DamagedArchiveError for a damaged archive, one with links or with members that would land outside
    `folder`, and one that grows beyond reason; DownloadError where the disk cannot take it.
    """
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)  # what an interrupted run left
    limit = max(packed.stat().st_size * _MAX_EXPANSION, _MIN_LIMIT)
    with packed.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    try:
        draft.mkdir(parents=True)
        with ProgressBar(f"extracting {packed.name}, MB", math.ceil(packed.stat().st_size / _MB)) as bar:
            (_extract_zip if is_zip else _extract_tar)(packed, draft, limit, bar)
        draft.replace(folder)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise DownloadError(f"{draft}: cannot be written ({error.strerror}); make room and run again") from None
        raise DamagedArchiveError(f"{packed}: cannot be extracted ({error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch_rest(archive: Archive, draft: Path) -> None:
    """One attempt: goes on after what `draft` holds if the server still has the same file, else starts over."""
    held, stamp = _size(draft), _stamp(draft)
    version = stamp.read_text(encoding="latin-1") if stamp.exists() else ""
    headers = {"User-Agent": "asr"}
    if held and (version or archive.checksum is not None):
        headers["Range"] = f"bytes={held}-"
        if version:
            headers["If-Range"] = version  # a file that changed comes whole
    with urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=_TIMEOUT) as response:
        if response.status != 206:
            held = 0
            draft.unlink(missing_ok=True)  # before the version of what comes now is written beside it
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
            draft.unlink()
            raise http.client.HTTPException("it sent another part than was asked for")
        left = int(response.headers.get("Content-Length") or 0)
        room = shutil.disk_usage(draft.parent).free
        if left > room:
            raise DownloadError(
                f"{archive.url}: {left / _MB:.1f} MB are to come, {draft.parent} has room for {room / _MB:.1f} MB; "
                "make room and run the same command to go on"
            )
        stamp.write_text(_version(response.headers), encoding="latin-1")
        title, total = f"downloading {archive.file_name}, MB", archive.size or (held + left if left else None)
        with draft.open("ab") as file, ProgressBar(title, total and math.ceil(total / _MB)) as bar:
            bar.advance(held / _MB)
            came, came_before, checked = 0, 0, time.monotonic()
            while chunk := response.read1(_CHUNK):  # `read` would wait for a whole chunk, however slowly it comes
                came += len(chunk)
                file.write(chunk)
                if archive.size is not None and held + came > archive.size:
                    return  # another file, however long it is; `_fault` says so
                bar.advance(len(chunk) / _MB)
                if (now := time.monotonic()) > checked + _STALL:
                    if came - came_before < _LEAST:
                        raise TimeoutError(f"fewer than {_LEAST} bytes came in {now - checked:.0f} seconds")
                    came_before, checked = came, now
            if came < left:
                raise http.client.IncompleteRead(b"", left - came)


def _version(headers: http.client.HTTPMessage) -> str:
    """What names this version of a file in an If-Range header, or nothing; a weak ETag may not (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _fault(archive: Archive, path: Path) -> str | None:
    """What is wrong with a download, or None."""
    if archive.size is not None and _size(path) > archive.size:
        return f"is longer than the {archive.size} bytes that it should have"
    if archive.size is not None and _size(path) != archive.size:
        return f"is {_size(path)} bytes long, not {archive.size},"
    if archive.checksum is not None:
        algorithm, _, expected = archive.checksum.partition(":")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        if found != expected:
            return f"has the {algorithm.upper()} sum {found}, not {expected},"
    return None


def _extract_tar(packed: Path, folder: Path, limit: int, bar: ProgressBar) -> None:
    with packed.open("rb") as file:
        stream = _Headers(file, limit)
        tar = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")  # noqa: SIM115
        grown = position = 0
        while member := tar.next():
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name} is a link or a device, which no corpus needs")
            grown += member.size
            _require_size(max(grown, member.offset_data + member.size), limit)  # headers before the member count too
            stream.left = member.size + _MOST_HEADER
            tar.extract(member, folder, filter="data")  # refuses what would land outside
            stream.left = _MOST_HEADER
            bar.advance((file.tell() - position) / _MB)
            position = file.tell()
        while rest := stream.plain.read(_CHUNK):  # to the checksum at the end
            grown = _require_size(grown + len(rest), limit)


class _Headers:
    """The bytes of a tar archive, uncompressed, of which only `left` may be read on the way to the next member.

    `tarfile` reads headers of any length into memory: extended headers (pax, GNU names) and maps of sparse files.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        start = file.read(8)
        file.seek(0)
        opened = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
        self.plain = file if opened is None else opened(file)
        self.left = _MOST_HEADER
        self._limit = limit

    def read(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError(f"it has headers of more than {_MOST_HEADER / _MB:.0f} MB")
        content: bytes = self.plain.read(size)
        self.left -= len(content)
        return content

    def seek(self, position: int) -> int:
        return int(self.plain.seek(_require_size(position, self._limit)))

    def tell(self) -> int:
        return int(self.plain.tell())


def _extract_zip(packed: Path, folder: Path, limit: int, bar: ProgressBar) -> None:
    with zipfile.ZipFile(packed) as archive:
        grown = 0
        for member in archive.infolist():
            grown = _require_size(grown + member.file_size, limit)
            archive.extract(member, folder)  # drops leading slashes and `..` by itself, and writes links as files
            bar.advance(member.compress_size / _MB)


def _require_size(size: int, limit: int) -> int:
    if size > limit:
        raise ValueError(f"it would grow to more than {limit / _MB:.0f} MB, {_MAX_EXPANSION} times its size")
    return size


def _stem(name: str) -> str:
    return name.split(".tar")[0].removesuffix(".zip").removesuffix(".tgz")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stamp(draft: Path) -> Path:
    """Beside a draft: the version of the server's file that it is the beginning of."""
    return draft.with_name(draft.name + ".version")
