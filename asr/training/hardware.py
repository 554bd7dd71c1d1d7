"""The hardware of a training run: processes, devices, number formats, memory."""

import ctypes
import functools
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import psutil
import torch
import torch.distributed as dist
from accelerate import PartialState

from asr.device import choose_device
from asr.errors import AsrError

_JOINED = timedelta(minutes=10)  # in which all processes of a job begin, and compute their share of a step
_LONGEST_WAIT = timedelta(days=7)  # other processes wait while the main process packs data or evaluates
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # constants of glibc's malloc.h
_Value = TypeVar("_Value")


def processes() -> PartialState:
    """Return the rank and device of this process under torchrun.

    The device is CUDA or the CPU, because PyTorch has a CTC loss for no other device.
    """
    return _join(cpu=not torch.cuda.is_available())


def use_device(name: str) -> None:
    """Train on the device of this name, such as `cpu` or `cuda:1`; call this before the first use of `processes`.

    Raises AsrError for a device that this machine does not have, and for one GPU under several processes.
    """
    device = choose_device(name)
    state = _join(cpu=device.type == "cpu")
    if device.index is not None:
        if state.num_processes > 1:
            raise AsrError(
                f"--device {name}: {state.num_processes} processes would share this GPU; leave --device out, and "
                "choose GPUs with the environment variable CUDA_VISIBLE_DEVICES"
            )
        torch.cuda.set_device(device)
        state.device = device


def _join(*, cpu: bool) -> PartialState:
    """Join the other processes of the job, if there are any. Raises AsrError if they do not come."""
    _choose_network()
    try:
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and not dist.is_initialized():
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            if size > 1:
                store = _store_of_attempt(rank, size)
                dist.init_process_group(
                    "gloo" if cpu else "nccl", store=store, rank=rank, world_size=size, timeout=_JOINED
                )
        return PartialState(cpu=cpu, timeout=_JOINED)
    except dist.DistError as error:
        raise AsrError(
            f"the other processes of this run do not answer ({str(error).splitlines()[0]}); the messages on their "
            "hosts may say why. If hosts have several networks, name one in GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME"
        ) from None


def leave() -> None:
    """Leave the job, after the last computation of all processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def job_store(timeout: timedelta) -> dist.TCPStore:
    """Connect to the store of the job, which must answer within `timeout`.

    The store of an elastic job is torchrun's own, and outlives all processes of the run.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(address, port, is_master=False, timeout=timeout, wait_for_workers=False)


def _store_of_attempt(rank: int, size: int) -> dist.Store:
    """Return the part of the job's store that belongs to this attempt of an elastic job.

    torchrun starts the processes again with the store of the last attempt, in which the addresses of dead processes
    stand. So each process shows a fresh name, and the main process answers it with the name of the attempt.
    """
    store, name = job_store(_JOINED), uuid.uuid4().hex
    if rank > 0:
        store.set(f"asr/here/{rank}", name)
        attempt = store.get(f"asr/attempt/{name}").decode()  # waits for the main process of this attempt
        store.set(f"asr/joined/{attempt}/{rank}", "")
        return dist.PrefixStore(attempt, store)
    missing, end = set(range(1, size)), time.monotonic() + _JOINED.total_seconds()
    while missing:
        if time.monotonic() > end:
            raise dist.DistStoreError(f"{len(missing)} of {size} processes are missing")
        for other in sorted(missing):
            if store.check([f"asr/here/{other}"]):  # the name may still be that of a dead process
                store.set(f"asr/attempt/{store.get(f'asr/here/{other}').decode()}", name)
            if store.check([f"asr/joined/{name}/{other}"]):
                missing.remove(other)
        time.sleep(0.02)
    return dist.PrefixStore(name, store)


@functools.cache
def _choose_network() -> None:
    """Make gloo use the network interface that leads to the main host, unless GLOO_SOCKET_IFNAME names another one.

    Without the variable, gloo takes the address of the host's name, which often is 127.0.1.1.
    """
    environment = os.environ
    if environment.get("WORLD_SIZE") == environment.get("LOCAL_WORLD_SIZE") or "GLOO_SOCKET_IFNAME" in environment:
        return
    with suppress(OSError, KeyError, ValueError):
        address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
        family, kind, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)  # sends nothing, but chooses the interface
            own = probe.getsockname()[0]
        for name, addresses in psutil.net_if_addrs().items():
            if any(one.address.partition("%")[0] == own for one in addresses):
                environment["GLOO_SOCKET_IFNAME"] = name


@functools.cache
def _waiting_group() -> "dist.ProcessGroup | None":
    """Return a group of all processes that may wait long, and whose calls fail at once if a process ends.

    NCCL waits for ten minutes at most, and does not notice that another process has ended.
    """
    return dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)


def gather(value: _Value) -> list[_Value]:
    """Return the values of all processes, by rank, in every process."""
    values = [value] * processes().num_processes
    if len(values) > 1:
        dist.all_gather_object(values, value, group=_waiting_group())
    return values


def from_main_process(value: _Value) -> _Value:
    """Return the value of the main process in every process."""
    values = [value]
    if processes().num_processes > 1:
        dist.broadcast_object_list(values, src=0, group=_waiting_group())
    return values[0]


def in_main_process(act: Callable[[], None]) -> None:
    """Call `act` in the main process while the other processes wait; raise its AsrError in every process."""
    error: AsrError | None = None
    if processes().is_main_process:
        try:
            act()
        except AsrError as raised:
            error = raised
    if (error := from_main_process(error)) is not None:
        raise error


@contextmanager
def steady_numbers() -> Iterator[None]:
    """Make equal runs equal to the last bit inside this context, and treat denormals as 0.

    Denormals, numbers below float32's normal range, are slow on some processors. On CUDA, only deterministic kernels
    are used (https://docs.pytorch.org/docs/stable/notes/randomness.html).

    `torch.utils.deterministic.fill_uninitialized_memory` is documented, but has no type; seen with torch 2.11.
    """
    torch.set_flush_denormal(True)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if torch.cuda.is_available():
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when CUDA starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_flush_denormal(False)


def keep_memory() -> None:
    """Make the C library keep freed memory for the next step.

    Otherwise glibc returns pages to Linux, which clears them again for each step. Other systems are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # only glibc has it
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bfloat16; `auto` means: if the hardware multiplies matrices in bfloat16.

    A CPU without such instructions (AVX512-BF16, AMX) emulates bfloat16, several times slower than float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def memory_mb(device: torch.device) -> float:
    """Return megabytes in use: on CUDA the peak since the start, on the CPU the current memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return float(psutil.Process().memory_info().rss / 1e6)
