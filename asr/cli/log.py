"""The log of the package, shown on stderr by commands that report what they do."""

import logging
import sys

from asr.errors import printable


class _StderrHandler(logging.Handler):
    """A handler that looks up `sys.stderr` for each line, because a progress bar replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(self.format(record))


def tell(line: object) -> None:
    """Print a line on stderr, without control characters."""
    print(printable(str(line)), file=sys.stderr, flush=True)


def show_log(level: int = logging.INFO, prefix: str = "") -> None:
    """Print messages of the package's loggers on stderr, from a level on, or from the lower level set before.

    `prefix` begins each line.
    """
    logger = logging.getLogger("asr")
    logger.setLevel(min(level, logger.level or level))
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
        logger.addHandler(handler)
