"""The folder of a bulk transcription: finished shards are its only checkpoint; a process holds the one it writes."""

import logging
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from asr.cluster.job import Job
from asr.errors import AsrError, OutputError
from asr.files import read_text, require_folder, to_json, whole_file, write_whole

JOB_FILE, ERRORS_FILE = "bulk.json", "errors.jsonl"
_PATIENCE = 30.0  # seconds; a process that writes one of these files holds its lock for a part of a second
_log = logging.getLogger(__name__)


class Claim:
    """A shard that this process holds: `with claim: …`. The lock ends with the process, however it ends."""

    def __init__(self, lock: FileLock, holder: Path, output: Path) -> None:
        self._lock, self._holder, self._output = lock, holder, output

    def __enter__(self) -> None:
        with suppress(OSError):  # only messages name the holder
            self._holder.write_text(f"{platform.node()}, process {os.getpid()}", encoding="utf-8")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.unlink(missing_ok=True)
        if self._output.exists():  # nobody needs the lock any more
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


class BulkFolder:
    """The shards of a job in a folder. Shards are numbered from 1."""

    def __init__(self, path: Path, job: Job) -> None:
        """Set up for `job`, without writing. Raises AsrError if the folder holds the shards of another job."""
        self.path, self.job = path, job
        self._told = False
        self._require_own()

    @classmethod
    def open(cls, path: Path) -> "BulkFolder":
        """Open a folder. Raises AsrError if it holds no bulk transcription."""
        job = _read_job(path)
        if job is None:
            raise AsrError(f"{path}: holds no {JOB_FILE}; name the folder -o of `asr transcribe … --shard`")
        return cls(path, job)

    @property
    def numbers(self) -> range:
        """The numbers of all shards."""
        return range(1, len(self.job.shards) + 1)

    def begin(self) -> None:
        """Make the folder ready for shards. Raises OutputError if it cannot be written, AsrError as `__init__`."""
        require_folder(self.path)
        with self._locked("bulk"):
            if not self._require_own():
                write_whole(self.path / JOB_FILE, (self.job.model_dump_json(indent=1) + "\n").encode())

    def file(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.path / f"{self._name(number)}.jsonl"

    def name(self, number: int) -> str:
        """Return a shard as the option `--shard` names it."""
        return f"{number}/{len(self.job.shards)}"

    def unfinished(self) -> list[int]:
        """Return the numbers of the shards that are not done."""
        there = set(self.path.glob("shard-*.jsonl"))  # one look at the folder, not one for each shard
        return [number for number in self.numbers if self.file(number) not in there]

    def claim(self, number: int, patience: float = 0.0) -> Claim | None:
        """Try to hold a shard for `patience` seconds. Returns None if another process holds it.

        Raises OutputError if the folder cannot be written.
        """
        lock = self._lock(self._name(number))
        if not self._acquire(lock, patience):
            return None
        if lock.is_locked:  # else there are no locks, and a draft may be another process's
            _remove_drafts(self.file(number))
        return Claim(lock, self._holder_file(number), self.file(number))

    def holder(self, number: int) -> str | None:
        """Return the computer and the process that hold a shard; None if no process holds it."""
        if not (self.path / f".{self._name(number)}.lock").exists():
            return None
        lock = self._lock(self._name(number))
        if self._acquire(lock, 0.0):
            lock.release()
            return None
        try:
            return self._holder_file(number).read_text(encoding="utf-8")
        except OSError:
            return "an unknown process"

    def write(self, number: int, rows: Iterable[dict[str, Any]]) -> None:
        """Write a shard, whole or not at all. Raises OutputError if it cannot be written."""
        with whole_file(self.file(number)) as file:
            for row in rows:
                file.write(f"{to_json(row)}\n".encode())

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Hold the file `name` of this folder while it is written; remove drafts that a dead process left."""
        with self._locked(name):
            _remove_drafts(self.path / name)
            yield self.path / name

    def _require_own(self) -> bool:
        """Return whether the folder has a job. Raises AsrError if it is another job."""
        found = _read_job(self.path)
        if found is None:
            return False
        if different := found.differences(self.job):
            raise AsrError(
                f"{self.path}: holds another bulk transcription: {'; '.join(different)}; name another folder"
            )
        return True

    def _name(self, number: int) -> str:
        width = max(4, len(str(len(self.job.shards))))
        return f"shard-{number:0{width}}-of-{len(self.job.shards):0{width}}"

    def _holder_file(self, number: int) -> Path:
        return self.path / f".{self._name(number)}.holder"

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.path / f".{name}.lock")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = self._lock(name)
        if not self._acquire(lock, _PATIENCE):
            raise AsrError(f"{lock.lock_file}: another process holds this lock for {_PATIENCE:.0f} s; try again")
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, patience: float) -> bool:
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            return False
        except NotImplementedError:  # a network file system without locks
            if not self._told:
                self._told = True
                _log.warning("%s: this file system has no locks; give each process shards of its own", self.path)
        except OSError as error:
            raise OutputError(error.errno, error.strerror or str(error), lock.lock_file) from None
        return True


def _read_job(folder: Path) -> Job | None:
    path = folder / JOB_FILE
    if not path.exists():
        return None
    try:
        return Job.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise AsrError(f"{path}: is damaged ({place}: {first['msg']}); remove the folder, and begin again") from None


def _remove_drafts(path: Path) -> None:
    """Remove the drafts of a file, which a process left that was killed."""
    for draft in path.parent.glob(f"{path.name}.*.part"):
        draft.unlink(missing_ok=True)
