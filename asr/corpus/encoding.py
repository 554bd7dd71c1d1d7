"""Samples as the bytes of an audio file: FLAC, which is lossless, and Opus. Equal samples give equal bytes."""

import hashlib
import io
from fractions import Fraction

import numpy as np
import soundfile

from asr.errors import AsrError

FORMATS = ("flac", "opus")
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz
_MONO_16_BIT = 0 << 5 | 15  # number of channels and of bits in the header of FLAC, each less 1
_OPUS_BITS = 32_000  # bits per second at most
_OPUS_BITS_PER_SAMPLE = 2


def require_encodable(format: str, sample_rate: int) -> None:
    """Raise AsrError for a format that is not written, or that cannot have this sample rate in Hz."""
    if format not in FORMATS:
        raise AsrError(f"--format {format}: must be {' or '.join(FORMATS)}")
    if format == "opus" and sample_rate not in OPUS_RATES:
        rates = ", ".join(map(str, OPUS_RATES))
        raise AsrError(f"--format opus: codes at {rates} Hz, not at {sample_rate} Hz; set --sample-rate, or use flac")


def encode(samples: np.ndarray, sample_rate: int, format: str) -> bytes:
    """Return int16 samples `(N,)` as the bytes of a file of one channel: `flac` or `opus`, which is lossy."""
    if format == "opus":
        return encode_opus(samples, sample_rate, min(_OPUS_BITS, _OPUS_BITS_PER_SAMPLE * sample_rate))
    return _flac(samples, sample_rate)


def encode_opus(samples: np.ndarray, sample_rate: int, bits_per_second: int, *, effort: int | None = None) -> bytes:
    """Return int16 samples `(N,)` at one of `OPUS_RATES` as an Ogg file of Opus.

    `effort` is what the encoder spends on quality, from 0, the fastest, to 10 (default: the encoder's own choice).
    """
    import av  # soundfile writes a random number into each file

    options = {"flags": "+bitexact"} | ({} if effort is None else {"compression_level": str(effort)})
    file = io.BytesIO()
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=sample_rate, options=options)
        stream.bit_rate = bits_per_second
        stream.codec_context.layout, stream.codec_context.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


def is_altered(content: bytes, samples: np.ndarray, sample_rate: int) -> bool:
    """Return True if int16 samples `(N,)`, decoded from `content`, are not those that were encoded.

    FLAC files hold a checksum of their samples, which decoders do not compare. False for all other formats, and for
    files of another rate, of several channels, or of more than 16 bits.
    """
    format, checksum = int.from_bytes(content[18:26], "big"), content[26:42]
    if content[:4] != b"fLaC" or not any(checksum) or format >> 36 != sample_rate << 8 | _MONO_16_BIT:
        return False
    found = hashlib.md5(samples.data, usedforsecurity=False).digest()
    return len(samples) != format & (1 << 36) - 1 or found != checksum


def _flac(samples: np.ndarray, sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
