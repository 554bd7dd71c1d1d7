"""Exported files answer as their models do: every cell, direction, feature and front end, alone, in batches, live."""

import unicodedata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import fresh_recognizer
from oracles import random_waveforms, randomise
from processes import run_asr

from asr.batching import pad
from asr.classifier import Classifier
from asr.config import Config
from asr.errors import ConfigError, ExportError
from asr.exporting.export import export
from asr.exporting.features import utterance_level
from asr.exporting.graph import Graph
from asr.exporting.onnx import to_onnx
from asr.exporting.quantize import quantize
from asr.exporting.sherpa import standardised, to_sherpa, tokens
from asr.exporting.verify import compare_errors, synthetic, tolerance
from asr.recognition.acoustic_stream import NetworkStream
from asr.recognition.recognizer import Recognizer
from asr.runtime.session import Session
from asr.runtime.stream import SessionStream
from asr.text import Units

_NAMES = ("cell", "bidirectional", "kind", "pitch", "frontend", "subsampling", "level", "projection")
SETTINGS = [  # every value of every setting that shapes the graph, in pairs that differ
    dict(zip(_NAMES, values, strict=True))
    for values in (
        ("lstm", True, "log_mel", 9, "conv", 3, "utterance", False),
        ("lstm", False, "log_mel", 12, "conv", 4, "running", True),
        ("lstm", True, "spectrogram", 0, "stack", 2, "running", False),
        ("gru", True, "mfcc", 0, "conv", 1, "utterance", True),
        ("gru", False, "spectrogram", 36, "stack", 3, "running", True),
        ("rnn_tanh", True, "mfcc", 5, "stack", 4, "utterance", False),
        ("rnn_tanh", False, "log_mel", 0, "conv", 2, "utterance", False),
        ("rnn_relu", True, "log_mel", 0, "stack", 1, "utterance", True),
        ("rnn_relu", False, "mfcc", 7, "conv", 2, "running", False),
    )
]


def config_of(**settings: object) -> Config:
    features = {name: settings.pop(name) for name in ("kind", "pitch", "level") if name in settings}
    return Config.model_validate(
        {
            "data": {"train": "t.jsonl", "validation": "v.jsonl"},
            "features": {"sample_rate": 8000, "bins": 20, "coefficients": 8, **features},
            "model": {"hidden": 8, "layers": 2, "channels": 4, **settings},
        }
    )


def trained(model: Recognizer | Classifier) -> Recognizer | Classifier:
    """Give a model random weights that let every input count, and statistics of features."""
    randomise(model.acoustic_model, 0)
    model.features.fit([pad(random_waveforms(9, 4))])
    return model


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_the_file_answers_as_the_model(settings: dict[str, object]) -> None:
    """The oracle is the network in PyTorch; waveforms go from less than a window to seconds."""
    waveforms = [*random_waveforms(3, 6), *(random_waveforms(5, 1)[0][:count] for count in (1, 79, 200))]
    config = config_of(**settings)
    recognizer, classifier = trained(Recognizer(config, Units("ab "))), trained(Classifier(config, ["x", "y", "z"]))
    session = Session(to_onnx(recognizer))
    expected, lengths = recognizer.log_probs(*pad(waveforms))
    for found in (session.log_probs(waveforms), [session.log_probs([one])[0] for one in waveforms]):
        for row, length, result in zip(expected, lengths.tolist(), found, strict=True):
            np.testing.assert_allclose(result, row[:length], atol=1e-4)
    found = Session(to_onnx(classifier)).log_probs(waveforms)
    np.testing.assert_allclose(np.stack(found), classifier.compute(*pad(waveforms)), atol=1e-4)


@pytest.mark.parametrize(
    "settings", [one for one in SETTINGS if one["level"] == "running" and not one["bidirectional"]]
)
def test_a_stream_gives_the_log_probabilities_of_the_whole(settings: dict[str, object]) -> None:
    """Chunks of any size, of one sample and of none, give the answers of the stream in PyTorch and of one call."""
    recognizer = trained(Recognizer(config_of(**settings), Units("ab ")))
    session, samples = Session(to_onnx(recognizer)), random_waveforms(11, 1)[0]
    (whole,) = session.log_probs([samples])
    np.testing.assert_allclose(NetworkStream(recognizer).feed(samples, last=True), whole, atol=1e-4)
    for sizes in ([1, 37, 0, 160, 1000], [400], [3000]):
        stream, parts, place, number = SessionStream(session, recognizer.config.model_dump()), [], 0, 0
        while place < len(samples):
            size = sizes[number % len(sizes)]
            part = stream.feed(samples[place : place + size], last=place + size >= len(samples))
            parts += [] if part is None else [part]
            place, number = place + size, number + 1
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_equal_models_give_equal_bytes_that_hold_what_decoding_needs(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    assert to_onnx(recognizer) == to_onnx(fresh_recognizer())
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(to_onnx(recognizer)).metadata_props}
    assert '"units": ["a", "b", "c", "é", " "]' in metadata["asr"] or "é" in metadata["asr"]


