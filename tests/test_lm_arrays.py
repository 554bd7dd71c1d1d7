"""Recurrent language models without PyTorch: numpy gives the answers of the network, in files, decoders and exports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import fresh_recognizer
from oracles import random_waveforms, randomise
from test_recurrent import GIVEN, random_lm

import asr
from asr.cells import CELLS
from asr.decoding.decoder import Decoder
from asr.decoding.rescoring import Rescorer
from asr.errors import LanguageModelError, ModelFileError
from asr.exporting.onnx import to_onnx
from asr.lm.arrays import GATES, ArrayLM
from asr.lm.estimate import estimate
from asr.lm.recurrent import RecurrentLM
from asr.lm.restore import load_for_decoding
from asr.recognition.recognizer import Recognizer

TEXTS = ["ab ab", "b a ab", "a ab", "ab", "bbba a b a", "é"]


def as_arrays(lm: RecurrentLM) -> ArrayLM:
    return ArrayLM.from_parts(lm.to_tensors(), lm.to_metadata())


def with_models(order: str) -> Recognizer:
    """Return a recogniser whose decoder reads a recurrent model in the search, or in rescoring, or in both."""
    recognizer = fresh_recognizer(" ab")
    decoder = Decoder(recognizer.units, estimate(TEXTS, order=2, units="words").model)
    if order != "rescoring":
        decoder = decoder.fusing(random_lm(seed=3)).using(weights=decoder.weights._replace(recurrent=0.7, unit=0.2))
    if order != "search":
        decoder.rescorer = Rescorer(random_lm("words", cell="gru"), recognizer.units, 2.0, 0.5)
    recognizer.decoder = decoder
    return recognizer


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("units", ["characters", "words"])
def test_scores_are_those_of_the_network(cell: str, units: str) -> None:
    """Alone and in batches, of known and unknown tokens, for one layer and three; the oracle is PyTorch."""
    for layers, hidden in ((1, 7), (3, 8)):
        lm = random_lm(units, cell=cell, layers=layers, hidden=hidden)
        arrays, sentences = as_arrays(lm), lm.encode_sentences(TEXTS)
        expected = lm.log_probs(sentences)
        for found, alone, row in zip(
            arrays.log_probs(sentences),
            [next(iter(arrays.log_probs([sentence]))) for sentence in sentences],
            expected,
            strict=True,
        ):
            np.testing.assert_allclose(found, row, atol=1e-5)
            np.testing.assert_allclose(alone, row, atol=1e-5)
        assert str(arrays.perplexity(TEXTS)) == str(lm.perplexity(TEXTS))
    assert set(CELLS) == set(GATES)


def test_conditions_are_those_of_the_network() -> None:
    lm = random_lm(condition_size=3, given=GIVEN)
    arrays, vectors = as_arrays(lm), np.random.default_rng(0).normal(size=(len(TEXTS), 3))
    assert arrays.given == GIVEN
    for found, row in zip(*(one.log_probs(one.encode_sentences(TEXTS), vectors) for one in (arrays, lm)), strict=True):
        np.testing.assert_allclose(found, row, atol=1e-5)
    with pytest.raises(LanguageModelError, match="needs vectors of shape"):
        arrays.perplexity(TEXTS)


def test_files_keep_their_bytes_and_damage_is_named(tmp_path: Path) -> None:
    lm = random_lm()
    lm.save(tmp_path / "a")
    load_for_decoding(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tensors, metadata = lm.to_tensors(), lm.to_metadata()
    bias = tensors["norms.0.bias"]
    for changed, network, said in (
        ({"norms.0.bias": bias[1:]}, {}, r"float32 of shape \(7,\); the settings need float32 of shape \(8,\)"),
        ({"norms.0.bias": bias.astype(np.float64)}, {}, "is float64"),
        ({"norms.0.bias": bias * np.nan}, {}, "not finite"),
        ({}, {"layers": 10**12}, "cannot be in"),
        ({}, {"layers": 0}, "no network has"),
        ({}, {"layers": 1}, "the settings know no tensor layers.1"),
        ({}, {"layers": "2"}, "TypeError"),
        ({}, {"hidden": 9}, "the settings need"),
        ({}, {"hidden": True}, "no whole numbers"),
        ({}, {"cell": "gru"}, "the settings need"),
        ({}, {"cell": ["lstm"]}, "damaged"),
        ({}, {"dropout": 2.0}, "no network has"),
        ({}, {"width": 3}, "unexpected keyword"),
        ({}, {"condition_size": 2}, "condition.weight is missing"),
    ):
        parts = {**tensors, **changed}, {**metadata, "network": {**lm.settings, **network}}
        with pytest.raises(LanguageModelError, match=said):
            ArrayLM.from_parts(*parts)
    with pytest.raises(LanguageModelError, match="missing"):
        ArrayLM.from_parts({name: array for name, array in tensors.items() if name != "norms.2.weight"}, metadata)
    randomise(lm.network, 0, 1e37)
    with pytest.raises(LanguageModelError, match="not numbers"):
        as_arrays(lm).perplexity(TEXTS)
    fresh_recognizer().save(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="no recurrent language model"):
        load_for_decoding(tmp_path / "model.safetensors")


@pytest.mark.parametrize("order", ["search", "rescoring", "both"])
def test_exported_recognisers_use_them(order: str, tmp_path: Path) -> None:
    """Texts and n-best lists are those of the model in PyTorch; without recurrent models they are others."""
    recognizer = with_models(order)
    (tmp_path / "m.onnx").write_bytes(to_onnx(recognizer))
    runtime, waveforms = asr.load(tmp_path / "m.onnx"), random_waveforms(2, 12)
    assert runtime.recognize(waveforms) == recognizer.recognize(waveforms)
    found, expected = (one.transcribe(waveforms[0], 8000, nbest=4).nbest for one in (runtime, recognizer))
    assert [one.text for one in found] == [one.text for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-3)
    assert recognizer.decoder is not None
    recognizer.decoder = recognizer.decoder.without_recurrent()
    assert runtime.recognize(waveforms) != recognizer.recognize(waveforms)


def test_they_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(to_onnx(with_models("both")))
    random_lm().save(tmp_path / "lm.safetensors")
    program = (
        "import sys, asr, numpy as np\n"
        "from asr.lm.restore import load_for_decoding\n"
        "sys.modules['torch'] = None  # so that an import of it fails\n"
        f"model = asr.load({str(tmp_path / 'm.onnx')!r})\n"
        f"print(load_for_decoding({str(tmp_path / 'lm.safetensors')!r}).perplexity(['ab']).tokens)\n"
        "wave = np.sin(np.arange(9000) ** 1.1).astype('f4') / 3\n"
        "print(model.decoder.rescorer is not None, model.decoder.network is not None)\n"
        "print(model.transcribe(wave, 8000, nbest=2).duration)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "3\nTrue True\n1.125\n", done.stderr


def test_a_damaged_model_in_an_exported_file_is_named(tmp_path: Path) -> None:
    import onnx

    content = onnx.load_from_string(to_onnx(with_models("rescoring")))
    (entry,) = (entry for entry in content.metadata_props if entry.key == "asr")
    description = json.loads(entry.value)
    description["decoding"]["rescorer"]["lm"]["network"]["hidden"] = 9
    entry.value = json.dumps(description)
    (tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    with pytest.raises(ModelFileError, match=r"m\.onnx: is damaged.*the settings need"):
        asr.load(tmp_path / "m.onnx")
