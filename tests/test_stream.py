"""Streams hear what the offline model hears, however the sound is divided."""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import fresh_recognizer
from oracles import random_waveforms, randomise
from test_neural import random_lm

from asr.audio import load_audio
from asr.batching import pad
from asr.cli import app
from asr.config import Config
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.errors import AsrError, AudioError, ConfigError
from asr.recognition.acoustic_stream import NetworkStream as AcousticStream
from asr.recognition.latency import describe, latency
from asr.recognition.live import microphone, piped
from asr.recognition.recognizer import Recognizer
from asr.recognition.stream import PAUSE
from asr.text import Units

RATE = 8000


def streaming(units: str = "abcé ", **model: object) -> Recognizer:
    """A small one-directional recogniser with random weights, whose output depends visibly on every input."""
    settings = {
        "data": {"train": "t.jsonl", "validation": "v.jsonl"},
        "features": {"sample_rate": RATE, "bins": 20, "level": "running", "pitch": model.pop("pitch", 0)},
        "model": {"hidden": 12, "layers": 2, "channels": 4, "bidirectional": False, **model},
    }
    torch.manual_seed(0)
    recognizer = Recognizer(Config.model_validate(settings), Units(units))
    randomise(recognizer.acoustic_model, 0)
    recognizer.features.fit([pad(random_waveforms(9, 4))])
    return recognizer


def chunks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def streamed(recognizer: Recognizer, parts: list[np.ndarray]) -> torch.Tensor:
    stream = AcousticStream(recognizer)
    given = [*(stream.feed(part) for part in parts), stream.feed(np.zeros(0, np.float32), last=True)]
    return torch.from_numpy(np.concatenate([log_probs for log_probs in given if log_probs is not None]))


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "subsampling": 4},
        {"cell": "gru", "subsampling": 3},
        {"cell": "rnn_tanh", "subsampling": 2},
        {"cell": "rnn_relu", "subsampling": 1, "hidden": 4},
        {"cell": "lstm", "frontend": "stack"},
        {"cell": "lstm", "subsampling": 3, "pitch": 12},
    ],
)
def test_log_probabilities_are_the_offline_ones_at_any_chunking(options: dict) -> None:
    recognizer = streaming(**options)
    for samples in random_waveforms(3, 3)[:2]:
        expected = recognizer.log_probs(*pad([samples]))[0][0]
        assert len(expected) == recognizer.num_output_frames(len(samples))
        for size in (7, 80, 1000, len(samples)):
            torch.testing.assert_close(streamed(recognizer, chunks(samples, size)), expected, atol=1e-4, rtol=0)


def test_sample_by_sample_and_divided_at_random() -> None:
    recognizer = streaming()
    samples = random_waveforms(4, 1)[0][:3001]
    expected = recognizer.log_probs(*pad([samples]))[0][0]
    torch.testing.assert_close(streamed(recognizer, chunks(samples, 1)), expected, atol=1e-4, rtol=0)
    generator = np.random.default_rng(0)
    for _ in range(5):
        parts = np.split(samples, np.sort(generator.integers(0, len(samples), 12)))  # empty ones too
        torch.testing.assert_close(streamed(recognizer, parts), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [*range(1, 6), 79, 80, 81, 400, 1279, 1280, 1281, 1600])
@pytest.mark.parametrize("options", [{"subsampling": 4}, {"subsampling": 3}, {"frontend": "stack"}])
def test_short_sounds_have_every_frame(length: int, options: dict) -> None:
    recognizer = streaming(**options)
    samples = random_waveforms(5, 1)[0][:length]
    expected = recognizer.log_probs(*pad([samples]))[0][0]
    torch.testing.assert_close(streamed(recognizer, chunks(samples, 33)), expected, atol=1e-4, rtol=0)


def test_latency_is_what_is_stated() -> None:
    """With that much sound after the middle of a frame it is there, with a sample less it is not."""
    for options in ({"subsampling": 4}, {"subsampling": 3}, {"subsampling": 1}, {"frontend": "stack"}):
        recognizer = streaming(**options)
        samples = random_waveforms(6, 1)[0]
        middle = 5 * recognizer.stride
        needed = middle + round(latency(recognizer.config.model_dump()) * RATE) + 1
        assert len(streamed_so_far(recognizer, samples[:needed])) == 6
        assert len(streamed_so_far(recognizer, samples[: needed - 1])) == 5
    assert (
        describe(streaming(frontend="stack", subsampling=2).config.model_dump())
        == "a frame every 20 ms, 22 ms after its middle"
    )


def streamed_so_far(recognizer: Recognizer, samples: np.ndarray) -> torch.Tensor:
    log_probs = AcousticStream(recognizer).feed(samples)
    assert log_probs is not None
    return torch.from_numpy(log_probs)


