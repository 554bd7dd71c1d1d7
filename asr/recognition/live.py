"""Live sound, from a pipe or the microphone -> its sample rate in Hz, and blocks of samples."""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from itertools import count

import numpy as np

from asr.containers import HEAD, container_of, is_unknown, not_audio
from asr.decoders import TOLERANCE
from asr.errors import AsrError, AudioError
from asr.extras import install_command

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 0.1
_PIPE_HELP = (
    "transcribe it as a whole: … | asr transcribe MODEL - (any format), or pipe WAV or raw samples of 16 bits: "
    "ffmpeg -i FILE -f wav - | asr transcribe MODEL --stream -"
)
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE  # format tags of WAV
_SAMPLE_TYPES = {(_PCM, 8): "u1", (_PCM, 16): "i2", (_PCM, 32): "i4", (_FLOAT, 32): "f4", (_FLOAT, 64): "f8"}


@dataclass(frozen=True, slots=True)
class _Wave:
    """The header of a WAV file."""

    sample_rate: int  # Hz
    channels: int
    tag: int
    bits: int
    order: str  # "<" or ">"
    size: int | None  # bytes of samples; None if the header does not state it

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8


def piped(pipe: BufferedReader, sample_rate: int) -> tuple[int, Iterator[np.ndarray]]:
    """Read sound from a pipe: a WAV of any rate and number of channels, or raw samples at `sample_rate` Hz.

    A WAV holds integers of 8 to 32 bits or floating point, in RIFF, RIFX or RF64, with or without a size. Raw samples
    are mono, little-endian, 16 bits. Returns the sample rate and blocks `(channels, N)`: int16 for samples of 16 bits,
    else float32. Raises AudioError for any other container, which it knows by the first bytes.
    """
    head = pipe.peek(HEAD)[:HEAD]
    container = container_of(head)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        header = _read_header(pipe)
        return header.sample_rate, _wave_blocks(pipe, header)
    if container is not None or (what := not_audio(head)) is not None:
        raise AudioError(f"stdin: is {container or what}, which a stream cannot hold; {_PIPE_HELP}")
    raw = _Wave(sample_rate, 1, _PCM, 16, "<", None)
    return sample_rate, _wave_blocks(pipe, raw)


def microphone() -> tuple[int, Iterator[np.ndarray]]:
    """Record from the default microphone at its own sample rate, in int16 blocks `(1, N)`.

    Raises AsrError if there is no microphone, or no package sounddevice.
    """
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: sounddevice is installed, its library PortAudio is not
        raise AsrError(
            f"--stream mic: needs the package sounddevice: {install_command('microphone')} (and on Linux: apt install "
            "libportaudio2); or pipe: arecord -f S16_LE -r 16000 -t wav | asr transcribe MODEL --stream -"
        ) from None
    try:
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
        stream = sounddevice.InputStream(samplerate=rate, channels=1, dtype="int16")
        stream.start()
    except sounddevice.PortAudioError as error:
        raise AsrError(f"--stream mic: no microphone can be opened: {error}") from None
    return rate, (stream.read(round(BLOCK_SECONDS * rate))[0].T for _ in count())


def _read_header(pipe: BufferedReader) -> _Wave:
    """Read the header of a WAV file up to its samples. Raises AudioError for a header without them."""
    magic, _, form = struct.unpack("<4sI4s", _exactly(pipe, 12))
    order = ">" if magic == b"RIFX" else "<"
    fields: tuple[int, ...] = ()
    tag = 0
    while form == b"WAVE":
        kind, size = struct.unpack(f"{order}4sI", _exactly(pipe, 8))
        if kind == b"data":
            break
        content = _exactly(pipe, size + size % 2)
        if kind == b"fmt " and size >= 16:
            fields = struct.unpack_from(f"{order}HHIIHH", content)
            tag = fields[0]
            if tag == _EXTENSIBLE and size >= 26:
                tag = struct.unpack_from(f"{order}H", content, 24)[0]
    if len(fields) != 6 or not fields[1] or not fields[2]:
        raise AudioError(f"stdin: a WAV without a header of its samples; {_PIPE_HELP}")
    _, channels, rate, _, _, bits = fields
    if (tag, bits) not in _SAMPLE_TYPES and (tag, bits) != (_PCM, 24):
        raise AudioError(f"stdin: a WAV of {bits} bits with format {tag}, which a stream cannot hold; {_PIPE_HELP}")
    return _Wave(rate, channels, tag, bits, order, None if is_unknown(size) else size)


def _exactly(pipe: BufferedReader, count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise AudioError(f"stdin: a WAV that cannot be read (it ends in its header); {_PIPE_HELP}")
    return content


def _wave_blocks(pipe: BufferedReader, wave: _Wave) -> Iterator[np.ndarray]:
    """Yield samples as blocks `(channels, N)`; bytes at the end that make no whole frame are dropped."""
    step, taken = round(BLOCK_SECONDS * wave.sample_rate) * wave.frame, 0
    while chunk := pipe.read(step if wave.size is None else min(step, wave.size - taken)):
        taken += len(chunk)
        yield _decoded(chunk[: len(chunk) // wave.frame * wave.frame], wave).reshape(-1, wave.channels).T
    missing = (wave.size or 0) - taken
    if wave.size is not None and missing > TOLERANCE * wave.sample_rate * wave.frame:
        seconds = (size / wave.sample_rate / wave.frame for size in (wave.size, taken))
        logger.warning("stdin: its header promises %.1f s, %.1f s came", *seconds)


def _decoded(chunk: bytes, wave: _Wave) -> np.ndarray:
    """Turn bytes into int16 samples if they have 16 bits, else into float32."""
    if wave.bits == 24:  # NumPy has no such type: put each sample into the upper bytes of 32 bits
        wide = np.zeros((len(chunk) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(chunk, np.uint8).reshape(-1, 3)[:, :: 1 if wave.order == "<" else -1]
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    samples = np.frombuffer(chunk, wave.order + _SAMPLE_TYPES[wave.tag, wave.bits])
    if wave.bits == 8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    if wave.bits == 16:
        return samples.astype(np.int16)
    return (samples / 2.0 ** (31 if wave.tag == _PCM else 0)).astype(np.float32)
