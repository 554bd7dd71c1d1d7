"""Recordings as programs write them: wrong, missing and unknown sizes, chains and cuts, and what every reader does.

Each case states how many seconds there are, and whether they are read as they are or only with `salvage`.
"""

import io
import json
import logging
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer

import asr
from asr.audio import load_audio
from asr.cli import app
from asr.cli.inputs import find_recordings
from asr.containers import Spliced, container_of, layout_of, mp3_seconds
from asr.corpus.check_audio import inspect_file
from asr.corpus.pack import pack
from asr.decoders import open_recording
from asr.errors import AsrError, AudioError
from asr.recognition.longform import RecordingEnd, read_pieces
from asr.recognition.trained_lengths import piece_lengths
from asr.utterance import Utterance

RATE = 16000
SECONDS = 3
SOUND = 0.3 * np.sin(2 * np.pi * np.cumsum(np.linspace(200, 900, SECONDS * RATE)) / RATE)
SAMPLES = (SOUND * 32768).astype("<i2")


def encoded(container: str, subtype: str | None = None, samples: np.ndarray = SOUND, **options: object) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=container, subtype=subtype, **options)
    return buffer.getvalue()


def av_encoded(container: str, codec: str) -> bytes:
    """A recording in a container that soundfile cannot write."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        rate, bit_rate = {"libopus": (48000, 64000), "libopencore_amrnb": (8000, 12200)}.get(codec, (RATE, 32000))
        stream = output.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(SAMPLES[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def wav(
    size: int | None = None, riff: int | None = None, *, order: str = "<", data: bytes = b"", tail: bytes = b""
) -> bytes:
    data = data or SAMPLES.astype(f"{order}i2").tobytes()
    size = len(data) if size is None else size
    magic = b"RIFF" if order == "<" else b"RIFX"
    riff = min(36 + size, 2**32 - 1) if riff is None else riff
    head = struct.pack(f"{order}4sI4s4sIHHIIHH", magic, riff, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return head + struct.pack(f"{order}4sI", b"data", size) + data + tail


def rf64(size: int) -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, size + 72, size, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + sizes + fmt + b"data\xff\xff\xff\xff" + SAMPLES.tobytes()


def without_xing(mp3: bytes) -> bytes:
    """An MP3 as programs write it into a pipe: without the frame that states the length."""
    return mp3[mp3.index(b"\xff\xf3", 4) :]


def patched(content: bytes, position: int, value: bytes) -> bytes:
    return content[:position] + value + content[position + len(value) :]


def part(content: bytes, share: float = 0.6) -> bytes:
    return content[: int(share * len(content))]


FLAC, OGG, OPUS, MP3 = encoded("FLAC"), encoded("OGG", "VORBIS"), encoded("OGG", "OPUS"), encoded("MP3")
AIFF, CAF, AU, W64 = encoded("AIFF"), encoded("CAF"), encoded("AU"), encoded("W64")
LIST = b"LIST\x0e\0\0\0INFOISFT\x02\0\0\0a\0"
BYTES = 2 * len(SAMPLES)
# Content, seconds that are there.
WHOLE: dict[str, tuple[bytes, float]] = {
    **{f"size {size:#x}": (wav(size), 3) for size in (0, 0xFFFFFFFF, 0xFFFFFFD8, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)},
    **{f"surplus {more}": (wav(BYTES + more), 3) for more in (1, 2, 8, 1000, 3000)},
    "riff size 0": (wav(riff=0), 3),
    "list after": (wav(tail=LIST), 3),
    "tag after": (wav(tail=b"ID3\x03" + bytes(9000)), 3),
    "odd": (wav(data=SAMPLES.tobytes() + b"\1"), 3),
    "stale size": (wav(BYTES // 2), 3),
    "two data chunks": (wav(tail=struct.pack("<4sI", b"data", BYTES) + SAMPLES.tobytes()), 6),
    "two files": (wav() + wav(), 6),
    "rifx": (wav(order=">"), 3),
    "rifx, size 0": (wav(0, order=">"), 3),
    "rf64": (rf64(BYTES), 3),
    "rf64, size 0": (rf64(0), 3),
    "w64": (W64, 3),
    "w64, size 0": (patched(W64, W64.index(b"data") + 16, bytes(8)), 3),
    "au, size 0": (patched(AU, 8, bytes(4)), 3),
    "au, size unknown": (patched(AU, 8, b"\xff" * 4), 3),
    "aiff, size 0": (patched(patched(AIFF, AIFF.index(b"SSND") + 4, bytes(4)), AIFF.index(b"COMM") + 10, bytes(4)), 3),
    "caf, size unknown": (patched(CAF, CAF.index(b"data") + 4, b"\xff" * 8), 3),
    "sphere": (encoded("NIST"), 3),
    "alac": (encoded("CAF", "ALAC_16"), 3),
    "flac without a total": (patched(FLAC, 21, bytes([FLAC[21] & 0xF0, 0, 0, 0, 0])), 3),
    "flac after a tag": (b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + FLAC, 3),
    "two flacs": (FLAC + FLAC, 6),
    "two oggs": (OGG + OGG, 6),
    "ogg and opus": (OPUS, 3),
    "mp3": (MP3, 3),
    "mp3 without xing": (without_xing(MP3), 3),
    "vbr mp3 without xing": (without_xing(encoded("MP3", bitrate_mode="VARIABLE", compression_level=0.3)), 3),
    "two mp3s": (MP3 + MP3, 6),
    "mp3 after zeros": (bytes(3000) + MP3, 3),
    "m4a": (av_encoded("mp4", "aac"), 3),
    "webm": (av_encoded("webm", "libopus"), 3),
    "mkv": (av_encoded("matroska", "pcm_s16le"), 3),
    "adts": (av_encoded("adts", "aac"), 3),
    "wma": (av_encoded("asf", "wmav2"), 3),
    "avi": (av_encoded("avi", "pcm_s16le"), 3),
    "mov": (av_encoded("mov", "pcm_s16le"), 3),
    "amr": (av_encoded("amr", "libopencore_amrnb"), 3),
}  # fmt: skip
CUT: dict[str, tuple[bytes, float]] = {
    "wav": (part(wav()), 1.8),
    "rifx": (part(wav(order=">")), 1.8),
    "rf64": (part(rf64(BYTES)), 1.8),
    "w64": (part(W64), 1.8),
    "au": (part(AU), 1.8),
    "aiff": (part(AIFF), 1.8),
    "caf": (CAF[: -int(0.4 * BYTES)], 1.8),
    "sphere": (part(encoded("NIST")), 1.8),
    "24 bits": (part(encoded("WAV", "PCM_24")), 1.8),
    "adpcm": (part(encoded("WAV", "IMA_ADPCM")), 1.8),
    "flac": (part(FLAC), 1.8),
    "mp3": (part(MP3), 1.8),
    "opus": (part(OPUS), 1.8),
}


def written(folder: Path, content: bytes, name: str = "recording") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def longform_seconds(path: Path, *, salvage: bool = False) -> float:
    items = read_pieces(
        Utterance("u", path),
        "mix",
        sample_rate=RATE,
        stride=480,
        lengths=piece_lengths(None, utterance=False),
        equalized=lambda samples, _: samples,
        salvage=salvage,
    )
    last = [item for _, item in items][-1]
    if isinstance(last, AudioError):
        raise last
    assert isinstance(last, RecordingEnd)
    return last.seconds


def test_an_ogg_that_ends_between_two_pages_is_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No size tells that such a copy is cut: the last page alone says whether the stream ends there."""
    whole = encoded("OGG", "VORBIS", np.tile(SOUND, 10))
    pages = [at for at in range(len(whole)) if whole[at : at + 4] == b"OggS"]
    load_audio(written(tmp_path, whole, "whole"), RATE)
    assert not caplog.records
    assert len(load_audio(written(tmp_path, whole[: pages[-2]], "cut"), RATE)) > 20 * RATE
    assert "its last page is not marked as the last: its end may be missing; all is read" in caplog.text


