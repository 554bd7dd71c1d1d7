"""The processes of one run, on one host or on several: they do the same on the same files, and end together.

Processes that differ would wait for each other for ever, or train a model that no single process could. So whatever the
processes must have in common is compared before the first step, and an error of one process is the error of all.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from asr.errors import AsrError, TrainingError, explain
from asr.files import write_whole
from asr.training.hardware import from_main_process, gather, in_main_process, job_store, processes

_NAMED = 5  # differences named one by one before the rest are counted
_PATIENCE = 20.0  # seconds until a new file must be visible on all hosts; network file systems keep old listings
_ANSWER = timedelta(seconds=20)  # time in which the store of the job must answer, also on a busy host
_together = ContextVar("together", default=False)  # inside `ending_together`
_Result = TypeVar("_Result")


def in_turn(act: Callable[[], _Result]) -> _Result:
    """Call `act` in the main process, then in all others, which find the files that the main process wrote.

    Raises the AsrError of any process in every process.
    """
    if processes().num_processes == 1:
        return act()
    found: list[_Result] = []
    in_main_process(lambda: found.append(act()))
    error = None
    if not processes().is_main_process:
        try:
            found.append(act())
        except AsrError as raised:
            error = f"{_name()}: {raised}"
    if errors := [text for text in gather(error) if text is not None]:
        raise TrainingError(f"{errors[0]}. Every host needs the same files under the same names")
    return found[0]


def agree(facts: Callable[[], Mapping[str, Any]]) -> None:
    """Raise TrainingError in every process if a fact differs between processes; name the fact, values and hosts.

    One process needs no `facts`, which may take long to compute.
    """
    if processes().num_processes == 1:
        return
    everywhere = gather((_name(), {fact: str(value) for fact, value in facts().items()}))
    first_name, first = everywhere[0]
    differences = []
    for fact in dict.fromkeys(fact for _, its_facts in everywhere for fact in its_facts):
        for name, its_facts in everywhere[1:]:
            if its_facts.get(fact) != first.get(fact):
                differences.append(f"{fact} is {first.get(fact)} in {first_name}, {its_facts.get(fact)} in {name}")
                break  # one other process shows it
    if differences:
        more = f"; … and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        raise TrainingError(
            f"the processes of this run differ: {'; '.join(differences[:_NAMED])}{more}. Give all hosts the same "
            "command, program, configuration and data"
        )


def share(folder: Path) -> None:
    """Raise TrainingError in every process if a process does not see the files that the main process writes there."""
    if processes().num_processes == 1:
        return
    mark = folder / from_main_process(f".shared-{uuid.uuid4().hex}")
    in_main_process(lambda: write_whole(mark, b""))
    seen = gather((_name(), is_visible(mark)))
    if processes().is_main_process:
        mark.unlink(missing_ok=True)
    if blind := [name for name, found in seen if not found]:
        raise TrainingError(
            f"{folder}: {', '.join(blind)} cannot see in this folder what {seen[0][0]} writes there; name a folder for "
            "results that all hosts share, such as one of a network file system, with --out"
        )


def is_visible(path: Path) -> bool:
    """Return whether a file that another host has just written is here, or comes within some seconds."""
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def ending_together() -> Iterator[None]:
    """Make the error of one process the error of all processes.

    A process that fails leaves its message in the store of the job, and ends. The next computation of all processes
    then fails in the others, which find the message. Without a message, a process was killed or its host was lost. A
    context inside another one adds nothing: the outer one has the key of the message.
    """
    if processes().num_processes == 1 or _together.get():
        yield
        return
    key, inside = "", _together.set(True)
    try:
        key = from_main_process(uuid.uuid4().hex)  # the store outlives this attempt of an elastic job
        yield
    except Exception as error:
        if _is_of_others(error):
            raise TrainingError(_message(key, error)) from None
        told = explain(error, "training") or f"{type(error).__name__}: {error}"
        with suppress(Exception):  # the message is a help; the others end without it too
            job_store(_ANSWER).set(key, f"{_name()}: {told}")
        raise
    finally:
        _together.reset(inside)


def _is_of_others(error: Exception) -> bool:
    """Return whether a computation of all processes failed because another process has ended."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _message(key: str, error: Exception) -> str:
    """Return why another process has ended: its message, or that it left none before `error`."""
    with suppress(Exception):
        store = job_store(_ANSWER)
        if store.check([key]):
            return store.get(key).decode()
    return (
        "another process of this run was killed, or its host was lost; its own messages may say why. The same command "
        f"continues from the last checkpoint ({str(error).splitlines()[0]})"
    )


def _name() -> str:
    """Name this process for people."""
    return f"process {processes().process_index} on {socket.gethostname()}"
