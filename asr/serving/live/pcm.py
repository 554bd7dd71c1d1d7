"""Bytes of raw sound, as they come -> 16-bit samples."""

from typing import Literal

import numpy as np

from asr.serving.errors import ServiceError

Format = Literal["pcm16", "f32"]
LOWEST, HIGHEST = 4000, 192_000  # Hz
_TYPES: dict[Format, str] = {"pcm16": "<i2", "f32": "<f4"}


class Samples:
    """Reads the bytes of one stream; a sample may be divided between two blocks."""

    def __init__(self, form: Format) -> None:
        """Read little-endian samples of one channel: integers of 16 bits, or floating point in [-1, 1]."""
        self._type = np.dtype(_TYPES[form])
        self._rest = b""  # the first bytes of a sample
        self._count = 0  # samples so far

    def __call__(self, block: bytes) -> np.ndarray:
        """Return the samples `(N,)` that are complete, int16; what exceeds full scale is clipped.

        Raises ServiceError for a value that is no number.
        """
        block = self._rest + block
        whole = len(block) // self._type.itemsize * self._type.itemsize
        samples, self._rest = np.frombuffer(block[:whole], self._type), block[whole:]
        if self._type.kind == "f":
            finite = np.isfinite(samples)
            if not finite.all():
                number = self._count + int(finite.argmin())
                raise ServiceError(
                    f"sample {number} is not a finite number; send 32-bit floating point in little-endian order",
                    code="invalid_audio",
                )
            samples = np.clip(np.round(samples.clip(-1, 1) * 32768), -32768, 32767)
        self._count += len(samples)
        return samples.astype(np.int16)


def require_rate(sample_rate: int, param: str) -> None:
    """Raise ServiceError for a rate in Hz that no recording of speech has."""
    if not LOWEST <= sample_rate <= HIGHEST:
        raise ServiceError(
            f"{param} is {sample_rate}; it must be {LOWEST} to {HIGHEST} Hz",
            param=param,
            code="invalid_value",
        )
