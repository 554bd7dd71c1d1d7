"""Channels: what a recording passes through after the microphone. Lengths never change, and nothing is delayed.

Codecs are those of libsndfile and of FFmpeg: samples are encoded and decoded in memory.
"""

import io
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

from asr.corpus.encoding import encode_opus

_TELEPHONE = 8000  # Hz
_BAND = 300.0, 3400.0  # Hz that a telephone transmits
_TAPS = 129  # taps of the filter of a telephone
_WIDE = 16000  # Hz at which voice messages and MP3 are coded here
_OPUS_BITS = 8_000, 24_000  # bits per second
_MP3_LEVELS = 0.3, 0.99  # levels of libsndfile for a variable bit rate: about 49 and 22 kbit/s
_EDGE = 2000.0, 6000.0  # Hz, the highest frequency of a narrow band; at most
_EDGE_SHARE = 0.25, 0.45  # shares of the sample rate
_GAIN_DB = 6.0, 20.0  # dB by which a clipped recording exceeds full scale
_QUIET_DB = 36.0, 60.0  # dB by which the peak of a quiet recording is below full scale

Change = Callable[[np.ndarray, int, float], np.ndarray]


def through(name: str, samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Pass samples `(N,)` in [-1, 1] at `sample_rate` Hz through a channel of `CHANNELS`; return `(N,)`.

    `strength` in [0, 1) chooses among the variants of the channel: codec, bit rate, band, gain.
    """
    return CHANNELS[name](samples, sample_rate, strength).astype(np.float32)


def telephone(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Transmit 300 to 3400 Hz in 8 bits (G.711): mu-law as in America and Japan, or A-law as elsewhere."""
    from scipy.signal import firwin, oaconvolve  # a slow import

    taps = firwin(_TAPS, _BAND, pass_zero=False, fs=_TELEPHONE).astype(np.float32)

    def transmit(narrow: np.ndarray) -> np.ndarray:
        band = oaconvolve(narrow, taps, mode="full")[_TAPS // 2 :][: len(narrow)]
        return _coded(band, _TELEPHONE, "WAV", "ULAW" if strength < 0.5 else "ALAW")

    return _at_rate(samples, sample_rate, _TELEPHONE, transmit)


def gsm(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Transmit 13 kbit/s as the first mobile telephones do (GSM 06.10)."""
    return _at_rate(samples, sample_rate, _TELEPHONE, lambda narrow: _coded(narrow, _TELEPHONE, "WAV", "GSM610"))


def opus(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Code as voice messages and internet calls do: Opus, 8 to 24 kbit/s."""
    bits = round(_OPUS_BITS[1] + strength * (_OPUS_BITS[0] - _OPUS_BITS[1]))

    def code(wide: np.ndarray) -> np.ndarray:
        content = encode_opus((_fitting(wide) * 32767).astype(np.int16), _WIDE, bits, effort=0)
        return _decoded(io.BytesIO(content))

    return _at_rate(samples, sample_rate, _WIDE, code)


def mp3(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Code as MP3 of a low bit rate."""
    level = _MP3_LEVELS[0] + strength * (_MP3_LEVELS[1] - _MP3_LEVELS[0])
    # With a constant bit rate, low rates lack the header that states the delay of the encoder.
    options = {"compression_level": level, "bitrate_mode": "VARIABLE"}
    return _at_rate(samples, sample_rate, _WIDE, lambda wide: _coded(wide, _WIDE, "MP3", "MPEG_LAYER_III", **options))


def narrow(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Cut high frequencies, as a recording of a lower sample rate does: above 2 to 6 kHz, at 16 kHz and more."""
    low, high = (min(edge, share * sample_rate) for edge, share in zip(_EDGE, _EDGE_SHARE, strict=True))
    return _at_rate(samples, sample_rate, round(2 * (high + strength * (low - high))), lambda few: few)


def clipping(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Clip as a recording level that is 6 to 20 dB too high does."""
    peak = np.abs(samples).max()
    gain = 10 ** ((_GAIN_DB[0] + strength * (_GAIN_DB[1] - _GAIN_DB[0])) / 20)
    return (samples * np.float32(gain / peak)).clip(-1, 1) if peak else samples


def quiet(samples: np.ndarray, sample_rate: int, strength: float) -> np.ndarray:
    """Lower the peak to -36 to -60 dB and round to 16 bits, as a recording level that is far too low does."""
    peak = np.abs(samples).max()
    gain = 10 ** (-(_QUIET_DB[0] + strength * (_QUIET_DB[1] - _QUIET_DB[0])) / 20)
    return np.round(samples * np.float32(32768 * gain / peak)) / np.float32(32768) if peak else samples


CHANNELS: dict[str, Change] = {
    function.__name__: function for function in (telephone, gsm, opus, mp3, narrow, clipping, quiet)
}


def _at_rate(
    samples: np.ndarray, sample_rate: int, rate: int, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Apply `change`, which may add samples at the end, at another rate in Hz; return as many samples as there were."""
    if sample_rate == rate:
        return _of_length(change(samples), len(samples))
    resampled = soxr.resample(samples, sample_rate, rate)
    changed = _of_length(change(resampled), len(resampled)) if len(resampled) else resampled
    return _of_length(soxr.resample(changed, rate, sample_rate), len(samples))


def _of_length(samples: np.ndarray, length: int) -> np.ndarray:
    return np.pad(samples, (0, max(0, length - len(samples))))[:length]


def _fitting(samples: np.ndarray) -> np.ndarray:
    """Scale samples down if they exceed full scale, which filters may do."""
    return samples / max(1.0, float(np.abs(samples).max()))


def _coded(samples: np.ndarray, rate: int, format: str, subtype: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, format=format, subtype=subtype, **options) as sound:
        sound.write(_fitting(samples))
    file.seek(0)
    return _decoded(file)


def _decoded(file: io.BytesIO) -> np.ndarray:
    samples: np.ndarray = soundfile.read(file, dtype="float32")[0]
    return samples
