"""Audio input: every format, arrays and tensors, parts, channels, resampling, and hostile files."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr.audio import load_audio
from asr.errors import AudioError

SECOND = 0.5 * np.sin(2 * np.pi * 300 * np.arange(8000) / 8000)
# Container, subtype, and largest difference from the samples written.
FORMATS = {
    "wav-8": ("WAV", "PCM_U8", 1e-2),
    "wav-16": ("WAV", "PCM_16", 4e-5),
    "wav-24": ("WAV", "PCM_24", 4e-5),
    "wav-32": ("WAV", "PCM_32", 4e-5),
    "wav-float": ("WAV", "FLOAT", 4e-5),
    "wav-double": ("WAV", "DOUBLE", 4e-5),
    "wav-extensible": ("WAVEX", "PCM_16", 4e-5),
    "wav-ulaw": ("WAV", "ULAW", 2e-2),
    "flac": ("FLAC", "PCM_16", 4e-5),
    "vorbis": ("OGG", "VORBIS", 0.1),
    "opus": ("OGG", "OPUS", 0.1),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.1),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, tmp_path: Path) -> None:
    """The content decides, not the file extension: each format is also read with a wrong extension."""
    container, subtype, tolerance = FORMATS[name]
    for extension in (name.split("-")[0], "wav", "txt"):
        path = tmp_path / f"recording.{extension}"
        soundfile.write(path, SECOND, 8000, format=container, subtype=subtype)
        samples = load_audio(path, 8000)
        assert samples.dtype == np.float32 and abs(len(samples) - 8000) <= 8000 * 0.2 * (name == "mp3")
        middle = slice(2000, 6000)
        assert np.abs(samples[middle]).max() == pytest.approx(0.5, abs=max(tolerance, 0.01))
        if tolerance < 0.05:
            np.testing.assert_allclose(samples, SECOND, atol=tolerance)


def test_resampling_keeps_a_tone_and_removes_what_would_alias(tmp_path: Path) -> None:
    time = np.arange(44100) / 44100
    path = tmp_path / "x.wav"
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * 1000 * time) + 0.4 * np.sin(2 * np.pi * 9000 * time), 44100)
    samples = load_audio(path, 16000)
    assert len(samples) == 16000
    spectrum = np.abs(np.fft.rfft(samples)) / 8000  # 1 Hz per bin
    assert spectrum[1000] == pytest.approx(0.4, abs=0.01)
    assert spectrum[7000] < 1e-3


def test_stereo_is_averaged_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([SECOND, 0.2 * SECOND], axis=1), 8000)
    with caplog.at_level("INFO"):
        np.testing.assert_allclose(load_audio(path, 8000), 0.6 * SECOND, atol=1e-4)
    assert "2 channels averaged" in caplog.text and str(path) in caplog.text


def test_arrays_and_tensors_equal_the_file(tone: Path) -> None:
    expected = load_audio(tone, 16000)
    integers, _ = soundfile.read(tone, dtype="int16")
    for source in (integers, expected, torch.from_numpy(expected), expected[None], torch.from_numpy(integers)):
        np.testing.assert_array_equal(load_audio(source, 16000, source_rate=16000), expected)


def test_offset_and_duration(tone: Path) -> None:
    whole = load_audio(tone, 16000)
    np.testing.assert_array_equal(load_audio(tone, 16000, offset=0.25, duration=0.5), whole[4000:12000])
    with pytest.raises(AudioError, match=r"offset 3 s lies outside its 1\.00 s"):
        load_audio(tone, 16000, offset=3)


def test_a_peak_over_full_scale_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 8 * SECOND, 8000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path, 8000), 2 * SECOND, atol=1e-4)


def wav(data: bytes, promised: int | None = None) -> bytes:
    size = len(data) if promised is None else promised
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return head + struct.pack("<4sI", b"data", size) + data


def encoded(samples: np.ndarray, container: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format=container, subtype=subtype)
    return buffer.getvalue()


NOISE = np.random.default_rng(0).uniform(-1, 1, 16000)
TWO_SECONDS = (np.random.default_rng(0).standard_normal(16000) * 3000).astype("<i2").tobytes()
HOSTILE = {
    "empty": (b"", "is empty"),
    "header only": (wav(b""), "0 samples"),
    "no data chunk": (wav(b"")[:36], "without audio data"),
    "half a header": (wav(b"")[:20], "WAV header without audio data"),
    "truncated": (wav(TWO_SECONDS[:8000], promised=32000), r"promises 2\.0 s, the data holds 0\.5 s"),
    "truncated flac": (encoded(NOISE, "FLAC", "PCM_16")[:9000], r"promises 2\.0 s, the data holds 0\.[0-9] s"),
    "NaN": (encoded(np.where(np.arange(8000) == 77, np.nan, 0.1), "WAV", "FLOAT"), "sample 77 is not a finite"),
    "infinity": (encoded(np.where(np.arange(8000) == 5, np.inf, 0.1), "WAV", "FLOAT"), "sample 5 is not a finite"),
    "page": (b"<!doctype html><html>404</html>", "is an HTML page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "text file": (b"This is not a recording.\n" * 20, "is not a recording"),
    "zeros": (bytes(5000), "is not a recording"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_named_with_a_cure(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / "hostile.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message) as caught:
        load_audio(path, 16000)
    assert str(path) in str(caught.value)


def test_streamed_wav_with_unknown_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "streamed.wav"
    path.write_bytes(wav(TWO_SECONDS, promised=0xFFFFFFFF - 36))
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))
    assert len(load_audio(path, 8000)) == 16000


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        load_audio(tmp_path / "nothing.wav", 16000)
    with pytest.raises(AudioError, match="is a folder"):
        load_audio(tmp_path, 16000)


def test_bad_arrays() -> None:
    with pytest.raises(AudioError, match="sample rate is not known"):
        load_audio(np.zeros(10, np.float32), 16000)
    with pytest.raises(AudioError, match="transpose"):
        load_audio(np.zeros((1000, 2), np.float32), 16000, source_rate=16000)
    with pytest.raises(AudioError, match="shape"):
        load_audio(np.zeros(0, np.float32), 16000, source_rate=16000)
    with pytest.raises(AudioError, match="complex"):
        load_audio(np.zeros(9, np.complex64), 16000, source_rate=16000)
