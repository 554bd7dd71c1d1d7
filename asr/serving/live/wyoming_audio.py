"""The sound of one Wyoming request: chunks of PCM, kept in a temporary WAV file or fed to a stream."""

import tempfile
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from asr.serving.errors import ServiceError, TooLarge
from asr.serving.live.pcm import require_rate

_MOST = 1024**3  # bytes of a recording: a WAV file holds less than four times as many
_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """The samples of a request: rate in Hz, bytes of a sample, channels."""

    rate: int
    width: int
    channels: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Read the format of an event. Raises ServiceError for one that no recording has."""
        values = []
        for name, most in (("rate", None), ("width", 4), ("channels", _CHANNELS)):
            value = data.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
                allowed = f"1 to {most}" if most else "a whole number of Hz"
                raise ServiceError(
                    f"{name} is {str(value)[:100]!r}; it must be {allowed}", param=name, code="invalid_audio"
                )
            values.append(value)
        require_rate(values[0], "rate")
        return cls(*values)


class Recording:
    """A temporary WAV file that grows with the chunks of a request."""

    def __init__(self, form: PcmFormat, most: int = _MOST) -> None:
        """Begin a file of at most `most` bytes of sound."""
        self.form, self._most, self._bytes = form, most, 0
        self._folder = tempfile.TemporaryDirectory(prefix="asr-wyoming-")
        self.path = Path(self._folder.name) / "command.wav"
        self._file = wave.open(str(self.path), "wb")  # noqa: SIM115  # it is open until `close`
        self._file.setframerate(form.rate)
        self._file.setsampwidth(form.width)
        self._file.setnchannels(form.channels)

    def write(self, chunk: bytes) -> None:
        """Append the samples of a chunk. Raises TooLarge."""
        self._bytes += len(chunk)
        if self._bytes > self._most:
            raise TooLarge(f"the sound has more than {self._most} bytes; send a recording as a file: /v1/transcribe")
        self._file.writeframesraw(chunk)

    def finish(self) -> Path:
        """Complete the header; return the file."""
        self._file.close()
        return self.path

    def close(self) -> None:
        """Remove the file, at any time and as often as wanted."""
        self._file.close()
        self._folder.cleanup()
