"""Download of corpora from their official sources: resumed, checked and safely extracted; or use of a local copy."""

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

from asr.corpus import debian
from asr.errors import AsrError
from asr.progress import ProgressBar

_MB = 1e6
_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_STALL = 60.0  # seconds in which a server that is alive sends at least
_LEAST = 60_000  # bytes
_ATTEMPTS = 5
_TEMPORARY_STATUS = (408, 429, 500, 502, 503, 504)  # HTTP status codes after which another attempt may succeed
_DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # the disk is full
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
)
# The errors that readers of archives raise for damage. OSError is also raised for a file name that is too long.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, OverflowError, RuntimeError, ValueError),
)
# The largest size of an extracted archive is the larger of the two.
_MAX_EXPANSION = 100  # times the size of the archive
_MIN_LIMIT = 1_000_000  # bytes
_MOST_HEADER = 1_000_000  # bytes of headers before a member of a tar archive, which are read into memory
_APT = "apt:"  # begins the address of a package that apt downloads
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class DownloadError(AsrError):
    """A corpus cannot be downloaded or extracted, or a download is not the file that was expected."""


class DamagedArchiveError(DownloadError):
    """A file is a damaged or malicious archive, or not an archive."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An official archive: its address and, if its bytes never change, its size in bytes and its checksum.

    The address `apt:NAME_VERSION_ARCHITECTURE.deb` is a package of Debian, which apt downloads from its own mirror.
    `checksum` is `sha256:…`, or `md5:…` if the source publishes nothing better.
    """

    url: str
    checksum: str | None = None
    size: int | None = None

    @property
    def file_name(self) -> str:
        return self.url.removeprefix(_APT).rsplit("/", 1)[-1]


def obtain(name: str, archives: Sequence[Archive], folder: Path, source: Path | None = None) -> Path:
    """Return the folder that holds the corpus `name`, and download the corpus if necessary.

    The folder is the first of these that exists: `source` (`--source` of a recipe), which is a folder or an archive to
    extract; `$ASR_CORPORA/NAME`; the archives, downloaded into `folder` and extracted there. Archives that are already
    extracted are not downloaded again. Raises DownloadError, which says what to do.
    """
    unpacked = folder / "unpacked"
    if source is not None and source.is_file():
        stem = _stem(source.name)
        if not (unpacked / stem).is_dir():
            extract(source, unpacked / stem)
        return unpacked / stem
    if source is not None:
        if not source.is_dir():
            raise DownloadError(f"--source {source}: no such folder or archive; correct the path")
        return source
    local = Path(os.environ.get("ASR_CORPORA", "")) / name
    if os.environ.get("ASR_CORPORA") and local.is_dir():
        return local
    if not archives and not unpacked.is_dir():
        raise DownloadError(
            f"{name}: has no address for an automatic download; download it by hand (see recipes/{name}/README.md) and "
            f"give its archive or folder: make {name} SOURCE=…, or --source"
        )
    for archive in archives:
        packed, extracted = folder / archive.file_name, unpacked / _stem(archive.file_name)
        if not extracted.is_dir():
            fetch(archive, packed)
            try:
                extract(packed, extracted)
            except DamagedArchiveError as error:
                packed.unlink()
                raise DownloadError(f"{error}; it was deleted: run the command again to download it again") from None
            packed.unlink()  # so that only one copy of the corpus uses the disk
    return unpacked


def fetch(archive: Archive, path: Path) -> None:
    """Download an archive to `path`, from where an earlier attempt stopped, and check its size and checksum.

    Raises DownloadError, which says how to use a copy from elsewhere.
    """
    if path.exists():
        return
    draft = path.with_name(path.name + ".part")
    help_text = f"or download {archive.file_name} by other means, and give it, extracted, with --source or ASR_CORPORA"
    by_apt = archive.url.startswith(_APT)
    (_fetch_by_apt if by_apt else _fetch_over_http)(archive, draft, help_text)
    _version_file(draft).unlink(missing_ok=True)
    fault = _fault(archive, draft)
    if fault is not None:
        draft.unlink()
        raise DownloadError(f"{archive.url}: the download {fault} and was deleted; try again, {help_text}")
    draft.replace(path)


def _fetch_by_apt(archive: Archive, draft: Path, help_text: str) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        debian.download(archive.file_name, draft.parent).replace(draft)
    except ValueError as error:
        raise DownloadError(f"{archive.file_name}: {error}; {help_text}") from None


def _fetch_over_http(archive: Archive, draft: Path, help_text: str) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            if _size(draft) != archive.size:
                _fetch_rest(archive, draft)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the draft is complete, or belongs to another file
                if archive.checksum is not None or error.headers["Content-Range"] == f"bytes */{_size(draft)}":
                    break
                draft.unlink()
                reason = "the server does not have the missing part"
            elif error.code not in _TEMPORARY_STATUS:
                raise DownloadError(
                    f"{archive.url}: the server answers {error.code} {error.reason}; try later, {help_text}"
                ) from None
            else:
                reason = f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and (error.errno in _DISK_ERRORS or error.filename is not None):
                raise DownloadError(
                    f"{draft}: cannot be written ({error.strerror}); make room there and run the same command to resume"
                ) from None
            reason = str(error)
        if attempt == _ATTEMPTS:
            raise DownloadError(
                f"{archive.url}: stopped after {_size(draft) / _MB:.1f} MB ({reason}); run the same command to resume, "
                f"{help_text}"
            )
        time.sleep(min(2.0**attempt, 10.0))


