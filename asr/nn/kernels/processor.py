"""The features of this machine's processor, as LLVM reports them."""

import llvmlite.binding


def _host_features() -> dict[str, bool]:
    """Return the features of the processor; none where LLVM cannot detect them, as on some ARM systems."""
    try:
        return dict(llvmlite.binding.get_host_cpu_features())
    except RuntimeError:
        return {}


_FEATURES = _host_features()
HAS_AVX512 = bool(_FEATURES.get("avx512f"))
HAS_BF16 = bool(_FEATURES.get("avx512bf16"))
HAS_AMX = bool(_FEATURES.get("amx-bf16"))
