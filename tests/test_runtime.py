"""Exported recognisers give the transcripts of their models, without PyTorch; damaged files are one error."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from conftest import fresh_recognizer, run_asr
from onnx import TensorProto, helper, numpy_helper
from oracles import random_waveforms
from test_export import SETTINGS, config_of, trained

import asr
from asr.classification import classify
from asr.classifier import Classifier
from asr.config import Config
from asr.decoding.confidence import Calibration
from asr.decoding.decoder import Decoder
from asr.errors import AsrError, ConfigError, ModelFileError
from asr.exporting.onnx import to_onnx
from asr.lm.estimate import estimate
from asr.recognition.recognizer import Recognizer
from asr.runtime.recognizer import ExportedRecognizer
from asr.runtime.session import Session
from asr.transcript import Transcript
from asr.utterance import Utterance

SAMPLES = Path(__file__).parent / "samples"
SAMPLE = SAMPLES / "recogniser-0.1.onnx"
TEXTS = ["ab cé", "b a ab", "cé cé a", "ab"]


@pytest.fixture
def recognizer() -> Recognizer:
    """Return a recogniser with n-gram models and calibrated confidences."""
    model = fresh_recognizer()
    words, characters = (estimate(TEXTS, order=3, units=units).model for units in ("words", "characters"))
    model.decoder = Decoder(model.units, words, characters)
    model.confidence = Calibration(slope=2, intercept=0.1, words=5, right=4, error=0.1, error_before=0.2)
    return model


def exported(model: Recognizer, folder: Path) -> ExportedRecognizer:
    path = folder / "model.onnx"
    path.write_bytes(to_onnx(model))
    loaded = asr.load(path)
    assert isinstance(loaded, ExportedRecognizer)
    return loaded


FILES = ("onnx", "safetensors")


def class_config(**settings: object) -> Config:
    return config_of(**settings).model_copy(update={"task": "classification"})


def same(one: Transcript, other: Transcript) -> None:
    """Compare texts and times exactly, probabilities and scores nearly."""
    assert one.text == other.text and one.duration == other.duration
    assert [(w.text, w.start, w.end) for w in one.words] == [(w.text, w.start, w.end) for w in other.words]
    assert [w.confidence for w in one.words] == pytest.approx([w.confidence for w in other.words], abs=1e-3)
    assert [a.text for a in one.nbest] == [a.text for a in other.nbest]
    assert [a.score for a in one.nbest] == pytest.approx([a.score for a in other.nbest], abs=1e-2)
    assert one.posterior == (None if other.posterior is None else pytest.approx(other.posterior, abs=1e-3))
    assert one.unbiased == other.unbiased


def test_transcripts_are_those_of_the_model(recognizer: Recognizer, tmp_path: Path) -> None:
    """By best path, by the beam, with n-best lists, hotwords and phrases, short and long, and aligned."""
    runtime = exported(recognizer, tmp_path)
    long = np.concatenate([part for wave in random_waveforms(2, 60) for part in (wave, np.zeros(6000, np.float32))])
    for recording in [*random_waveforms(1, 4), long]:
        for options in ({}, {"nbest": 3}, {"hotwords": ["ab"]}, {"phrases": ["ab", "cé a"]}, {"language_model": False}):
            found = runtime.transcribe(recording, 8000, **options)
            same(found, recognizer.transcribe(recording, 8000, **options))
    wave = random_waveforms(1, 4)[0]
    same(asr.align(runtime, wave, "ab a", 8000).transcript, asr.align(recognizer, wave, "ab a", 8000).transcript)
    assert runtime.recognize(random_waveforms(3, 5)) == recognizer.recognize(random_waveforms(3, 5))
    assert runtime.stride == recognizer.stride and runtime.num_output_frames(8000) == recognizer.num_output_frames(8000)
    with pytest.raises(ConfigError, match="cannot stream"):
        runtime.stream()


@pytest.mark.parametrize("settings", SETTINGS[:5], ids=lambda settings: "-".join(map(str, settings.values())))
def test_classes_are_those_of_the_model(settings: dict[str, object], tmp_path: Path) -> None:
    """Alone, in batches, in any order, from files and arrays; every probability to 1e-4."""
    model = trained(Classifier(class_config(**settings), ["x", "yé", "z z"]))
    (tmp_path / "m.onnx").write_bytes(to_onnx(model))
    found = asr.load(tmp_path / "m.onnx")
    assert isinstance(found, asr.ExportedClassifier) and found.classes == model.classes
    waveforms = random_waveforms(5, 9)
    counts = [len(waveform) for waveform in waveforms]
    expected = model.log_probs(counts, waveforms.__getitem__)
    assert expected.std(0).min() > 0.01  # they do differ
    np.testing.assert_allclose(found.log_probs(counts, waveforms.__getitem__), expected, atol=1e-4)
    alone = [found.log_probs([len(wave)], [wave].__getitem__)[0] for wave in waveforms]
    np.testing.assert_allclose(alone, expected, atol=1e-4)
    for one, other in zip(found.classify(waveforms[::-1]), model.classify(waveforms[::-1]), strict=True):
        assert one.label == other.label and one.probability == pytest.approx(other.probability, abs=1e-4)
    assert found.classify([]) == []
    wave = waveforms[0]
    assert asr.classify(tmp_path / "m.onnx", wave, 8000) == asr.classify(found, [(8000, wave)])[0]


def test_a_classifier_that_equalises(tmp_path: Path) -> None:
    config = class_config()
    config = config.model_copy(update={"features": config.features.model_copy(update={"equalize": True})})
    model = trained(Classifier(config, ["x", "y"]))
    (tmp_path / "m.onnx").write_bytes(to_onnx(model))
    utterances = []
    for number, waveform in enumerate(random_waveforms(3, 4)):
        soundfile.write(tmp_path / f"{number}.wav", waveform, 8000, subtype="PCM_16")
        utterances.append(Utterance(str(number), tmp_path / f"{number}.wav", speaker=str(number // 2)))
    pairs = [classify(one, utterances) for one in (asr.load(tmp_path / "m.onnx"), model)]
    for (_, found), (_, expected) in zip(*pairs, strict=True):
        assert found.label == expected.label and found.probability == pytest.approx(expected.probability, abs=1e-4)


def test_each_file_belongs_to_its_class(tmp_path: Path) -> None:
    """The wrong kind of file is named, with the command that takes it."""
    classifier = SAMPLES / "classifier-0.1.onnx"
    assert isinstance(asr.load(classifier, kind=asr.ExportedClassifier), asr.ExportedClassifier)
    assert isinstance(asr.load(SAMPLE, kind=asr.ExportedRecognizer), asr.ExportedRecognizer)
    for path, kind, message in (
        (classifier, asr.ExportedRecognizer, "trained for classification; use it with `asr classify`"),
        (SAMPLE, asr.ExportedClassifier, "trained for recognition; use it with `asr transcribe`"),
        (SAMPLES / "classifier-0.1.safetensors", asr.ExportedClassifier, "not an exported one; write one with"),
        (classifier, asr.Classifier, "is an exported model"),
    ):
        with pytest.raises(ModelFileError, match=message):
            asr.load(path, kind=kind)
    content = onnx.load_from_string(classifier.read_bytes())
    (entry,) = (entry for entry in content.metadata_props if entry.key == "asr")
    for classes in (["one"], ["one", "two", "three"], 2, None):
        entry.value = json.dumps({**json.loads(entry.value), "classes": classes})
        (tmp_path / "other.onnx").write_bytes(content.SerializeToString())
        with pytest.raises(ModelFileError, match="damaged"):
            asr.load(tmp_path / "other.onnx")


def test_no_torch(tmp_path: Path) -> None:
    """Loading, transcription and classification import neither torch nor, by best path, numba."""
    program = (
        "import sys, asr, numpy as np\n"
        f"model = asr.load({str(SAMPLE)!r})\n"
        "wave = np.sin(np.arange(9000) ** 1.1).astype('f4') / 3\n"
        "print(model.transcribe(wave, 8000).duration)\n"
        f"print(asr.classify({str(SAMPLES / 'classifier-0.1.onnx')!r}, wave, 8000).label in ('one', 'two'))\n"
        "print([name for name in ('torch', 'numba', 'scipy') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "1.125\nTrue\n[]\n"


def test_the_command_line_takes_exported_files(tone: Path, tmp_path: Path) -> None:
    result = run_asr("transcribe", SAMPLE, tone, "-f", "json", "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "tone.json").is_file()
    result = run_asr("transcribe", SAMPLE, tone, "--device", "cuda")
    assert result.returncode == 1 and "computes on cpu" in result.stderr
    result = run_asr("tune", SAMPLE, tmp_path / "x.jsonl")
    assert result.returncode == 1 and "exported" in result.stderr
    exported, trained = (run_asr("classify", SAMPLES / f"classifier-0.1.{kind}", tone) for kind in FILES)
    assert exported.returncode == 0 and exported.stdout == trained.stdout != ""
    result = run_asr("transcribe", SAMPLES / "classifier-0.1.onnx", tone)
    assert result.returncode == 1 and "use it with `asr classify`" in result.stderr
    (tmp_path / "bad.onnx").write_bytes((SAMPLES / "classifier-0.1.onnx").read_bytes()[:20_000])
    result = run_asr("classify", tmp_path / "bad.onnx", tone)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "bad.onnx: is damaged" in result.stderr


@pytest.mark.parametrize(("value", "given", "threads"), [("3", 0, 3), ("3", 2, 2), ("4,2", 0, 0), (None, 0, 0)])
def test_threads_are_those_that_the_environment_states(
    monkeypatch: pytest.MonkeyPatch, value: str | None, given: int, threads: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    session = Session(SAMPLE.read_bytes(), threads=given)
    assert session._session.get_session_options().intra_op_num_threads == threads


def test_damaged_and_hostile_files(tmp_path: Path) -> None:
    content = SAMPLE.read_bytes()
    path = tmp_path / "bad.onnx"
    for number in range(150):
        draw = random.Random(number)
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(bytes(damaged[: draw.choice([len(damaged), draw.randrange(len(damaged))])]))
        try:
            asr.load(path).transcribe(random_waveforms(1, 1)[0], 8000)
        except AsrError:
            continue

    def refused(model: onnx.ModelProto, message: str) -> None:
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError, match=message):
            asr.load(path)

    model = onnx.load_from_string(content)
    model.graph.node.append(helper.make_node("Loop", ["x"], ["y"]))
    refused(model, "operator Loop")
    model = onnx.load_from_string(content)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    refused(model, "another file")
    model = onnx.load_from_string(content)
    model.graph.node[0].attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(3))))
    refused(model, "a tensor or a graph")
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    refused(model, "another program")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelFileError):
        asr.load(tmp_path / "empty.onnx")
