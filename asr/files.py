"""File access: text read with errors that name the line, and files written whole or not at all."""

import codecs
import json
import math
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr.errors import AsrError


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
    """Write `parts` one after the other to a draft file beside `path`, and rename the draft once it is on the disk.

    Raises OSError, for example if the disk is full; the file that was at `path` before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name must survive a power cut too; Windows cannot open folders
        handle = os.open(path.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
