"""Files at addresses: `s3://…`, `https://…`, and whatever else fsspec opens; paths of this machine need no fsspec.

A transfer that breaks is tried again. A body that is cut is an error: nobody gets fewer bytes than were asked for.
"""

import errno
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from asr.corpus.cache import cached_copy
from asr.errors import AsrError
from asr.extras import missing_package
from asr.files import require_folder, write_whole

_ATTEMPTS = 4
_FIRST_PAUSE = 0.5  # seconds before the second attempt; each further pause is twice as long
_SILENCE = 60.0  # seconds without a byte after which a transfer over HTTP is given up
_MOST_OPEN = 64  # files of this machine that stay open
_TEMPORARY_STATUS = (408, 425, 429, 500, 502, 503, 504)  # HTTP
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class StorageError(AsrError):
    """A file cannot be reached, or holds fewer bytes than are needed."""


class _NoRangesError(Exception):
    """A server sends whole files only."""


def is_url(name: str | Path) -> bool:
    """Return True for an address such as `s3://bucket/key`."""
    return isinstance(name, str) and _ADDRESS.match(name) is not None


def join(folder: str | Path, name: str) -> str:
    """Return the path or the address of a file in a folder."""
    return f"{str(folder).rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def shown(url: str | Path) -> str:
    """Return an address for messages: without user, password and query, which may hold secrets."""
    return _without_secrets(str(url)) if is_url(url) else str(url)


def read_range(url: str | Path, offset: int, length: int) -> bytes:
    """Return `length` bytes from byte `offset` on. Raises StorageError if the file ends before, or cannot be read."""
    if not is_url(url):
        return _files.read(str(url), offset, length)
    address = str(url)
    if _host(address) not in _whole_only:
        try:
            content = _attempt(address, lambda: _fetch_range(address, offset, length))
        except _NoRangesError:
            _whole_only.add(_host(address))
            logger.warning("%s: the server sends whole files only; they are copied to the cache", shown(url))
        else:
            if len(content) != length:
                raise _too_short(address, offset, length, f"the server sent {len(content)} bytes")
            return content
    return _files.read(str(kept_copy(address)), offset, length)


def read_file(url: str | Path) -> bytes:
    """Return the content of a file. Raises StorageError if it cannot be read."""
    if is_url(url):
        address = str(url)
        return _attempt(address, lambda: _call(address, "cat_file"))
    with open_file(url) as file:
        return file.read()


def open_file(url: str | Path) -> BinaryIO:
    """Open a file for reading; a file at an address is copied to the cache before. Raises StorageError."""
    path = local_copy(url)
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def local_copy(url: str | Path) -> Path:
    """Return a copy of a file in the cache, downloaded anew if size, date or ETag of the file at the address changed.

    The path of a file of this machine is returned as it is. Raises StorageError.
    """
    if not is_url(url):
        return Path(url)
    address = str(url)
    path = cached_copy(address, re.sub(r"[^\w.-]+", "_", shown(address).rstrip("/").rsplit("/", 1)[-1])[-80:])
    stamp_file = path.with_name(path.name + ".version")
    with _copying[address]:
        stamp = _version(address)
        with suppress(OSError, ValueError):
            if stamp and json.loads(stamp_file.read_bytes()) == stamp and path.stat().st_size == stamp["size"]:
                return path
        require_folder(path.parent)
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            _attempt(address, lambda: _call(address, "get_file", str(draft)))
            size = draft.stat().st_size
            if stamp and size != stamp["size"]:
                raise StorageError(f"{shown(url)}: {size} of {stamp['size']} bytes came; it changes, or try again")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        write_whole(stamp_file, json.dumps(stamp).encode())
    return path


def kept_copy(address: str) -> Path:
    """Return a copy as `local_copy` does, but ask the server only once in this process. Raises StorageError."""
    if address not in _copies:
        _copies[address] = local_copy(address)
    return _copies[address]


def send(path: Path, url: str) -> None:
    """Copy a file of this machine to an address. Raises StorageError."""
    _attempt(url, lambda: _call(url, "put_file", str(path), local_first=True))


def remove(url: str) -> None:
    """Remove the file at an address. Raises StorageError."""
    _attempt(url, lambda: _call(url, "rm_file"))


def is_missing(url: str) -> bool:
    """Return True if there is no file at an address. Raises StorageError if it cannot be reached."""
    return not _attempt(url, lambda: _call(url, "exists"))


