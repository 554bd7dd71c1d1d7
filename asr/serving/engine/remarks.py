"""What the library logs while it reads recordings -> remarks for those who sent them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST = 10  # remarks of one recording


class Remarks(logging.Handler):
    """A handler that keeps messages of the package which begin with the path of a recording in work."""

    def __init__(self) -> None:
        """Listen to the loggers of the package."""
        super().__init__(logging.INFO)
        self._open: dict[str, list[str]] = {}
        self._guard = threading.Lock()
        logger = logging.getLogger("asr")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record."""
        if isinstance(record.args, tuple) and record.args and isinstance(record.args[0], str | Path):
            path = str(record.args[0])
            with self._guard:
                if (kept := self._open.get(path)) is not None and len(kept) < _MOST:
                    kept.append(record.getMessage().removeprefix(f"{path}: "))

    @contextmanager
    def of(self, paths: tuple[Path, ...]) -> Iterator[dict[Path, list[str]]]:
        """Keep the remarks on recordings while the block runs."""
        kept: dict[Path, list[str]] = {path: [] for path in paths}
        with self._guard:
            self._open.update({str(path): remarks for path, remarks in kept.items()})
        try:
            yield kept
        finally:
            with self._guard:
                for path in paths:
                    self._open.pop(str(path), None)