@pytest.mark.parametrize("decoder", ["best path", "beam", "recurrent"])
def test_text_and_words_are_those_of_transcribe(decoder: str) -> None:
    recognizer = streaming()
    if decoder != "best path":
        recognizer.decoder = Decoder(recognizer.units)
    if decoder == "recurrent":
        recognizer.decoder = recognizer.decoder.fusing(random_lm()).using(weights=Weights(recurrent=0.5, unit=1.0))
    samples = random_waveforms(7, 1)[0]
    expected = recognizer.transcribe(samples, RATE)
    assert expected.text
    for size in (200, 800, len(samples)):
        stream, heard = recognizer.stream(), []
        for part in chunks(samples, size):
            ended, partial = stream.feed(part)
            assert not ended
            heard.append(partial)
        got = stream.finish()
        assert (got.text, got.duration) == (expected.text, expected.duration)
        assert [(w.text, w.start, w.end) for w in got.words] == [(w.text, w.start, w.end) for w in expected.words]
        assert heard[-1]
        if decoder != "recurrent":  # rescoring changes the text at the end
            assert expected.text.startswith(heard[-1][:-1].strip())
    assert size == len(samples) or len(set(heard)) > 3


def test_a_pause_ends_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same frame however the sound is divided; its words are told once, and what comes after is a new text."""
    recognizer = streaming()
    stride = recognizer.stride / RATE
    path = torch.tensor([0, 1, 1, 0, 2, *[0] * round(PAUSE / stride), 3, 4, *[0] * 40, 1])
    rows = torch.nn.functional.one_hot(path, 6).float().mul(50).log_softmax(-1)
    for size in (1, 7, len(rows)):
        stream = recognizer.stream()
        parts = iter(rows.split(size))
        monkeypatch.setattr(stream._acoustic, "feed", lambda samples, last=False, parts=parts: next(parts, None))
        heard = [stream.feed(np.zeros(round(size * recognizer.stride), np.float32)) for _ in rows.split(size)]
        told = [word for ended, _ in heard for word in ended]
        assert [word.text for word in told] == ["ab", "cé"] and heard[-1].partial == "a"
        transcript = stream.finish()
        assert transcript.text == "ab cé a" and transcript.words[:2] == tuple(told)
        assert transcript.words[1].start == pytest.approx((5 + round(PAUSE / stride) - 0.5) * stride)


def test_other_rates_and_kinds_of_samples() -> None:
    recognizer = streaming()
    samples = random_waveforms(8, 1, 16000)[0]
    expected = recognizer.log_probs(*pad([load_audio(samples, RATE, source_rate=16000)]))[0][0]
    for parts in (chunks(samples, 999), [samples]):
        stream = recognizer.stream(16000)
        given = [*(stream._incoming(part) for part in parts), stream._incoming.rest()]
        log_probs = streamed(recognizer, given)
        assert len(log_probs) == len(expected)
        torch.testing.assert_close(log_probs.exp(), expected.exp(), atol=0.02, rtol=0)
    stereo = np.stack([samples, samples])
    whole = (samples * 32768).astype(np.int16)
    texts = set()
    for sound in (samples, stereo, whole, torch.from_numpy(samples)):
        stream = recognizer.stream(16000)
        stream.feed(sound)
        texts.add(stream.finish().text)
    assert len(texts) == 1
    with pytest.raises(AudioError, match="not a finite number"):
        recognizer.stream().feed(np.full(10, np.nan, np.float32))
    assert recognizer.stream().finish().text == ""


def test_models_that_need_whole_utterances_say_how_to_train_one_that_streams() -> None:
    with pytest.raises(ConfigError, match=r"--set model\.bidirectional=false --set features\.level=running$"):
        fresh_recognizer().stream()
    assert "cannot stream" in describe(fresh_recognizer().config.model_dump())


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def pipe(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


def test_pipes() -> None:
    samples = (random_waveforms(1, 1)[0] * 32768).astype(np.int16)
    endless = bytearray(wav(samples))
    endless[4:8] = endless[40:44] = b"\xff\xff\xff\xff"  # as ffmpeg writes into a pipe
    for content in (wav(samples), bytes(endless), samples.tobytes() + b"x"):
        rate, blocks = piped(pipe(content), RATE)
        assert rate == RATE
        np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1), samples[None])
    rate, blocks = piped(pipe(wav(np.stack([samples, samples // 2], axis=1), 44100)), RATE)
    assert rate == 44100
    np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1), [samples, samples // 2])
    assert list(piped(pipe(b""), RATE)[1]) == []
    for content, message in (
        (b"RIFF\0\0", "cannot be read"),
        (b"RIFFxxxxWAVE", "cannot be read"),
        (b"RIFFxxxxAVI LIST", "without a header"),
        (wav(samples, subtype="ULAW"), "a WAV of 8 bits with format 7"),
        (b"fLaC....", "is FLAC"),
        (b"\0\0\0\x20ftypM4A ", "is MP4 or M4A"),
        (b"riff\x2e\x91\xcf\x11" + bytes(40), "is W64"),
        (encoded(samples, "MP3"), "is MP3"),
        (encoded(samples, "OGG"), "is Ogg"),
        (b"<!DOCTYPE html><html>404</html>", "is an HTML page"),
    ):
        with pytest.raises(AudioError, match=message) as caught:
            piped(pipe(content), RATE)
        assert "ffmpeg" in str(caught.value) and "asr transcribe MODEL -" in str(caught.value)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "RIFX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_pipes_hold_every_kind_of_samples(container: str, subtype: str) -> None:
    samples = np.stack(random_waveforms(1, 2)[:1] * 2, axis=1) * [1, 0.5]
    content = encoded(samples, "WAV" if container == "RIFX" else container, subtype, container == "RIFX")
    rate, blocks = piped(pipe(content), 16000)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="int16" if subtype == "PCM_16" else "float32")
    assert rate == RATE
    np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1), expected.T)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFF024, 0xFFFFFFD8])
def test_pipes_without_a_size_are_read_to_their_end(size: int) -> None:
    samples = (random_waveforms(1, 1)[0] * 32768).astype(np.int16)
    content = bytearray(wav(samples))
    content[40:44] = size.to_bytes(4, "little")
    np.testing.assert_array_equal(np.concatenate(list(piped(pipe(bytes(content)), RATE)[1]), axis=1), samples[None])


def test_a_pipe_that_breaks_off_is_reported_with_both_lengths(caplog: pytest.LogCaptureFixture) -> None:
    samples = np.zeros(2 * RATE, np.int16)
    assert sum(block.shape[1] for block in piped(pipe(wav(samples)[: 44 + RATE]), RATE)[1]) == RATE // 2
    assert "header promises 2.0 s, 0.5 s came" in caplog.text


def encoded(samples: np.ndarray, container: str, subtype: str | None = None, big: bool = False) -> bytes:
    buffer = io.BytesIO()
    endian = "BIG" if big else None
    soundfile.write(buffer, samples, RATE, format=container, subtype=subtype, endian=endian)
    return buffer.getvalue()


def test_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AsrError, match=r"pip install 'own-asr\[microphone\]'"):
        microphone()

    class InputStream:
        def __init__(self, **options: object) -> None:
            assert options == {"samplerate": 44100, "channels": 1, "dtype": "int16"}

        def start(self) -> None: ...

        def read(self, frames: int) -> tuple[np.ndarray, bool]:
            return np.full((frames, 1), 7, np.int16), False

    def query_devices(kind: str) -> dict[str, float]:
        return {"default_samplerate": 44100.0}

    fake = types.SimpleNamespace(InputStream=InputStream, query_devices=query_devices, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    rate, blocks = microphone()
    assert rate == 44100 and next(blocks).shape == (1, 4410)

    def no_device(kind: str) -> None:
        raise RuntimeError("no default input device")

    fake.query_devices = no_device
    with pytest.raises(AsrError, match="no microphone can be opened: no default input"):
        microphone()


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    recognizer = streaming()
    recognizer.save(tmp_path / "m")
    samples = random_waveforms(7, 1)[0]

    def run(*arguments: object, stdin: bytes = b"") -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(pipe(stdin)))
        app(["transcribe", *map(str, arguments), "--device", "cpu"], standalone_mode=False)
        return tuple(capsys.readouterr())  # type: ignore[return-value]

    out, err = run(tmp_path / "m", "--stream", "-", stdin=wav(samples))
    assert out == recognizer.transcribe(samples, RATE).text + "\n"
    assert err.startswith("listening at 8000 Hz; a frame every 30 ms") and err.count("\n… ") > 3
    assert run(tmp_path / "m", "--stream", "-")[0] == ""
    fresh_recognizer().save(tmp_path / "both")
    for arguments, message in (
        ([tmp_path / "both", "--stream", "-"], "this model cannot stream: "),
        ([tmp_path / "m", "--stream", "x.wav"], "--stream x.wav: must be - for a pipe or mic"),
        ([tmp_path / "m", "x.wav", "--stream", "-"], "excludes INPUT and the options of files"),
    ):
        with pytest.raises(AsrError, match=message):
            run(*arguments)
    with pytest.raises(Exception, match="name recordings, or --stream -"):
        run(tmp_path / "m")
