"""Live sound, from a pipe or the microphone -> its sample rate in Hz, and blocks of samples."""

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
    """Read 16-bit sound from a pipe: a WAV of any rate and number of channels, or raw mono samples at `sample_rate` Hz.

    Returns the sample rate and int16 blocks `(channels, N)`. Raw samples are little-endian. Raises AudioError for
    any other container or sample size.
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
    """Record from the default microphone at its own sample rate, in int16 blocks `(1, N)`.

    Raises AsrError if there is no microphone, or no package sounddevice.
    """
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: sounddevice is installed, its library PortAudio is not
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
    """Turn bytes into int16 blocks `(channels, N)`; bytes that make no whole frame are dropped."""
    for chunk in chunks:
        samples = np.frombuffer(chunk[: len(chunk) // (2 * channels) * 2 * channels], "<i2")
        yield samples.reshape(-1, channels).T
