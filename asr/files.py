"""Text files read with errors that name the line; files written whole or not at all."""

import codecs
import os
import re
from collections.abc import Sequence
from pathlib import Path

from asr.errors import AsrError


def read_text(path: Path, error: type[AsrError] = AsrError) -> str:
    """The text of a file in UTF-8, or in UTF-16 as Praat and spreadsheets write it (with its byte order mark).

    Raises `error` that names the file, and the line where it is neither.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}") from None
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        name = encoding.removesuffix("-sig").upper()
        raise error(f"{path}:{line}: is not {name} (byte {fault.start}); save it as UTF-8") from None


def read_lines(path: Path, error: type[AsrError] = AsrError) -> list[str]:
    """The lines of `read_text`, whatever ends them. Not str.splitlines: a transcript may hold U+2028."""
    return re.split(r"\r\n|\n|\r", read_text(path, error))


def named_lines(
    source: str | Path | Sequence[str], name: str, error: type[AsrError] = AsrError
) -> tuple[str, list[str]]:
    """Return a name for messages and the lines of `source`: a file, or the lines themselves, called `name`.

    Raises `error` as `read_text` does.
    """
    if isinstance(source, str | Path):
        return str(source), read_lines(Path(source), error)
    return name, list(source)


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Writes `parts` one after the other to `path`, by way of a file beside it that is renamed once on the disk.

    Raises OSError, a full disk for one; what stood at `path` before then stays.
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
    if os.name == "posix":  # the rename too shall last through a power cut
        handle = os.open(path.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
