"""File access: text read with errors that name the line, and files written whole or not at all."""

import codecs
import errno
import hashlib
import io
import json
import logging
import math
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from asr.errors import AsrError, OutputError

_log = logging.getLogger(__name__)
_DRAFT_NAME = 60  # characters of a file's name that the name of its draft begins with: 255 bytes are allowed in all


def read_text(path: Path, error: type[AsrError] = AsrError) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark, as Praat and spreadsheets write it.

    Raises `error` that names the file, and the first line that is not in its encoding; also for a pipe or device, which
    may never end.
    """
    return decode_text(read_bytes(path, error), str(path), error)


def read_bytes(path: Path, error: type[AsrError] = AsrError) -> bytes:
    """Read a file. Raises `error` that names it."""
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise error(f"{path}: is no file but a pipe or device; save its text as a file first")
        return path.read_bytes()
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}; check the path and its permissions") from None
    except ValueError:  # a name with a NUL character
        raise error(f"{str(path)!r}: is no name of a file; check the path") from None


def real_path(path: Path) -> Path:
    """Return the path without links. A link that leads in a circle stays: its reader says that it leads nowhere."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for a circle


def file_digest(path: str | Path) -> str | None:
    """Return the SHA-256 of the bytes of a file, or None for a file that cannot be read, or for a pipe or device."""
    if not Path(path).is_file():  # reading a pipe could wait for ever
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def decode_text(
    content: bytes, name: str, error: type[AsrError] = AsrError, *, encoding: str = "utf-8-sig", cure: str = ""
) -> str:
    """Decode the content of a text file: UTF-16 with a byte order mark, or else `encoding`.

    `name` and `cure`, which follows the advice to save the file as UTF-8, stand in the error.
    """
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    elif content.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        wanted = encoding.removesuffix("-sig").upper()
        raise error(f"{name}:{line}: is not {wanted} (byte {fault.start}); save it as UTF-8{cure}") from None


def read_lines(path: Path, error: type[AsrError] = AsrError) -> list[str]:
    """Read the lines of a text file, whatever its line ends. Raises `error` as `read_text` does."""
    return lines_of(read_text(path, error))


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, whatever its line ends."""
    # str.splitlines would also split at U+2028, which a transcript may hold.
    return re.split(r"\r\n|\n|\r", text)


def named_lines(
    source: str | Path | Sequence[str], name: str, error: type[AsrError] = AsrError
) -> tuple[str, list[str]]:
    """Return a name for messages and the lines of `source`: a file, or the lines themselves, called `name`.

    Raises `error` as `read_text` does.
    """
    if isinstance(source, str | Path):
        return str(source), read_lines(Path(source), error)
    return name, list(source)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return strict JSON (RFC 8259): a number that is infinite or not a number becomes null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write `parts` one after the other to `path`, whole or not at all: see `whole_file`."""
    with whole_file(path) as file:
        for part in parts:
            file.write(part)


@contextmanager
def whole_file(path: Path, *, keep: bool = False) -> Iterator[BinaryIO]:
    """Open a draft beside `path` for writing; when the block ends, sync it to the disk and rename it to `path`.

    Folders are made. The draft has a name of its own, so that programs which write the same file do not meet. If the
    block fails, the draft is removed, and the file that was at `path` before stays. With `keep`, the whole lines of the
    draft stay, and the log names it. A link stays a link: the file that it leads to is replaced. A device or a pipe is
    written directly.

    Raises OutputError, for example if the disk is full.
    """
    with _naming(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            target = draft = path
        else:
            target = real_path(path) if path.is_symlink() else path
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f"{target.name[:_DRAFT_NAME]}.{secrets.token_hex(4)}.part")
        file = io.BufferedWriter(_Output(draft, path))
    try:
        with file:
            yield file
            with _naming(path):
                file.flush()
                if draft != target:
                    os.fsync(file.fileno())
        with _naming(path):
            if draft != target:
                draft.replace(target)
    except BaseException:
        if draft != target:
            _discard(draft, path, keep)
        raise
    _sync_folder(target.parent)


class _Output(io.FileIO):
    """A file to write, whose errors name `path` as the file that the user knows."""

    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__(draft, "wb" if draft == path else "xb")
        self._path = path

    def write(self, content: Any) -> int:
        with _naming(self._path):
            return super().write(content)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error), str(path)) from None


def _discard(draft: Path, path: Path, keep: bool) -> None:
    """Remove a draft, or with `keep` cut it after its last whole line and name it in the log."""
    if keep:
        with suppress(OSError):
            size = draft.read_bytes().rfind(b"\n") + 1
            os.truncate(draft, size)
            if size:
                _log.warning("%s: was not completed; the lines so far are in %s", path, draft)
                return
    draft.unlink(missing_ok=True)


def require_folder(folder: Path) -> None:
    """Make `folder` if it is not there, and a file in it that is removed at once. Raises OutputError if this fails."""
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def require_file(path: Path, suffix: str = "") -> None:
    """Raise OutputError, before long work, if a file `path` could not be written after it.

    Raises AsrError if its name has another suffix than `suffix`: a slip must not replace a file of another kind.
    """
    if not path.name.lower().endswith(suffix) and not path.is_dir():
        raise AsrError(f"{path}: would be written as {suffix.removeprefix('.').upper()}; name it NAME{suffix}")
    with _naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    require_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the names in a folder, so that a new name survives a power cut too."""
    if os.name != "posix":  # Windows cannot open folders
        return
    with suppress(OSError):  # some network file systems cannot sync a folder; the file is there in any case
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