def test_a_file_that_disagrees_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = fresh_recognizer()
    content = to_onnx(recognizer)
    with torch.no_grad():
        recognizer.acoustic_model.output.weight *= 1.01
    monkeypatch.setattr("asr.exporting.export.to_onnx", lambda model: content)
    with pytest.raises(ExportError, match="differ by"):
        export(recognizer, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_sensitive_model_may_differ_by_what_its_rounding_changes() -> None:
    recognizer = fresh_recognizer()
    sounds = synthetic(recognizer.sample_rate)[:4]
    assert tolerance(recognizer, sounds) == 1e-4
    with torch.no_grad():
        recognizer.acoustic_model.output.weight *= 300
    assert 1e-4 < tolerance(recognizer, sounds) <= 1e-3
    with torch.no_grad():
        recognizer.acoustic_model.output.weight *= 1e6
    assert tolerance(recognizer, sounds) == 1e-3


def test_8_bit_weights(tmp_path: Path) -> None:
    """Weights of the LSTM and of the output become bytes; much worse answers are refused, and other cells."""
    recognizer = trained(Recognizer(config_of(hidden=64), Units("abcdefgh ")))
    whole, small = to_onnx(recognizer), quantize(to_onnx(recognizer))
    assert len(small) < 0.45 * len(whole)
    lines: list[str] = []
    texts = recognizer.recognize(synthetic(8000))
    export(
        recognizer,
        tmp_path / "m.onnx",
        waveforms=synthetic(8000),
        texts=texts,
        int8=True,
        force=True,
        report=lines.append,
    )
    assert any(line.startswith("8-bit weights: CER 0.00 %") for line in lines)
    with pytest.raises(ConfigError, match="GRU"):
        quantize(to_onnx(trained(Recognizer(config_of(cell="gru"), Units("ab")))))


def test_errors_of_8_bit_weights_are_refused_unless_forced() -> None:
    """One wrong character of 300 is 0.33 points; one of 400 is 0.25."""
    lines: list[str] = []
    for length, refused in ((300, True), (400, False)):
        before, after = "a" * length, "a" * (length - 1) + "b"
        if refused:
            with pytest.raises(ExportError, match=r"by more than 0\.3 points"):
                compare_errors([before], [after], None, report=lines.append)
        compare_errors([before], [after], [before], force=refused, report=lines.append)
    assert lines[0] == "8-bit weights: CER 0.00 % -> 0.33 %, against the answers in float32"
    with pytest.raises(ExportError, match="cannot be counted"):
        compare_errors([""], ["a"], None)
    compare_errors([""], ["a"], None, force=True, report=lines.append)
    with pytest.raises(ExportError, match=r"wrong classes rises from 50\.00 to 100\.00"):
        compare_errors(["x", "y"], ["y", "y"], ["x", "x"], classes=True, report=lines.append)


def test_attention_is_refused() -> None:
    with pytest.raises(ConfigError, match="attention"):
        to_onnx(Recognizer(config_of(decoder="joint"), Units("ab")))


def test_export_on_the_command_line(tmp_path: Path) -> None:
    fresh_recognizer().save(tmp_path / "model.safetensors")
    result = run_asr("export", tmp_path / "model.safetensors", "-o", tmp_path / "m.onnx")
    assert result.returncode == 0, result.stderr
    assert "16 synthetic sounds" in result.stderr and (tmp_path / "m.onnx").stat().st_size > 1000
    result = run_asr("export", tmp_path / "model.safetensors", "-o", tmp_path / "phone", "--for", "sherpa-onnx")
    assert result.returncode == 1 and "16000 Hz" in result.stderr


@pytest.mark.parametrize("subsampling", [1, 3])
def test_sherpa(subsampling: int, tmp_path: Path) -> None:
    """sherpa-onnx writes the texts of best path, letters of two bytes and combining marks included."""
    settings = config_of(subsampling=subsampling).model_dump()
    settings["features"]["sample_rate"] = 16000
    recognizer = trained(Recognizer(Config.model_validate(settings), Units(["ɓ", "ƙ", "a", "ε", "a\u0301", " "])))
    content, symbols = to_sherpa(recognizer, 0.1)
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="pip install sherpa-onnx")
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "tokens.txt").write_text(symbols, encoding="utf-8")
    program = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=str(tmp_path / "model.onnx"), tokens=str(tmp_path / "tokens.txt")
    )
    for waveform in synthetic(16000):
        stream = program.create_stream()
        stream.accept_waveform(16000, waveform)
        program.decode_stream(stream)
        scaled = standardised(waveform) * np.float32(0.1)
        found = unicodedata.normalize("NFC", stream.result.text)
        assert " ".join(found.split()) == recognizer.recognize([scaled])[0]


def test_the_trap_of_sherpa() -> None:
    """A table of tokens whose largest byte is 0xC6 is taken for bytes; one more token prevents it."""
    assert tokens(["a", "ƙ"], spaced=False).splitlines() == ["<blk> 0", "a 1", "ƙ 2", "😀 3"]
    assert tokens(["a", " ", "é"], spaced=False).splitlines() == ["<blk> 0", "a 1", "2", "é 3"]
    assert tokens(["p"], spaced=True).splitlines() == ["<blk> 0", "▁p 1"]


def test_the_level_of_an_hour_loses_no_digits() -> None:
    """A sum of an hour in float32 moved all features, and log-probabilities by 0.008."""
    generator = np.random.default_rng(0)
    spectrum = (generator.normal(-9, 1, (1, 360_000, 1)) + generator.normal(0, 1, (1, 1, 6))).astype(np.float32)
    graph = Graph()
    values, frames = graph.input("x", np.float32, ["B", "T", "F"]), graph.input("frames", np.int64, ["B"])
    graph.output(utterance_level(graph, values, frames), "level", np.float32, ["B", "T", "F"])
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString())
    (found,) = session.run(None, {"x": spectrum, "frames": np.array([360_000])})
    exact = spectrum.astype(np.float64)
    np.testing.assert_allclose(found, (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5), atol=2e-6)
