"""The device that a model computes on, by the name that the user gives."""

import torch

from asr.errors import AsrError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of a name such as `cpu` or `cuda:1` (default: CUDA where there is a GPU, else the CPU).

    Raises AsrError that lists the devices of this machine, if models cannot compute on a device of this name.
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if name is None:
        return torch.device("cuda" if gpus else "cpu")
    if isinstance(name, torch.device) and name.type == "cpu":  # accelerate numbers the CPUs of its processes
        return name
    there = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if str(name) not in there:
        found = ", ".join(there) if gpus else "cpu, and no GPU that CUDA can use"
        raise AsrError(f"--device {str(name)!r}: models compute on cpu or cuda; this machine has {found}")
    return torch.device(name)
