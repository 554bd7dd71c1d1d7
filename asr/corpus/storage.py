"""The audio of manifest rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio import load_audio


class AudioStore:
    """Reads the audio of rows whose `audio_filepath` is relative to `folder`."""

    def __init__(self, folder: str | Path, *, sample_rate: int) -> None:
        self.folder, self.sample_rate = Path(folder), sample_rate

    def read(self, row: Mapping[str, Any]) -> np.ndarray:
        """Return the samples `(N,)` of a row, int16 at `sample_rate` Hz. Raises AudioError."""
        path = self.folder / row["audio_filepath"]
        samples = load_audio(path, self.sample_rate, offset=row.get("offset") or 0.0, duration=row.get("duration"))
        return (samples * 32768).clip(-32768, 32767).astype(np.int16)

    def expect(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Begin to read rows that `read` will be asked for next."""


def local_copy(url: str | Path) -> Path:
    """Return the path of a file of this machine."""
    return Path(url)
