"""Channels: no delay, no other length at any rate, what they do to a spectrum, and codecs beside other programs."""

import io
import typing

import av
import numpy as np
import pytest
import soxr

from asr.acoustics.channels import CHANNELS, through
from asr.config import Channel

CODECS = ("telephone", "gsm", "opus", "mp3", "narrow")


def speech_like(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Bursts of noise from 300 to 3000 Hz, which all channels transmit."""
    generator = np.random.default_rng(seed)
    count = round(seconds * 16000)
    spectrum = np.fft.rfft(generator.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / 16000)
    spectrum[(frequencies < 350) | (frequencies > 1800)] = 0
    envelope = np.abs(np.sin(2 * np.pi * 2.5 * np.arange(count) / 16000)) ** 3
    samples = np.fft.irfft(spectrum, count) * envelope
    samples = 0.5 * samples / np.abs(samples).max()
    return soxr.resample(samples, 16000, rate).astype(np.float32)


def delay(before: np.ndarray, after: np.ndarray) -> int:
    """Return the samples by which `after` follows `before`, by correlation."""
    size = 2 * len(before)
    correlation = np.fft.irfft(np.fft.rfft(before, size).conj() * np.fft.rfft(after, size))
    best = int(correlation.argmax())
    return best if best < len(before) else best - size


def test_the_configuration_offers_all_channels() -> None:
    assert tuple(CHANNELS) == typing.get_args(Channel)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", CHANNELS)
def test_length_and_time_stay(name: str, rate: int) -> None:
    samples = speech_like(1.0, rate)
    for strength in (0.0, 0.6, 0.999):
        changed = through(name, samples, rate, strength)
        assert changed.shape == samples.shape and changed.dtype == np.float32 and np.isfinite(changed).all()
        assert abs(delay(samples, changed)) <= rate * 0.0002, strength
        alike = np.corrcoef(samples, changed)[0, 1]
        assert alike > 0.7, (strength, alike)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("length", [1, 2, 39, 100, 161, 4001])
def test_short_recordings(name: str, length: int) -> None:
    samples = speech_like(1.0, 16000)[6000 : 6000 + length]
    assert through(name, samples, 16000, 0.7).shape == (length,)


@pytest.mark.parametrize("name", CHANNELS)
def test_silence_stays_silent_and_full_scale_is_no_error(name: str) -> None:
    assert np.abs(through(name, np.zeros(3000, np.float32), 16000, 0.2)).max() < 0.01
    square = np.sign(np.sin(2 * np.pi * 700 * np.arange(3000) / 16000)).astype(np.float32)
    assert np.isfinite(through(name, square, 16000, 0.2)).all()


@pytest.mark.parametrize("name", CHANNELS)
def test_equal_input_gives_equal_output(name: str) -> None:
    samples = speech_like(0.5, 16000)
    np.testing.assert_array_equal(through(name, samples, 16000, 0.3), through(name, samples, 16000, 0.3))


def level_db(samples: np.ndarray, low: float, high: float, rate: int = 16000) -> float:
    power = np.square(np.abs(np.fft.rfft(samples)))
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    return float(10 * np.log10(power[(frequencies >= low) & (frequencies < high)].sum() + 1e-9))


def test_a_telephone_transmits_its_band() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    changed = through("telephone", noise, 16000, 0.0)
    assert level_db(changed, 500, 3200) == pytest.approx(level_db(noise, 500, 3200), abs=0.5)
    for low, high in ((20, 150), (3900, 8000)):
        assert level_db(changed, low, high) < level_db(noise, low, high) - 15


def test_mu_law_and_a_law_beside_ffmpeg() -> None:
    """FFmpeg's G.711 of the samples that the band filter leaves; it may round a step of the codec another way."""
    from asr.acoustics import channels

    samples = speech_like(0.5, 8000)
    pcm = np.round(samples * 32768).astype(np.int16)
    for codec, subtype in (("pcm_mulaw", "ULAW"), ("pcm_alaw", "ALAW")):
        expected = through_ffmpeg(codec, pcm) / 32768
        found = channels._coded(pcm / np.float32(32768), 8000, "WAV", subtype)
        difference = np.abs(found - expected)
        assert (difference <= 0.07 * np.abs(expected) + 0.0005).all() and (difference < 1e-6).mean() > 0.6, codec


def through_ffmpeg(codec: str, pcm: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype(np.float64)


def test_gsm_decoded_by_ffmpeg_gives_nearly_the_samples_of_libsndfile() -> None:
    """The two decoders of GSM are independent of each other; FFmpeg decodes what libsndfile encoded."""
    import soundfile

    samples, file = speech_like(1.0, 8000), io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="GSM610")
    file.seek(0)
    with av.open(file) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    ours = through("gsm", samples, 8000, 0.0)
    count = min(len(decoded), len(ours))
    np.testing.assert_allclose(decoded[:count] / 32768, ours[:count], atol=0.01)


@pytest.mark.parametrize("name", ["opus", "mp3"])
def test_a_higher_strength_is_a_lower_bit_rate_and_more_distortion(name: str) -> None:
    samples = speech_like(2.0, 16000)
    errors = [np.square(through(name, samples, 16000, strength) - samples).mean() for strength in (0.0, 0.999)]
    assert errors[1] > 1.5 * errors[0]


def test_a_narrow_band_has_no_high_frequencies() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    for strength, edge in ((0.0, 6000), (0.999, 2004)):
        changed = through("narrow", noise, 16000, strength)
        assert level_db(changed, edge + 100, 8000) < level_db(noise, edge + 100, 8000) - 55
        assert level_db(changed, 100, 0.8 * edge) == pytest.approx(level_db(noise, 100, 0.8 * edge), abs=0.2)
    lower = through("narrow", noise, 4000, 0.999)
    assert level_db(lower, 1100, 2000, 4000) < level_db(noise, 1100, 2000, 4000) - 55


def test_clipping_clips_by_its_gain() -> None:
    samples = speech_like(1.0, 16000)
    for strength, gain in ((0.0, 2.0), (0.5, 10 ** (13 / 20))):
        changed = through("clipping", samples, 16000, strength)
        np.testing.assert_allclose(changed, (samples / np.abs(samples).max() * gain).clip(-1, 1), atol=0.01)
        assert np.abs(changed).max() == 1 and (np.abs(changed) == 1).mean() > 0.001


def test_a_quiet_recording_has_few_steps_of_16_bits() -> None:
    samples = speech_like(1.0, 16000)
    changed = through("quiet", samples, 16000, 0.999) * 32768
    np.testing.assert_array_equal(changed, changed.round())
    assert np.abs(changed).max() in (32, 33)
