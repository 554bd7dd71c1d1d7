"""The inspection of one recording: figures against numpy, damaged and lying files, flat memory."""

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import RATE, encoded, speech, wav

from asr.audio import load_audio
from asr.corpus.check_audio import Figures, inspect_file
from asr.corpus.check_verdicts import VERDICTS
from asr.errors import AudioError
from asr.lengths import resampled_length


def figures(path: Path, part: tuple[float, float | None] = (0.0, None)) -> Figures:
    (inspection,) = inspect_file(path, [part])
    assert inspection.figures is not None, inspection
    return inspection.figures


def test_figures_against_plain_numpy(tmp_path: Path) -> None:
    """The figures of a recording of several blocks, whole and in parts, equal those of numpy."""
    stereo = np.stack([speech(40.0, 1), 0.3 * speech(40.0, 2) + 0.002], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, RATE)
    samples, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
    for start, stop in ((0, 40), (0.5, 39.25), (17, 17.5)):
        cut = samples[round(start * RATE) : round(stop * RATE)]
        result = figures(tmp_path / "x.wav", (start, stop - start))
        mono, levels = cut.mean(axis=1), cut.std(axis=0)
        assert (result.num_samples, result.channels, result.bits) == (len(cut), 2, 16)
        assert result.peak == pytest.approx(np.abs(cut).max(), abs=1e-5)
        assert result.rms == pytest.approx(mono.std(), rel=1e-3)
        assert result.dc_offset == pytest.approx(cut.mean(axis=0)[1], abs=1e-5)
        assert result.balance == pytest.approx(levels[1] / levels[0], rel=1e-3)
        assert result.correlation == pytest.approx(np.corrcoef(cut.T)[0, 1], abs=1e-3)


def test_clipping_counts_flat_tops_not_loud_ones(tmp_path: Path) -> None:
    flat = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)  # 160 samples per period
    soundfile.write(tmp_path / "x.wav", (2 * flat).clip(-0.9, 0.9), RATE)
    share = 1 - 2 * np.arcsin(0.45) / np.pi
    assert figures(tmp_path / "x.wav").clipped == pytest.approx(share, abs=0.02)
    soundfile.write(tmp_path / "x.wav", 0.999 * np.sin(2 * np.pi * 1000.3 * np.arange(RATE) / RATE), RATE)
    assert figures(tmp_path / "x.wav").clipped == 0


