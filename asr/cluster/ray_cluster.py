"""A Ray cluster to compute on: one of this machine alone, or one that runs already."""

import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.version import __version__

LOCAL, AUTO = "local", "auto"
_PATIENCE = 10.0  # seconds that the head of a cluster may take to answer
_QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_SCHEDULER_EVENTS": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on any system, this keeps to the loopback interface
_ALONE = {**_LOOPBACK, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}  # for a cluster of this machine
_STARTS = 3  # a busy machine may take longer than the 15 s that Ray gives its own processes
_LONGEST_TEMPORARY = 40  # characters; Ray makes sockets below this folder, whose names may have 107 in all
_SPARE = 256 * 2**20  # bytes of the object store beside the model and the lines
_MOST_STORED = 2 * 2**30  # bytes of lines in memory; Ray keeps further lines on the disk


@contextmanager
def cluster(address: str, *, room: int) -> Iterator[None]:
    """Compute on a cluster while the block runs; what Ray prints is not shown.

    `address` is `local` for the cores of this machine, `auto` for the cluster that this machine belongs to, or
    `HOST:PORT`. `room` is the size in bytes of what a local cluster stores. Raises AsrError if no cluster answers, and
    if a node has another version of the program.
    """
    if "://" in address:
        raise AsrError(f"--ray {address}: must be local, auto or HOST:PORT; run it on a machine of the cluster")
    _set(_QUIET)
    if address == LOCAL:
        _set({**_ALONE, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    elif address.startswith(("127.", "localhost:")):
        _set(_LOOPBACK)  # else Ray asks at an outer address of this machine
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="asr-ray-", dir=_temporary(), ignore_cleanup_errors=True) as folder,
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),  # Ray tells there of workers that died
    ):
        try:
            if address == LOCAL:
                _start(folder, min(room, _MOST_STORED) + _SPARE)
            else:
                _connect(address)
            _require_version()
            yield
        finally:
            ray.shutdown()


def is_local(address: str) -> bool:
    """Return True for the address of a cluster that `cluster` starts itself."""
    return address == LOCAL


def _set(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _temporary() -> str:
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _LONGEST_TEMPORARY else "/tmp"


def _start(folder: str, room: int) -> None:
    import ray

    for start in range(1, _STARTS + 1):
        try:
            with _silent():
                ray.init(
                    address="local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    object_store_memory=room,
                    _temp_dir=folder,
                )
        except Exception as error:  # Ray raises a bare Exception if its processes are late
            ray.shutdown()
            if start == _STARTS:
                raise AsrError(
                    f"--ray local: Ray did not start ({_first_line(error)}); try again when the machine is less busy, "
                    "or start it with `ray start --head` and give --ray auto"
                ) from None
        else:
            return


def _connect(address: str) -> None:
    import ray

    try:
        if address != AUTO:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), _PATIENCE).close()  # Ray itself would wait for many minutes
        with _silent():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises errors of many classes here
        ray.shutdown()
        raise AsrError(
            f"--ray {address}: no Ray cluster answers ({_first_line(error)}); start one with `ray start --head`, and "
            "`ray start --address HOST:PORT` on this machine if it is another one"
        ) from None


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what compiled code writes to stderr, which Python cannot redirect: Ray tells there of its settings."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _require_version() -> None:
    """Raise AsrError that names the nodes without this version of the program."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def version() -> str | None:  # sent by its content, because a node may not have this module
        try:
            from asr.version import __version__ as found
        except ImportError:
            return None
        return found

    there = {node["NodeID"]: str(node["NodeManagerHostname"]) for node in ray.nodes() if node["Alive"]}
    remote: Any = ray.remote(num_cpus=0)(version)
    asked = [
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote() for node in there
    ]
    other = [
        f"{name} has {found or 'none'}"
        for name, found in zip(there.values(), ray.get(asked), strict=True)
        if found != __version__
    ]
    if other:
        raise AsrError(
            f"--ray: this command is own-asr {__version__}, and node {', node '.join(other[:10])}; install one version "
            "on all nodes: pip install 'own-asr[ray]'"
        )
