"""What the processor is asked to do: its number formats, and the same numbers every time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers too small for float32's normal range count as 0 meanwhile: some processors are slow with them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16; with `auto`, only where the hardware multiplies matrices in it.

    A CPU without such units emulates it, several times slower than float32.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16", False))
