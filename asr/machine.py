"""The machine: its processor, the units of the processor that change how numbers are rounded, and its cores."""

import importlib.util
import os
import platform

_UNITS = {  # LLVM's name -> usual name
    "avx512f": "AVX-512",
    "avx512bf16": "AVX-512 BF16",
    "amx-bf16": "AMX",
}


def processor() -> str:
    """Return the name of the processor and its units for wide vectors and matrices: `sapphirerapids: AVX-512, AMX`.

    Without llvmlite, return the kind of machine only, such as `x86_64`.
    """
    if importlib.util.find_spec("llvmlite") is None:
        return platform.machine()
    import llvmlite.binding

    try:
        known = dict(llvmlite.binding.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot detect the features of some ARM systems
        known = {}
    units = [name for key, name in _UNITS.items() if known.get(key)]
    return f"{llvmlite.binding.get_host_cpu_name()}: {', '.join(units) or 'no AVX-512'}"


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