@pytest.mark.parametrize("name", WHOLE)
def test_checking_packing_transcribing_and_loading_read_all_there_is(name: str, tmp_path: Path) -> None:
    content, seconds = WHOLE[name]
    path = written(tmp_path, content)
    samples = load_audio(path, RATE)
    assert len(samples) / RATE == pytest.approx(seconds, abs=0.2)
    np.testing.assert_allclose(samples[8000:30000].std(), SOUND[8000:30000].std(), rtol=0.25 if name == "amr" else 0.05)
    assert longform_seconds(path) == len(samples) / RATE
    (inspection,) = inspect_file(path, [(0.0, None)])
    assert inspection.figures is not None
    assert inspection.figures.duration == pytest.approx(len(samples) / RATE, abs=1e-4)
    (packed,) = (pack([Utterance("u", path)], RATE, tmp_path / "p.arrow"),)
    np.testing.assert_array_equal(packed.audio(0), samples)


@pytest.mark.parametrize("name", CUT)
def test_cut_recordings_are_refused_with_both_lengths_and_salvaged(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, seconds = CUT[name]
    path = written(tmp_path, content)
    readers: list[Callable[[], object]] = [lambda: load_audio(path, RATE), lambda: longform_seconds(path)]
    for reader in readers:
        with pytest.raises(AudioError, match=r"truncated: .*the data holds [12].[0-9] s; .*--salvage") as caught:
            reader()
        assert caught.value.fault == "truncated" and ("header promises 3." in str(caught.value)) == (name != "opus")
    assert inspect_file(path, [(0.0, None)])[0].fault == "truncated"
    assert inspect_file(path, [(0.0, 0.5)])[0].figures is not None  # wholly before the cut
    packed = pack([Utterance("whole", path), Utterance("part", path, duration=0.5)], RATE, tmp_path / "p.arrow")
    assert [utterance.id for utterance in packed.utterances] == ["part"]
    samples = load_audio(path, RATE, salvage=True)
    assert len(samples) / RATE == pytest.approx(
        seconds, abs={"opus": 0.9, "flac": 0.3}.get(name, 0.2)
    )  # s of a page, a block
    assert longform_seconds(path, salvage=True) == len(samples) / RATE
    assert "truncated" in caplog.text and "what is there is read" in caplog.text


def test_a_long_recording_is_read_forward_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a long MP3 equal the parts of the whole, and do not begin to decode anew each time."""
    samples = np.concatenate([SOUND] * 100)
    path = written(tmp_path, without_xing(encoded("MP3", samples=samples)))
    whole = load_audio(path, RATE)
    assert len(whole) / RATE == pytest.approx(300, abs=0.2)
    begun = []
    original = av.open
    monkeypatch.setattr(av, "open", lambda *arguments, **options: begun.append(1) or original(*arguments, **options))
    with open_recording(path) as recording:
        assert recording.frames() == len(whole)
        for start in (0, 90, 180, 265):
            part = load_audio(recording, RATE, offset=start, duration=120, allow_short=True)
            np.testing.assert_array_equal(part, whole[start * RATE :][: 120 * RATE])
    assert len(begun) == 2  # to count, and to read


def test_wav_beyond_4_gb_is_read_by_the_size_of_the_file(tmp_path: Path) -> None:
    """A sparse file, whose header states the size modulo 4 GB, as old programs write it."""
    path, seconds = tmp_path / "long.wav", 2**32 // (2 * RATE) + 100
    with path.open("wb") as file:
        file.write(wav((seconds * 2 * RATE) % 2**32, data=b"\0\0")[:44])
        file.seek(44 + seconds * 2 * RATE - BYTES)
        file.write(SAMPLES.tobytes())
    with open_recording(path) as recording:
        assert recording.frames() == seconds * RATE
    np.testing.assert_array_equal(load_audio(path, RATE, offset=seconds - 3) * 32768, SAMPLES)


@pytest.mark.parametrize("decibels", [-10, -30, -40, -50, -60])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_32"])
def test_quiet_recordings_of_many_bits_are_raised_before_they_are_rounded(
    decibels: int, subtype: str, tmp_path: Path
) -> None:
    quiet = SOUND * 10 ** (decibels / 20)
    path = written(tmp_path, encoded("WAV", subtype, quiet))
    samples = load_audio(path, RATE)
    gain = 2.0 ** np.round(np.log2(samples.std() / quiet.std()))
    np.testing.assert_allclose(samples, gain * quiet, atol=2e-5 if subtype != "PCM_24" else 3e-4)
    assert gain == 1 if decibels == -10 else np.abs(samples).max() >= 0.24
    packed = pack([Utterance("u", path)], RATE, tmp_path / "p.arrow")
    np.testing.assert_array_equal(packed.audio(0), samples)
    array, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(load_audio(array, RATE, source_rate=RATE), samples)
    (inspection,) = inspect_file(path, [(0.0, None)])
    assert inspection.figures is not None and inspection.figures.rms == pytest.approx(samples.std(), rel=0.01)


def test_sixteen_bits_and_silence_keep_their_level(tmp_path: Path) -> None:
    path = written(tmp_path, encoded("WAV", "PCM_16", SOUND / 1000))
    integers, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(load_audio(path, RATE) * 32768, integers)
    assert not load_audio(written(tmp_path, encoded("WAV", "FLOAT", SOUND * 1e-7)), RATE).any()


def test_channels_that_lose_speech_in_the_average_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for channels, message in (
        ([SOUND, -SOUND], "its channels cancel each other in the average; choose one: --channels 1"),
        ([SOUND, 0 * SOUND], "channel 2 of 2 is silent and weakens the average; choose --channels 1"),
        ([0 * SOUND, SOUND], "channel 1 of 2 is silent and weakens the average; choose --channels 2"),
        ([SOUND, SOUND[::-1]], ""),
        ([0 * SOUND, 0 * SOUND], ""),
    ):
        path = written(tmp_path, encoded("WAV", samples=np.stack(channels, axis=1)))
        caplog.clear()
        load_audio(path, RATE)
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert warnings == ([f"{path}: {message}"] if message else [])
        caplog.clear()
        load_audio(path, RATE, channel=1)
        assert not caplog.records


def test_a_part_beyond_the_end_is_one_answer(tmp_path: Path) -> None:
    path = written(tmp_path, wav())
    for offset, duration in ((2.0, 1.5), (5.0, 1.0)):
        with pytest.raises(AudioError) as caught:
            load_audio(path, RATE, offset=offset, duration=duration)
        assert caught.value.fault == "beyond the end"
        assert inspect_file(path, [(offset, duration)])[0].fault == "beyond the end"
    assert len(load_audio(path, RATE, offset=2.0, duration=1.05)) == RATE
    assert len(load_audio(path, RATE, offset=2.0, duration=9.0, allow_short=True)) == RATE
    transcript = fresh_recognizer().transcribe(path, start=2.0, end=3.05)
    assert transcript.duration == 1.0


@pytest.mark.parametrize("name", [b"a:b.wav", b"x.raw", b"file:x.wav", b"caf\xe9.wav", b"-.wav", "é.wav".encode()])
def test_any_name_is_read(name: bytes, tmp_path: Path) -> None:
    for content in (wav(), without_xing(MP3)):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(content)
        assert len(load_audio(path, RATE)) / RATE == pytest.approx(3, abs=0.15)


def test_raw_samples_and_playlists_are_refused(tmp_path: Path) -> None:
    written(tmp_path, wav(), "secret.wav")
    for content in (
        SAMPLES.tobytes(),
        b"ffconcat version 1.0\nfile secret.wav\n",
        b"#EXTM3U\n#EXTINF:3,\nsecret.wav\n",
    ):
        with pytest.raises(AudioError, match=r"x\.raw: is not a recording"):
            load_audio(written(tmp_path, content, "x.raw"), RATE)


def test_folders_are_read_by_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, MP3, "a.bin")
    written(tmp_path, wav(), "b")
    written(tmp_path, wav(), "c.wav")
    written(tmp_path, b"text", "c.txt")
    written(tmp_path, b"text", "d.txt")
    written(tmp_path, b"text", ".hidden")
    (tmp_path / "e.wav").symlink_to(tmp_path / "nothing.wav")
    found = [source.utterance.audio.name for source in find_recordings([str(tmp_path)], tmp_path)]
    assert found == ["a.bin", "b", "c.wav", "e.wav"]
    assert capsys.readouterr().err == f"{tmp_path}: not recordings: .txt (2)\n"
    with pytest.raises(AudioError, match=r"e\.wav: is a link to .*nothing\.wav, which does not exist"):
        load_audio(tmp_path / "e.wav", RATE)
    (tmp_path / "texts").mkdir()
    written(tmp_path / "texts", b"text", "c.txt")
    with pytest.raises(
        AsrError, match=r"holds no recordings .*; found \.txt \(1\); if it .*: asr prepare .*texts -o data/NAME"
    ):
        find_recordings([str(tmp_path / "texts")], tmp_path)


def test_a_video_without_sound_is_named_as_such(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode())
    with pytest.raises(AudioError, match=r"a\.mp4: has no sound, only video; give the recording of its sound"):
        load_audio(tmp_path / "a.mp4", RATE)


def test_of_a_video_beside_its_sound_the_sound_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mp4", "a.wav", "b.MP4", "c.mp3", "c.wav"):
        written(tmp_path, wav(), name)
    found = [source.utterance.audio.name for source in find_recordings([str(tmp_path)], tmp_path)]
    assert found == ["a.wav", "b.MP4", "c.mp3", "c.wav"]
    assert capsys.readouterr().err == f"{tmp_path}: 1 videos are left out, because their sound is beside them: a.mp4\n"
    (named,) = find_recordings([str(tmp_path / "a.mp4")], tmp_path)
    assert named.utterance.audio.name == "a.mp4"


def test_nothing_reaches_stderr_from_decoders(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libmpg123 would warn of a header that does not fit, past Python. The log of the package is silent here."""
    monkeypatch.setattr(logging.getLogger("asr"), "handlers", [])
    load_audio(written(tmp_path, MP3 + MP3), RATE)
    with pytest.raises(AudioError):
        load_audio(written(tmp_path, part(MP3)), RATE)
    assert capfd.readouterr().err == ""


def test_containers_are_known_by_content() -> None:
    known = {"WAV": wav(), "RF64": rf64(0), "W64": W64, "MP3": without_xing(MP3), "Ogg": OGG, "AU": AU}
    known |= {"MP4 or M4A": WHOLE["m4a"][0], "Matroska or WebM": WHOLE["webm"][0], "AAC": WHOLE["adts"][0]}
    for container, content in known.items():
        assert container_of(content[:4096]) == container
    for content in (SAMPLES.tobytes(), b"", b"text", b"\xff\xfb\x90\0" + bytes(4000)):
        assert container_of(content[:4096]) is None
    assert mp3_seconds(io.BytesIO(MP3)) == pytest.approx(3, abs=0.01)
    assert mp3_seconds(io.BytesIO(without_xing(MP3))) is None
    assert layout_of(io.BytesIO(FLAC)) is None


def test_the_command_salvages_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh_recognizer().save(tmp_path / "m")
    cut, raw = written(tmp_path, part(MP3), "cut.mp3"), written(tmp_path, SAMPLES.tobytes(), "x.raw")
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    latin.write_bytes(wav())

    def run(*arguments: object) -> tuple[str, str]:
        with pytest.raises(AsrError, match="could not be transcribed") as caught:
            app(["transcribe", *map(str, arguments), "--device", "cpu"], standalone_mode=False)
        out, err = capsys.readouterr()
        return out, f"{err}{caught.value}"

    out, err = run(tmp_path / "m", cut, raw, latin)
    assert "caf\\xe9.wav\t" in out and "cut.mp3\t" not in out
    assert "cut.mp3: truncated: its header promises 3.0 s" in err and "x.raw: is not a recording" in err
    out, err = run(tmp_path / "m", "--salvage", cut, raw)
    assert "cut.mp3\t" in out and "1 of 2" in err
    assert asr.transcribe(tmp_path / "m", cut, salvage=True).duration == pytest.approx(1.8, abs=0.2)
    with pytest.raises(AsrError, match="excludes INPUT"):
        app(["transcribe", str(tmp_path / "m"), "--stream", "-", "--salvage"], standalone_mode=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(without_xing(MP3))))
    app(["transcribe", str(tmp_path / "m"), "-", "-f", "json", "-o", str(tmp_path)], standalone_mode=False)
    assert json.loads((tmp_path / "stdin.json").read_text())["duration"] == pytest.approx(3, abs=0.2)


def test_spliced_files_seek_and_read_across_their_pieces() -> None:
    file = Spliced(io.BytesIO(b"0123456789"), b"head", [(2, 4), (4, 4), (7, 10)])
    assert io.BufferedReader(file).read() == b"head23789"
    assert file.seek(-3, io.SEEK_END) == 6 and file.read(9) == b"789"
    assert file.seek(2) == 2 and file.read(2) == b"ad" and file.tell() == 4
