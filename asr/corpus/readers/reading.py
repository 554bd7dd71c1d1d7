"""The reading of one corpus: its texts, the options for all readers, and what is said beside the utterances."""

import codecs
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from asr.corpus.readers.files import SourceError
from asr.errors import raise_problems
from asr.files import decode_text, lines_of, read_bytes
from asr.wording import counted

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Reading:
    """The options of one reading, and what readers found. Without a `with reading()` block, the log says it."""

    encoding: str | None = None  # the encoding of texts that are not UTF-8
    pairs: tuple[str, ...] = ()  # patterns of names: see `pairs.py`
    faults: list[str] = field(default_factory=list)  # the files that could not be read, with the reasons
    used: set[Path] = field(default_factory=set)  # the files with texts that were read
    # what was guessed, left out or matched loosely -> the cases; `{}` stands for their number: see `counted`
    cases: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def notes(self) -> list[str]:
        """Return one line for each kind of case, with the number of cases and the first one."""
        return [
            f"{_told(text, len(cases))}{', such as' if len(cases) > 1 else ':'} {next(iter(cases))}"
            for text, cases in self.cases.items()
        ]


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(encoding: str | None = None, pairs: Iterable[str] = ()) -> Iterator[Reading]:
    """Collect in a Reading what all readers say inside the `with` block. Raises SourceError for an unknown encoding."""
    if encoding is not None and not _is_encoding(encoding):
        raise SourceError(
            f"--encoding {encoding}: is not the name of an encoding; usual are cp1252, cp1251, latin-1, mac-roman"
        )
    opened = Reading(encoding, tuple(pairs))
    token = _current.set(opened)
    try:
        yield opened
    finally:
        _current.reset(token)


def pair_patterns() -> tuple[str, ...]:
    """Return the patterns of `--pair`."""
    opened = _current.get()
    return () if opened is None else opened.pairs


def note(text: str, case: str) -> None:
    """Say what was guessed, left out or matched loosely; `{}` in `text` stands for the number of such cases.

    The words of a text with `{}` fit this number: see `counted`.
    """
    opened = _current.get()
    if opened is None:
        logger.warning("%s: %s", _told(text, 1), case)
    else:
        opened.cases[text][case] = None


def _told(text: str, count: int) -> str:
    return counted(text, count) if "{}" in text else text  # other texts can hold what a user wrote


def fault(message: str) -> None:
    """Say that a file is left out because it cannot be read or used; outside a Reading, the log says it."""
    opened = _current.get()
    if opened is None:
        logger.warning("%s", message)
    else:
        opened.faults.append(message)


def read_each(items: Iterable[Item], read: Callable[[Item], Result]) -> list[Result]:
    """Read each file of a folder. A file that cannot be read is named, and does not stop the others.

    Raises SourceError if none of the files can be read.
    """
    results, faults = [], []
    opened = _current.get()
    for item in items:
        if opened is not None and isinstance(item, Path):
            opened.used.add(item)
        try:
            results.append(read(item))
        except SourceError as error:
            faults.append(str(error))
    if not results:
        raise_problems(faults, SourceError)
    for message in faults:
        fault(message)
    return results


def source_text(path: Path) -> str:
    """Read a text of the corpus: UTF-8, UTF-16 with a byte order mark, or the encoding of `--encoding`.

    A text that is UTF-8 beyond ASCII stays UTF-8, whatever encoding of one byte for a character is given: such text is
    UTF-8 by chance only if it is very short. Raises SourceError that names the file and the first wrong line.
    """
    opened = _current.get() or Reading()
    opened.used.add(path)
    content = read_bytes(path, SourceError)
    encoding = opened.encoding
    if encoding and not content.isascii() and _has_single_bytes(encoding) and _is_utf8(content):
        note(f"{{}} text<s> <is|are> read as UTF-8, which <it is|they are>, and not as {encoding}", str(path))
        encoding = None
    return _decode(path, content, encoding)


def peek(path: Path) -> str:
    """Return the text of a file as `source_text` reads it, without using it. Raises SourceError."""
    opened = _current.get() or Reading()
    return _decode(path, read_bytes(path, SourceError), opened.encoding)


def _decode(path: Path, content: bytes, encoding: str | None) -> str:
    if encoding is not None:
        return decode_text(content, str(path), SourceError, encoding=encoding, cure=", or correct --encoding")
    if b"\0" in content and content[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise SourceError(
            f"{path}: holds zero bytes, so it is no text in UTF-8; export it as plain text; for UTF-16 without a byte "
            "order mark, give --encoding utf-16-le"
        )
    return decode_text(content, str(path), SourceError, cure=_cure(content))


def first_text(path: Path) -> str:
    """Return the first 10,000 bytes of a file as text, with U+FFFD for what is in another encoding; "" if unreadable.

    Readers recognise their files by it, so that the reading of a file in another encoding can name the fault.
    """
    try:
        if not path.is_file():  # a pipe would never end
            return ""
        with path.open("rb") as file:
            content = file.read(10_000)
    except (OSError, ValueError):
        return ""
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return content.decode("utf-16", "replace")
    encoding = (_current.get() or Reading()).encoding
    return content.decode(encoding if encoding and not _is_utf8(content) else "utf-8-sig", "replace")


def source_lines(path: Path) -> list[str]:
    """Read the lines of a text of the corpus, whatever their ends, as `source_text` does."""
    return lines_of(source_text(path))


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text that are not empty, stripped, with their numbers."""
    return [(number, line.strip()) for number, line in enumerate(source_lines(path), start=1) if line.strip()]


def _is_encoding(name: str) -> bool:
    try:
        b"x".decode(name)  # without bytes, Python does not look the name up
    except UnicodeDecodeError:  # one byte is too short for UTF-16
        return True
    except (LookupError, ValueError):
        return False
    return True


def _is_utf8(content: bytes) -> bool:
    """Return True if bytes are UTF-8 without zero bytes, also if they end inside a character."""
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False


def _has_single_bytes(encoding: str) -> bool:
    return all(len(bytes([value]).decode(encoding, "replace")) == 1 for value in range(256))


def _cure(content: bytes) -> str:
    """Return the advice for a text that is not UTF-8, with what the first wrong byte is on most old Windows systems."""
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or _is_utf8(content):
        return ""
    try:
        content.decode("utf-8-sig")
        return ""
    except UnicodeDecodeError as fault:
        byte = content[fault.start : fault.start + 1]
    letter = byte.decode("cp1252", "replace")
    known = letter.isprintable() and letter != "\ufffd"
    example = f" (byte {byte.hex().upper()} is {letter} in cp1252)" if known else ""
    return f", or name its encoding with --encoding, such as --encoding cp1252{example}"
