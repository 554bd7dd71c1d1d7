"""Chunks of samples of any kind and rate -> float32 at the rate of a model. No torch here."""

from typing import Any

import numpy as np
import soxr

from asr.audio import chunk_audio


class Incoming:
    """Converts the chunks of one stream, which come at `sample_rate` Hz, to `model_rate` Hz."""

    def __init__(self, sample_rate: int, model_rate: int) -> None:
        self.sample_rate, self.model_rate = sample_rate, model_rate
        self._resample = None
        if sample_rate != model_rate:
            self._resample = soxr.ResampleStream(sample_rate, model_rate, 1, dtype="float32")

    def __call__(self, samples: Any, *, last: bool = False) -> np.ndarray:
        """Return float32 samples `(N,)` on the 16-bit grid, at their own level; clip what exceeds full scale.

        `samples` are an array `(N,)` or `(channels, N)` of float or 16-bit values. `last` gives also the samples that
        resampling holds back. Raises AudioError for values that are no samples.
        """
        chunk = np.asarray(samples)
        if chunk.dtype.kind == "f":
            chunk = chunk.clip(-1, 1)
        if chunk.size:
            chunk = chunk_audio(chunk, self.sample_rate)
        if self._resample is not None:
            chunk = self._resample.resample_chunk(chunk.astype(np.float32), last=last).clip(-1, 1)
            if chunk.size:
                chunk = chunk_audio(chunk, self.model_rate)
        return chunk

    def rest(self) -> np.ndarray:
        """Return the samples that resampling held back, at the end of the stream."""
        return self(np.zeros(0, np.float32), last=True)
