"""The lock of a folder: one writer at a time, among the threads of a service and among several services."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from filelock import FileLock, Timeout

from asr.errors import OutputError
from asr.serving.workspace.paths import TakenError, Workspace

_PATIENCE = 30.0  # seconds; a writer holds the lock for a part of a second
_threads = RLock()
_told: set[Path] = set()
_log = logging.getLogger(__name__)


@contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of a folder, which is a file in its hidden folder.

    Raises TakenError if another program holds the lock for long, and OutputError if the folder cannot be written.
    """
    path = workspace.hidden("lock")
    with _threads:
        lock = FileLock(path)
        try:
            path.parent.mkdir(exist_ok=True)
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            raise TakenError(f"{workspace.root}: another program is writing in this folder; try again") from None
        except NotImplementedError:  # a network file system without locks
            if path not in _told:
                _told.add(path)
                _log.warning("%s: this file system has no locks; run one service only on it", workspace.root)
        except OSError as error:
            raise OutputError(error.errno, error.strerror or str(error), str(path)) from None
        try:
            yield
        finally:
            lock.release()
