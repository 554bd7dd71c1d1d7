"""The log of the package, shown on stderr by commands that report what they do."""

import logging
import sys


class _StderrHandler(logging.Handler):
    """A handler that looks up `sys.stderr` for each line, because a progress bar replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def show_log() -> None:
    """Print messages of the package's loggers on stderr, from level INFO on."""
    logger = logging.getLogger("asr")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
