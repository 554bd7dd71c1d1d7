"""Sound that comes while it is recorded, from a pipe or the microphone -> its rate in Hz, and blocks of samples."""

import wave
from collections.abc import Iterator
from io import BufferedReader
from itertools import count

import numpy as np

from asr.errors import AsrError, AudioError

BLOCK_SECONDS = 0.1
_PIPE_HELP = "pipe WAV or raw samples of 16 bits, such as `ffmpeg -i FILE -f wav - | asr transcribe MODEL --stream -`"
_CONTAINERS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"FORM": "AIFF", b"caff": "CAF", b".snd": "AU"}


def piped(pipe: BufferedReader, sample_rate: int) -> tuple[int, Iterator[np.ndarray]]:
    """A WAV of any rate and number of channels, or without a header mono at `sample_rate`; little-endian, 16 bits.

    Blocks are int16 `(channels, N)`. Raises AudioError for what is neither.
    """
    head = pipe.peek(4)
    if head[:4] != b"RIFF":
        for magic, container in _CONTAINERS.items():
            if head.startswith(magic):
                raise AudioError(f"stdin: is {container}; {_PIPE_HELP}")
        return sample_rate, _blocks(iter(lambda: pipe.read(2 * round(BLOCK_SECONDS * sample_rate)), b""), 1)
    try:
        sound = wave.open(pipe)  # noqa: SIM115 - the pipe stays open while blocks come
    except (wave.Error, EOFError) as error:
        raise AudioError(f"stdin: a WAV that cannot be read ({error or 'it ends too early'}); {_PIPE_HELP}") from None
    if sound.getsampwidth() != 2:
        raise AudioError(f"stdin: a WAV of {8 * sound.getsampwidth()} bits; {_PIPE_HELP}")
    frames = round(BLOCK_SECONDS * sound.getframerate())
    return sound.getframerate(), _blocks(iter(lambda: sound.readframes(frames), b""), sound.getnchannels())


def microphone() -> tuple[int, Iterator[np.ndarray]]:
    """The default microphone at its own rate. Raises AsrError where there is none, or no sounddevice."""
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: it is there, its PortAudio is not
        raise AsrError(
            "--stream mic: needs the package sounddevice: pip install sounddevice (and on Linux: apt install "
            "libportaudio2); or pipe: arecord -f S16_LE -r 16000 -t wav | asr transcribe MODEL --stream -"
        ) from None
    try:
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
        stream = sounddevice.InputStream(samplerate=rate, channels=1, dtype="int16")
        stream.start()
    except sounddevice.PortAudioError as error:
        raise AsrError(f"--stream mic: no microphone can be opened: {error}") from None
    return rate, (stream.read(round(BLOCK_SECONDS * rate))[0].T for _ in count())


def _blocks(chunks: Iterator[bytes], channels: int) -> Iterator[np.ndarray]:
    """Whole frames of bytes -> int16 `(channels, N)`; half a frame at the end is left out."""
    for chunk in chunks:
        samples = np.frombuffer(chunk[: len(chunk) // (2 * channels) * 2 * channels], "<i2")
        yield samples.reshape(-1, channels).T
