"""The folder of a bulk transcription: finished shards are its only checkpoint; a process holds the one it writes.

bulk.json                       the job, and the sizes of its shards
input/shard-0001-of-0010.jsonl  the lines of a shard, so that a process reads no others
shard-0001-of-0010.jsonl        the lines of a finished shard, with hypotheses
errors.jsonl                    the lines of all finished shards that failed
"""

import json
import logging
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from asr.cluster.bulk import plan_shards
from asr.cluster.job import Job, Plan, Shard
from asr.corpus.manifest import from_row, to_row
from asr.errors import AsrError, OutputError
from asr.files import read_text, require_folder, to_json, whole_file, write_whole
from asr.utterance import Utterance

JOB_FILE, ERRORS_FILE = "bulk.json", "errors.jsonl"
_PATIENCE = 10.0  # seconds without a message
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
        self.shards: tuple[Shard, ...] = ()  # until the input is divided
        self._read_plan()

    @classmethod
    def open(cls, path: Path) -> "BulkFolder":
        """Open a folder. Raises AsrError if it holds no bulk transcription."""
        plan = _read_plan(path)
        if plan is None:
            raise AsrError(f"{path}: holds no {JOB_FILE}; name the folder -o of `asr transcribe … --shard`")
        return cls(path, plan.job)

    @property
    def numbers(self) -> range:
        """The numbers of all shards."""
        return range(1, self.job.count + 1)

    def begin(self, read: Callable[[], Sequence[Utterance]]) -> None:
        """Divide the utterances that `read()` returns, unless another process has done it, or is about to.

        Raises OutputError if the folder cannot be written, AsrError as `__init__`.
        """
        require_folder(self.path)
        with self._locked("bulk"):
            if self._read_plan():
                return
            utterances = read()
            parts = plan_shards([one.duration for one in utterances], self.job.count)
            for number, part in zip(self.numbers, parts, strict=True):
                rows = [to_row(utterances[line], self.path) for line in part]
                content = "".join(f"{json.dumps(row)}\n" for row in rows)  # in ASCII: names may be no UTF-8
                write_whole(self._input_file(number), content.encode())
            self.shards = tuple(Shard.of([utterances[line] for line in part]) for part in parts)
            plan = Plan(job=self.job, shards=self.shards)
            write_whole(self.path / JOB_FILE, f"{plan.model_dump_json(indent=1)}\n".encode())

    def utterances(self, number: int) -> list[Utterance]:
        """Read the utterances of a shard. Raises AsrError if its file is missing or was changed."""
        path = self._input_file(number)
        try:
            return [from_row(json.loads(line), self.path) for line in read_text(path).splitlines()]
        except ValueError as error:
            raise AsrError(f"{path}: was changed ({error}); remove {self.path}, and begin again") from None

    def file(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.path / f"{self._name(number)}.jsonl"

    def name(self, number: int) -> str:
        """Return a shard as the option `--shard` names it."""
        return f"{number}/{self.job.count}"

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

    def _read_plan(self) -> bool:
        """Read the shards of the folder; return whether there are any. Raises AsrError if they are of another job."""
        plan = _read_plan(self.path)
        if plan is None:
            return False
        if different := plan.job.differences(self.job):
            raise AsrError(
                f"{self.path}: holds another bulk transcription: {'; '.join(different)}; name another folder"
            )
        self.shards = plan.shards
        return True

    def _name(self, number: int) -> str:
        width = max(4, len(str(self.job.count)))
        return f"shard-{number:0{width}}-of-{self.job.count:0{width}}"

    def _input_file(self, number: int) -> Path:
        return self.path / "input" / f"{self._name(number)}.jsonl"

    def _holder_file(self, number: int) -> Path:
        return self.path / f".{self._name(number)}.holder"

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.path / f".{name}.lock")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = self._lock(name)
        if not self._acquire(lock, _PATIENCE):
            _log.info("%s: waiting for another process, which holds it", lock.lock_file)
            self._acquire(lock, -1)  # until that process ends
        try:
            yield
        finally:
            lock.release()

    def _acquire(self, lock: FileLock, patience: float) -> bool:
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            return False
        except NotImplementedError:
            _log.warning("%s: this file system has no locks; give each process shards of its own", self.path)
        except OSError as error:
            raise OutputError(error.errno, error.strerror or str(error), lock.lock_file) from None
        return True


def _read_plan(folder: Path) -> Plan | None:
    path = folder / JOB_FILE
    if not path.exists():
        return None
    try:
        return Plan.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all"
        raise AsrError(f"{path}: is damaged ({place}: {first['msg']}); remove the folder, and begin again") from None


def _remove_drafts(path: Path) -> None:
    """Remove the drafts of a file, which a process left that was killed."""
    for draft in path.parent.glob(f"{path.name}.*.part"):
        draft.unlink(missing_ok=True)
