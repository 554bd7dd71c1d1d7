"""What training runs on: processes and their devices, number formats."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from accelerate import PartialState

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h


def processes() -> PartialState:
    """This process among those of torchrun, and its device: CUDA or the CPU, as other devices have no CTC."""
    return PartialState(cpu=not torch.cuda.is_available())


@contextmanager
def steady_numbers() -> Iterator[None]:
    """Makes two equal runs equal to the last bit, and none slow with denormals, meanwhile.

    Numbers too small for float32's normal range count as 0: some processors are slow with them. On CUDA only
    deterministic kernels are used (https://docs.pytorch.org/docs/stable/notes/randomness.html).
    """
    torch.set_flush_denormal(True)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    if torch.cuda.is_available():
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.set_flush_denormal(False)


def keep_memory() -> None:
    """Lets the C library keep what is freed for the next step, where it would give pages back, to be cleared again."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None  # of glibc alone
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; with `auto`, only where the hardware multiplies matrices in it.

    A CPU without such instructions (AVX512-BF16, AMX) emulates it, several times slower than float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def memory_mb(device: torch.device) -> float:
    """Megabytes in use: on CUDA the most since the start, on the CPU those of this process now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return float(psutil.Process().memory_info().rss / 1e6)
