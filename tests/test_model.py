"""Model files: exact round trips, equal bytes, files of older versions, and clear errors for bad files."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from oracles import random_waveforms, randomise

import asr
from asr.batching import pad
from asr.cells import CELLS
from asr.config import Config, TextConfig
from asr.errors import ModelFileError
from asr.model_file import read_metadata
from asr.recognition.recognizer import Recognizer, load
from asr.text import Units

CONFIG = {
    "data": {"train": "t.jsonl", "validation": "v.jsonl"},
    "features": {"sample_rate": 8000, "bins": 20},
    "model": {"hidden": 8, "layers": 2, "channels": 4},
}


@pytest.fixture
def recognizer() -> Recognizer:
    made = Recognizer(Config.model_validate(CONFIG), Units("abcé "), {"training_hours": 1.5})
    randomise(made.acoustic_model, 0)
    made.features.fit([pad(random_waveforms(9, 4))])
    return made


def test_round_trip_is_exact(recognizer: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    recognizer.save(path)
    loaded = asr.load(path, "cpu")
    assert (loaded.config, loaded.units.symbols, loaded.summary) == (
        recognizer.config,
        recognizer.units.symbols,
        recognizer.summary,
    )
    waveforms = random_waveforms(0, 6)
    assert loaded.recognize(waveforms) == recognizer.recognize(waveforms)
    assert any(loaded.recognize(waveforms))
    for name, tensor in recognizer.acoustic_model.state_dict().items():
        assert torch.equal(tensor, loaded.acoustic_model.state_dict()[name])


def test_units_and_normaliser_come_back(recognizer: Recognizer, tmp_path: Path) -> None:
    text = {"units": "phones", "lower": True, "strip_punctuation": True, "keep_inside_words": "-"}
    made = Recognizer(Config.model_validate({**CONFIG, "text": text}), Units(["tʃ", "a"], "phones"))
    randomise(made.acoustic_model, 0)
    made.save(tmp_path / "m")
    loaded = load(tmp_path / "m", "cpu")
    assert loaded.units.decode(loaded.units.encode("a tʃ a")) == "a tʃ a"
    assert str(loaded.normalizer) == str(made.normalizer) != str(recognizer.normalizer)
    waveforms = random_waveforms(0, 6)
    transcripts = loaded.recognize(waveforms)
    assert {phone for transcript in transcripts for phone in transcript.split()} == {"tʃ", "a"}
    assert transcripts == made.recognize(waveforms)


def test_transcripts_are_normalised(recognizer: Recognizer) -> None:
    """So that the validation score, which compares them as they are, is that of `asr score`."""
    recognizer.units = Units(["e", "\u0301", " ", "'", "E"])
    path = torch.tensor([[3, 1, 2, 3, 4, 5, 0]])
    log_probs = torch.nn.functional.one_hot(path, 6).float().log_softmax(-1)
    assert recognizer.texts(log_probs, torch.tensor([7])) == ["é 'E"]
    stripped = TextConfig(lower=True, strip_punctuation=True)
    recognizer.normalizer = stripped.normalizer
    assert recognizer.texts(log_probs, torch.tensor([7])) == ["é e"]


def test_files_of_versions_without_some_settings(tmp_path: Path) -> None:
    config = {**CONFIG, "model": {**CONFIG["model"], "projection": True}}
    made = Recognizer(Config.model_validate(config), Units("abcé "))
    made.save(tmp_path / "new")
    metadata = read_metadata(tmp_path / "new")
    metadata["config"]["text"] = {"lower": True}
    config = metadata["config"]
    del config["task"], config["model"]["projection"], config["training"]["kernels"]
    tensors = safetensors.torch.load_file(tmp_path / "new")
    safetensors.torch.save_file(tensors, tmp_path / "old", {"asr": json.dumps(metadata)})
    loaded = load(tmp_path / "old", "cpu")
    assert (loaded.units.kind, loaded.units.symbols) == ("characters", made.units.symbols)
    assert str(loaded.normalizer) == "NFC, white space collapsed, lower case"
    waveforms = pad(random_waveforms(0, 3))
    assert torch.equal(loaded.log_probs(*waveforms)[0], made.log_probs(*waveforms)[0])


@pytest.mark.parametrize("kind", ["log_mel", "mfcc", "spectrogram"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_kind_of_features_and_cell(kind: str, cell: str, tmp_path: Path) -> None:
    features = {**CONFIG["features"], "kind": kind, "coefficients": 13}
    config = {**CONFIG, "features": features, "model": {**CONFIG["model"], "cell": cell}}
    made = Recognizer(Config.model_validate(config), Units("abc"))
    made.save(tmp_path / "m")
    waveforms = random_waveforms(0, 3)
    log_probs, lengths = made.log_probs(*pad(waveforms))
    assert lengths.tolist() == [made.num_output_frames(len(waveform)) for waveform in waveforms]
    torch.testing.assert_close(load(tmp_path / "m", "cpu").log_probs(*pad(waveforms))[0], log_probs)


def test_same_model_same_bytes(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.save(tmp_path / "a")
    load(tmp_path / "a", "cpu").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_path_array_and_tensor_give_the_same_text(recognizer: Recognizer, tone: Path) -> None:
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(16000) / 16000)  # a steady tone would be no speech
    soundfile.write(tone, asr.load_audio(tone, 16000) * loudness, 16000)
    samples = asr.load_audio(tone, 16000)
    expected = recognizer.transcribe(tone)
    assert expected.text and expected.duration == pytest.approx(1.0)
    assert recognizer.transcribe(samples, 16000) == expected
    assert recognizer.transcribe(torch.from_numpy(samples), 16000) == expected
    assert recognizer.transcribe(str(tone)) == expected
    with pytest.raises(asr.AudioError, match="sample rate"):
        recognizer.transcribe(samples)


def test_hypotheses_come_back_in_order(recognizer: Recognizer) -> None:
    waveforms = random_waveforms(1, 50)
    together = recognizer.recognize(waveforms)
    assert together == [recognizer.recognize([waveform])[0] for waveform in waveforms]
    assert recognizer.recognize([]) == []


def test_bad_model_files(recognizer: Recognizer, tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    recognizer.save(good)
    metadata = read_metadata(good)
    tensors = safetensors.torch.load_file(good)

    def variant(name: str, **changes: object) -> Path:
        path = tmp_path / name
        safetensors.torch.save_file(tensors, path, {"asr": json.dumps({**metadata, **changes})})
        return path

    (tmp_path / "text").write_text("hello")
    (tmp_path / "cut").write_bytes(good.read_bytes()[:500])
    (tmp_path / "short").write_bytes(good.read_bytes()[:-100])
    safetensors.torch.save_file(tensors, tmp_path / "foreign")
    np.save(tmp_path / "array.npy", np.zeros(3))
    cases = {
        tmp_path / "nothing": "no such model file",
        tmp_path / "text": "damaged or no safetensors",
        tmp_path / "cut": "damaged or no safetensors",
        tmp_path / "short": "damaged or no safetensors",
        tmp_path / "array.npy": "damaged or no safetensors",
        tmp_path / "foreign": "another program",
        variant("newer", format=99): "has format 99",
        variant("units", units=["a"]): "do not fit together",
        variant("config", config={}): "do not fit together",
    }
    for path, message in cases.items():
        with pytest.raises(ModelFileError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)


def test_settings_that_do_not_fit_the_tensors_are_refused_before_memory_is_taken(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    recognizer.save(good)
    metadata, tensors = read_metadata(good), safetensors.torch.load_file(good)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = [("model", "hidden", 20_000), ("model", "layers", 1_000_000), ("model", "channels", 100_000)]
    settings += [("features", "bins", 512), ("features", "window_ms", 1000.0)]
    for section, name, value in settings:
        config = json.loads(json.dumps(metadata["config"]))
        config[section][name] = value
        if name == "window_ms":
            config[section] |= {"sample_rate": 192_000, "bins": 512}
        safetensors.torch.save_file(tensors, tmp_path / name, {"asr": json.dumps({**metadata, "config": config})})
        start = time.process_time()
        with pytest.raises(ModelFileError, match="do not fit together") as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)
        assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_weights_of_another_type_or_not_finite_are_refused(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.save(tmp_path / "good")
    described = {"asr": json.dumps(read_metadata(tmp_path / "good"))}
    tensors = safetensors.torch.load_file(tmp_path / "good")
    name = "acoustic_model.output.weight"
    for changed, message in (
        (tensors[name].double(), "is torch.float64"),
        (tensors[name].int(), "is torch.int32"),
        (tensors[name].t().contiguous(), "of shape"),
        (tensors[name] * torch.inf, "not finite"),
    ):
        safetensors.torch.save_file({**tensors, name: changed}, tmp_path / "bad", described)
        with pytest.raises(ModelFileError, match=message):
            load(tmp_path / "bad")
    safetensors.torch.save_file({**tensors, name: tensors[name].half()}, tmp_path / "bad", described)
    with pytest.raises(ModelFileError, match="damaged or no safetensors"):
        load(tmp_path / "bad")


def test_finite_weights_whose_products_overflow(recognizer: Recognizer) -> None:
    """Nothing can be read from outputs that are not numbers; best path would take them for silence."""
    with torch.no_grad():
        for weight in recognizer.acoustic_model.parameters():
            weight.fill_(3e38)
    with pytest.raises(ModelFileError, match="not numbers"):
        recognizer.recognize([random_waveforms(1, 1)[0]])


ANY_JSON = [None, True, 7, 1e400, "x", [], ["x"], [[]], {}, {"x": {}}, {"config": 3}]


@pytest.mark.parametrize("value", ANY_JSON, ids=repr)
def test_any_json_in_the_description_is_a_model_file_error(
    value: object, recognizer: Recognizer, tmp_path: Path
) -> None:
    recognizer.save(tmp_path / "good")
    metadata, tensors = read_metadata(tmp_path / "good"), safetensors.torch.load_file(tmp_path / "good")
    config = metadata["config"]
    variants: list[object] = [value, {**metadata, "config": value}, {**metadata, "format": value}]
    variants += [{**metadata, name: value} for name in ("decoding", "confidence", "lengths", "task", "units")]
    if not isinstance(value, dict):  # all settings of phrases have defaults
        variants.append({**metadata, "phrases": value})
    variants += [{**metadata, "config": {**config, name: value}} for name in ("data", "features", "model", "task")]
    for number, variant in enumerate(variants):
        path = tmp_path / str(number)
        safetensors.torch.save_file(tensors, path, {"asr": json.dumps(variant)})
        with pytest.raises(ModelFileError) as caught:
            load(path)
        assert str(path) in str(caught.value)


def test_deep_descriptions_and_false_headers_are_refused(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.save(tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    large = {**read_metadata(tmp_path / "good"), "training": {"training_hours": 10**400}}
    deep = {"format": 1, "config": {}, "x": json.loads("[" * 500 + "]" * 500)}
    name = next(name for name in header if name != "__metadata__")
    cases = [
        {**header, "__metadata__": {"asr": json.dumps(deep)}},
        {**header, "__metadata__": {"asr": json.dumps(large)}},
        {**header, "__metadata__": []},
        {**header, name: 3},
        {**header, name: {**header[name], "shape": [-1]}},
        {**header, name: {**header[name], "dtype": []}},
        {**header, name: {**header[name], "data_offsets": [0, 10**30]}},
        {
            **header,
            **{f"x{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(10_001)},
        },
        [],
    ]
    for case in cases:
        encoded = json.dumps(case).encode()
        (tmp_path / "bad").write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
        with pytest.raises(ModelFileError, match=r"damaged or no safetensors|another program"):
            read_metadata(tmp_path / "bad")
