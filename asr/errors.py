"""The errors that a user can cause. A message says what is wrong, where, what was found and what to do."""

import errno
import re
from collections.abc import Sequence

_LONGEST = 1000  # characters of one problem
_LONGEST_LINE = 5000  # characters of a line of a message; a damaged file can hold a name of any length
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters but tab and line feed
_ROOM = "make room on the disk, or choose another one"
_CURES = {  # what to do if a file cannot be written
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the limit on the size of files is reached; raise it, see `ulimit -f`",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "check the permissions of its folder, or choose another one",
    errno.EPERM: "check the permissions of its folder, or choose another one",
    errno.EROFS: "choose a folder that can be written",
    errno.EEXIST: "a part of this path is a file, not a folder; choose another path",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another path",
    errno.EISDIR: "this is a folder; name a file",
}


def printable(text: str) -> str:
    r"""Return text without control characters, which a terminal would obey, and without lone surrogates.

    Each of them is written as an escape, such as `\x1b`; tabs and line feeds stay.
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return text as `printable` does, with tabs and line feeds as escapes too: a name in a row of a table."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


class AsrError(Exception):
    """Base class of errors that come from input, not from a bug; the command line prints no traceback for them."""

    def __str__(self) -> str:
        lines = super().__str__().split("\n")
        return printable(
            "\n".join(line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …" for line in lines)
        )


class OutputError(AsrError, OSError):
    """A file cannot be written: `OutputError(errno, strerror, path)`. The file of this name, if any, is unchanged."""

    def __str__(self) -> str:
        cure = _CURES.get(self.errno or 0, "choose another path")
        return printable(f"{self.filename}: cannot be written: {self.strerror}; {cure}")

    @property
    def ends_all(self) -> bool:
        """Return True if no further file can be written either: the disk is full or read-only."""
        return self.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class ExportError(AsrError):
    """An exported file would not give the answers of its model, so it was not written."""


class ConfigError(AsrError):
    """A configuration file or a `--set` override is wrong."""


class AudioError(AsrError):
    """A recording cannot be read or holds no usable audio; `fault` is the verdict of `asr check`."""

    def __init__(self, message: str, fault: str = "unreadable") -> None:
        super().__init__(message)
        self.fault = fault


class ManifestError(AsrError):
    """A manifest is missing, malformed, or names files that do not exist."""


class TextError(AsrError):
    """A text cannot be written in the model's units."""


class LanguageModelError(AsrError):
    """A language model file is malformed, or a text cannot make one."""


class ModelFileError(AsrError):
    """A model file is missing, damaged, or was not written by this program."""


class TrainingError(AsrError):
    """Training cannot start or cannot go on."""


def explain(error: BaseException, subject: str) -> AsrError | None:
    """Return the error in one line if its cause is outside the program: the system, the memory, an encoding, nesting.

    `subject` is the input that was in work; it begins the message unless the error itself names a file. Returns None
    for an error that is a bug.
    """
    if isinstance(error, AsrError):
        return error
    if isinstance(error, OSError):
        cure = _CURES.get(error.errno or 0, "check the path, its permissions and its disk")
        return AsrError(f"{error.filename or subject}: {error.strerror or error}; {cure}")
    if isinstance(error, UnicodeEncodeError):
        found = error.object[error.start : error.start + 1]
        return AsrError(
            f"{subject}: {found!a} cannot be written in the encoding {error.encoding}; set the environment variable "
            "PYTHONUTF8=1"
        )
    if isinstance(error, UnicodeError):
        return AsrError(f"{subject}: a text is not in the encoding that it should have ({error}); save it as UTF-8")
    if isinstance(error, RecursionError):
        return AsrError(f"{subject}: is nested too deeply; give a file with fewer levels")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the second one is torch's
        return AsrError(f"{subject}: there is not enough memory; give less at once, or close other programs")
    return None


def audio_error(error: Exception, recording: str) -> AudioError:
    """Return the AudioError of a recording whose reading failed with `error`; raise `error` again if it is a bug."""
    explained = explain(error, recording)
    if explained is None:
        raise error
    return explained if isinstance(explained, AudioError) else AudioError(str(explained))


def raise_problems(problems: Sequence[str], error: type[AsrError]) -> None:
    """Raise `error` with the first ten problems and the number of further ones; do nothing without problems.

    A problem that quotes a very long value is cut.
    """
    if problems:
        problems = [text if len(text) <= _LONGEST else text[:_LONGEST] + " …" for text in problems]
        more = f"\n… and {len(problems) - 10} more lines" if len(problems) > 10 else ""
        raise error("\n".join(problems[:10]) + more)