def test_same_content_in_every_lossless_format(tmp_path: Path) -> None:
    contents = set()
    for container, subtype in (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")):
        path = tmp_path / f"x.{subtype}"
        path.write_bytes(encoded(np.round(speech(1.0, 3) * 32768) / 32768, container, subtype))
        contents.add(figures(path).content)
    assert len(contents) == 1
    soundfile.write(tmp_path / "y.wav", speech(1.0, 4), RATE)
    assert figures(tmp_path / "y.wav").content not in contents


def test_parts_before_damage_are_usable(tmp_path: Path) -> None:
    whole = encoded(speech(10.0, 5), "FLAC", "PCM_16")
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    early, late, all_of_it = inspect_file(tmp_path / "cut.flac", [(0.5, 2.0), (6.0, 2.0), (0.0, None)])
    assert early.figures and early.figures.duration == 2.0
    assert late.fault == all_of_it.fault and late.fault in ("truncated", "unreadable")


def test_a_recording_longer_than_its_header_is_doubtful(tmp_path: Path) -> None:
    """The doubt is a figure, so that a check that reads it from a cache still tells it."""
    (tmp_path / "x.wav").write_bytes(wav(bytes(2 * 3 * RATE), 2 * 2 * RATE))
    assert figures(tmp_path / "x.wav").doubt == "its header states 2.0 s, the file holds 3.0 s"
    (tmp_path / "y.wav").write_bytes(wav(bytes(2 * 3 * RATE), 2 * 3 * RATE))
    assert figures(tmp_path / "y.wav").doubt == ""


def test_resampled_length_is_that_of_the_audio_loaded() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        source, target = (int(rate) for rate in generator.choice([8000, 11025, 16000, 22050, 24000, 44100, 48000], 2))
        samples = np.zeros(int(generator.integers(100, 9000)), np.float32)
        assert len(load_audio(samples, target, source_rate=source)) == resampled_length(len(samples), source, target)


SOUND = speech(1.0, 7, 8000)


FORMATS = {
    "wav": encoded(SOUND, "WAV", "PCM_16", 8000),
    "wav-extensible": encoded(np.outer(SOUND, (1, 0.5)), "WAVEX", "PCM_24", 8000),
    "wav-float": encoded(SOUND, "WAV", "FLOAT", 8000),
    "flac": encoded(SOUND, "FLAC", "PCM_16", 8000),
    "vorbis": encoded(SOUND, "OGG", "VORBIS", 8000),
    "opus": encoded(SOUND, "OGG", "OPUS", 8000),
    "aiff": encoded(SOUND, "AIFF", "PCM_16", 8000),
}


@pytest.mark.parametrize("name", FORMATS)
@settings(
    max_examples=40, deadline=20_000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255) | st.sampled_from([0, 0x7F, 0x80, 0xFF]))),
    length=st.none() | st.integers(0, 8000),
)
def test_damaged_headers_end_in_a_verdict(
    name: str, flips: list[tuple[int, int]], length: int | None, tmp_path: Path
) -> None:
    content = bytearray(FORMATS[name])
    for position, value in flips:
        content[position % len(content)] = value
    path = tmp_path / "damaged"
    path.write_bytes(content[:length])
    tracemalloc.start()
    try:
        (inspection,) = inspect_file(path, [(0.0, None)])
        try:
            assert np.isfinite(load_audio(path, 16000)).all()
        except AudioError as error:
            assert str(path) in str(error)
            assert inspection.fault in ("", error.fault)
        else:
            assert inspection.figures
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert inspection.figures or (inspection.fault in VERDICTS and inspection.message)


def flac_that_promises(samples: int) -> bytes:
    content = bytearray(FORMATS["flac"])
    content[21:26] = bytes([content[21] & 0xF0 | samples >> 32]) + (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def wave64_that_promises(size: int) -> bytes:
    content = bytearray(encoded(SOUND, "W64", "PCM_16", 8000))
    at = content.index(b"data") + 16
    content[at : at + 8] = size.to_bytes(8, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        lambda: wav(bytes(1000), 2**31 - 1000),
        lambda: flac_that_promises(2**31),
        lambda: flac_that_promises(2**36 - 1),
        lambda: wave64_that_promises(2**40),
        lambda: encoded(SOUND, "AU", "PCM_16", 8000).replace(struct.pack(">I", 16000), struct.pack(">I", 2**31), 1),
        lambda: wav(SOUND.astype("<i2").tobytes(), 16000, rate=1),
    ],
    ids=["wav", "flac", "flac-most", "w64", "au", "1-hertz"],
)  # fmt: skip
def test_a_header_that_promises_gigabytes_costs_no_memory(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "boast"
    path.write_bytes(make())
    tracemalloc.start()
    (inspection,) = inspect_file(path, [(0.0, None)])
    try:
        load_audio(path, 16000)
    except AudioError:
        assert inspection.fault
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert inspection.fault or inspection.figures


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        for number in range(3):
            file.write(speech(60.0, number))
    tracemalloc.start()
    inspections = inspect_file(tmp_path / "long.flac", [(float(start), 10.0) for start in range(0, 180, 10)])
    assert tracemalloc.get_traced_memory()[1] < 4e6  # the whole recording would take 11.5 MB
    tracemalloc.stop()
    assert all(inspection.figures and inspection.figures.duration == 10 for inspection in inspections)


def test_folders_pipes_and_odd_names(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for name in ("folder.wav", "x" * 300, "lone \ud800 surrogate"):
        (inspection,) = inspect_file(tmp_path / name, [(0.0, None)])
        assert inspection.fault in ("unreadable", "missing audio") and inspection.message
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        assert inspect_file(tmp_path / "pipe.wav", [(0.0, None)])[0].fault == "unreadable"