class _Files:
    """Files of this machine that stay open, so that reading a part of one costs one call of the system."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, BinaryIO] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return a part of a file, as `read_range` does."""
        try:
            file = self._file(path)
            size = os.fstat(file.fileno()).st_size
            if not 0 <= offset <= offset + length <= size:
                raise _too_short(path, offset, length, f"it has {size} bytes")
            parts = []
            while length > 0 and (part := os.pread(file.fileno(), length, offset)):  # at most 2 GB a call
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(f"{path}: cannot be read: {reason}; check the path and its permissions") from None
        if length > 0:
            raise StorageError(f"{path}: became shorter while it was read")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _file(self, path: str) -> BinaryIO:
        with self._lock:
            file = self._open.pop(path, None) or open(path, "rb")  # noqa: SIM115, PTH123 - closed with its last user
            self._open[path] = file
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            return file


_files = _Files()
_copies: dict[str, Path] = {}
_copying: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_whole_only: set[str] = set()  # scheme and host of servers that send no parts


def _host(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _too_short(url: str, offset: int, length: int, found: str) -> StorageError:
    return StorageError(
        f"{shown(url)}: bytes {offset} to {offset + length} are asked for, but {found}; the file is truncated or does "
        "not belong to its manifest: copy it again"
    )


def _file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address and the path in it. Raises AsrError if no package opens the address."""
    try:
        import fsspec

        options = {}
        if address.startswith(("http://", "https://")):
            import aiohttp

            options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(sock_connect=_SILENCE, sock_read=_SILENCE)}
        system, path = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise missing_package(error, shown(address)) or StorageError(f"{shown(address)}: {error}") from None
    except ValueError as error:  # a protocol that fsspec does not know
        raise StorageError(f"{shown(address)}: {_without_secrets(str(error))}; use s3://, https:// or a path") from None
    return system, path


def _call(address: str, method: str, *arguments: str, local_first: bool = False) -> Any:
    system, path = _file_system(address)
    return getattr(system, method)(*((*arguments, path) if local_first else (path, *arguments)))


def _fetch_range(address: str, offset: int, length: int) -> bytes:
    system, path = _file_system(address)
    if not address.startswith(("http://", "https://")):
        try:
            content: bytes = system.cat_file(path, start=offset, end=offset + length)
        except OSError as error:
            if error.errno == errno.EINVAL:  # S3: the file ends before the range
                return b""
            raise
        return content
    import fsspec.asyn

    async def fetch() -> bytes:
        session = await system.set_session()
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        async with session.get(system.encode_url(path), headers=headers) as response:
            if response.status == 416:
                return b""
            system._raise_not_found_for_status(response, path)
            if response.status != 206:  # the body would be the whole file: it is not read
                raise _NoRangesError
            found: bytes = await response.read()
            return found

    part: bytes = fsspec.asyn.sync(system.loop, fetch)
    return part


def _version(address: str) -> dict[str, Any] | None:
    """Return what changes with the content of a file; None if the server does not say it."""
    try:
        found = _call(address, "info")
    except AsrError:
        raise
    except Exception:  # the download that follows tells why
        return None
    marks = {
        key: str(found[key]) for key in ("ETag", "Last-Modified", "LastModified", "mtime", "created") if key in found
    }
    return {"size": found["size"], **marks} if marks and found.get("size") is not None else None


def _attempt(address: str, action: Callable[[], Result]) -> Result:
    """Run an action on a file, several times if a transfer breaks. Raises StorageError that names the file."""
    for attempt in range(_ATTEMPTS):
        try:
            return action()
        except (AsrError, _NoRangesError):
            raise
        except Exception as error:  # each file system of fsspec has exceptions of its own
            reason, is_final = _reason(error)
            if is_final or attempt == _ATTEMPTS - 1:
                raise StorageError(f"{shown(address)}: {reason}") from None
            time.sleep(_FIRST_PAUSE * 2**attempt)
    raise AssertionError  # the last attempt returns or raises


def _reason(error: Exception) -> tuple[str, bool]:
    """Explain an error of fsspec; return also whether another attempt would meet it again."""
    text = _without_secrets(str(error)) or type(error).__name__
    status = getattr(error, "status", None)  # aiohttp has it
    if isinstance(error, FileNotFoundError):
        return "no such file or bucket; check the address", True
    if isinstance(error, PermissionError) or status in (401, 403) or "Credentials" in type(error).__name__:
        return f"access is denied ({text}); check the address and the credentials, such as AWS_ACCESS_KEY_ID", True
    if status is not None:
        return (
            f"the server answers {status} {getattr(error, 'message', '')}; try later",
            status not in _TEMPORARY_STATUS,
        )
    if isinstance(error, NotImplementedError):
        return "cannot be written there; use s3:// or a folder of this machine", True
    # s3fs has tried to connect several times already.
    is_final = type(error).__name__ == "EndpointConnectionError"
    return f"cannot be reached ({text}); check the address and the network, and try again", is_final


def _without_secrets(text: str) -> str:
    """Remove user, password and query of the addresses in a text."""
    return re.sub(r"(://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", re.sub(r"(?<=://)[^/\s@]*@", "", text))
