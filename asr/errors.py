"""The errors that a user can cause. A message says what is wrong, where, what was found and what to do."""

from collections.abc import Sequence

_LONGEST = 1000  # characters of one problem


class AsrError(Exception):
    """Base class of errors that come from input, not from a bug; the command line prints no traceback for them."""


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


def raise_problems(problems: Sequence[str], error: type[AsrError]) -> None:
    """Raise `error` with the first ten problems and the number of further ones; do nothing without problems.

    A problem that quotes a very long value is cut.
    """
    if problems:
        problems = [text if len(text) <= _LONGEST else text[:_LONGEST] + " …" for text in problems]
        more = f"\n… and {len(problems) - 10} more lines" if len(problems) > 10 else ""
        raise error("\n".join(problems[:10]) + more)