def extract(packed: Path, folder: Path) -> None:
    """Extract a tar archive, a zip archive or the files of a Debian package into `folder`, whole or not at all.

    Raises DamagedArchiveError for a damaged archive, for one with links or with members outside `folder`, and for one
    that is too large when extracted. Raises DownloadError if the disk cannot be written.
    """
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)  # the rest of an interrupted run
    limit = max(packed.stat().st_size * _MAX_EXPANSION, _MIN_LIMIT)
    try:
        draft.mkdir(parents=True)
        title = f"extracting {packed.name}, MB"
        with packed.open("rb") as file, ProgressBar(title, math.ceil(packed.stat().st_size / _MB)) as bar:
            start = file.read(len(debian.MAGIC))
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                _extract_zip(file, draft, limit, bar)
            else:
                _extract_tar(debian.open_files(file) if start == debian.MAGIC else file, draft, limit, bar)
        draft.replace(folder)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise DownloadError(
                f"{draft}: cannot be written ({error.strerror}); make room and run the command again"
            ) from None
        raise DamagedArchiveError(f"{packed}: cannot be extracted ({error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch_rest(archive: Archive, draft: Path) -> None:
    """Make one attempt: resume after the bytes of `draft` if the server's file has not changed, else start again."""
    held, version_file = _size(draft), _version_file(draft)
    version = version_file.read_text(encoding="latin-1") if version_file.exists() else ""
    headers = {"User-Agent": "asr"}
    if held and (version or archive.checksum is not None):
        headers["Range"] = f"bytes={held}-"
        if version:
            headers["If-Range"] = version  # the server then sends a changed file as a whole
    with urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=_TIMEOUT) as response:
        if response.status != 206:
            held = 0
            draft.unlink(missing_ok=True)  # before the new version is written beside it
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
            draft.unlink()
            raise http.client.HTTPException("the server sent another part than the requested one")
        left = int(response.headers.get("Content-Length") or 0)
        room = shutil.disk_usage(draft.parent).free
        if left > room:
            raise DownloadError(
                f"{archive.url}: {left / _MB:.1f} MB are missing, but {draft.parent} has room for {room / _MB:.1f} MB; "
                "make room and run the same command to resume"
            )
        version_file.write_text(_version(response.headers), encoding="latin-1")
        title, total = f"downloading {archive.file_name}, MB", archive.size or (held + left if left else None)
        with draft.open("ab") as file, ProgressBar(title, total and math.ceil(total / _MB)) as bar:
            bar.advance(held / _MB)
            received, received_before, checked = 0, 0, time.monotonic()
            while chunk := response.read1(_CHUNK):  # `read` would wait for a whole chunk, however slowly it comes
                received += len(chunk)
                file.write(chunk)
                if archive.size is not None and held + received > archive.size:
                    return  # another file, however long it is; `_fault` reports it
                bar.advance(len(chunk) / _MB)
                if (now := time.monotonic()) > checked + _STALL:
                    if received - received_before < _LEAST:
                        raise TimeoutError(f"fewer than {_LEAST} bytes came in {now - checked:.0f} seconds")
                    received_before, checked = received, now
            if received < left:
                raise http.client.IncompleteRead(b"", left - received)


def _version(headers: http.client.HTTPMessage) -> str:
    """Return the value of an If-Range header for this version of a file, or "".

    A weak ETag is not allowed there (RFC 9110, section 13.1.5).
    """
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _fault(archive: Archive, path: Path) -> str | None:
    """Return the fault of a download as a part of a sentence, or None."""
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


def _extract_tar(file: IO[bytes], folder: Path, limit: int, bar: ProgressBar) -> None:
    stream = _Headers(file, limit)
    tar = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")  # noqa: SIM115
    grown = position = 0
    while member := tar.next():
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name} is a link or a device, which no corpus needs")
        grown += member.size
        _require_size(max(grown, member.offset_data + member.size), limit)  # headers before the member count too
        stream.left = member.size + _MOST_HEADER
        tar.extract(member, folder, filter="data")  # raises an error for a member outside the folder
        stream.left = _MOST_HEADER
        bar.advance((file.tell() - position) / _MB)
        position = file.tell()
    while rest := stream.plain.read(_CHUNK):  # up to the checksum at the end
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


def _extract_zip(file: IO[bytes], folder: Path, limit: int, bar: ProgressBar) -> None:
    with zipfile.ZipFile(file) as archive:
        grown = 0
        for member in archive.infolist():
            grown = _require_size(grown + member.file_size, limit)
            archive.extract(member, folder)  # removes leading slashes and `..`, and writes links as files
            bar.advance(member.compress_size / _MB)


def _require_size(size: int, limit: int) -> int:
    if size > limit:
        raise ValueError(f"extracted, it is larger than {limit / _MB:.0f} MB, the limit for an archive of its size")
    return size


def _stem(name: str) -> str:
    return name.split(".tar")[0].removesuffix(".zip").removesuffix(".tgz").removesuffix(".deb")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(draft: Path) -> Path:
    """Return the path, beside a draft, of the file with the version of the server's file."""
    return draft.with_name(draft.name + ".version")
