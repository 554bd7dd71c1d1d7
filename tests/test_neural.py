"""A recurrent language model inside the beam search: against PyTorch, against its definition, tuned."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import fresh_recognizer
from oracles import prefixes_by_enumeration, random_waveforms, randomise
from test_beam import EXHAUSTIVE, random_log_probs
from test_decoder import Spoken
from test_fusion import CHARACTERS, TEXTS, UNITS, WEIGHTS, WORDS, lm_score

from asr.decoding.beam import BeamSearch, Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.decoding.hotwords import build_hotwords
from asr.decoding.hypothesis import Hypothesis
from asr.errors import LanguageModelError, ModelFileError
from asr.lm.base import Given
from asr.lm.compiled import CURE, build_network, read
from asr.lm.ngram import BEGIN, END, SPECIALS
from asr.lm.recurrent import RecurrentLM
from asr.model_file import read_metadata
from asr.recognition.recognizer import load
from asr.text import Normalizer, Units
from asr.tuning.recurrent import tune_fusion

FUSED = WEIGHTS._replace(recurrent=0.6, unit=0.3)


def random_lm(cell: str = "lstm", layers: int = 2, hidden: int = 7, characters: str = "ab", **more: int) -> RecurrentLM:
    """A character model with random weights that make a visible difference."""
    settings = {"cell": cell, "hidden": hidden, "layers": layers, "dropout": 0.3, **more}
    lm = RecurrentLM((*SPECIALS, "<space>", *characters), "characters", Normalizer(), settings)
    randomise(lm.network, 0, 0.7)
    return lm


def fused(lm: RecurrentLM, weights: Weights = FUSED, pruning: Pruning | None = None) -> Decoder:
    return Decoder(UNITS, WORDS, CHARACTERS, weights=weights, pruning=pruning).fusing(lm)


def decode(decoder: Decoder, log_probs: np.ndarray, count: int = 5, **room: int) -> list[Hypothesis]:
    search = BeamSearch(decoder.fusion, decoder.pruning, decoder.network, **room)
    search.feed(log_probs)
    return search.hypotheses(count)


@torch.inference_mode()
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize(("layers", "hidden"), [(1, 8), (1, 7), (2, 6), (3, 5)])
def test_steps_are_those_of_the_network(cell: str, layers: int, hidden: int) -> None:
    """A unit that the model does not know is read and predicted as `<unk>`."""
    lm = random_lm(cell, layers, hidden, "b")
    network = build_network(lm, UNITS)
    units = [2, 1, 3, 3, 2, 1, 1, 2, 3]
    tokens = [{1: 3, 2: 0, 3: 4}[unit] for unit in units]  # space, the unknown a, b
    expected, _ = lm.network.eval()(torch.tensor([[BEGIN, *tokens]]))
    before = np.zeros((layers, 2, hidden), np.float32)
    for unit, row in zip([0, *units], expected[0].numpy(), strict=True):
        after, follows = np.empty_like(before), np.empty(4, np.float32)
        read(network, unit, before, after, follows)
        np.testing.assert_allclose(follows, row[[END, 3, 0, 4]], atol=1e-4)
        before = after


@torch.inference_mode()
@pytest.mark.parametrize("value", ["es", "ru", None])
def test_a_conditional_model_is_read_for_one_value(value: str | None) -> None:
    """The compiled steps are those of the conditional network with the vector of the value; zeros without a value."""
    language = Given("language", ("es", "ru"), dropped=0.1)
    plain = random_lm()
    lm = RecurrentLM(
        plain.vocabulary, plain.units, plain.normalizer, {**plain.settings, "condition_size": 2}, {}, language
    )
    randomise(lm.network, 0, 0.7)
    with pytest.raises(LanguageModelError, match="needs a vector for each sentence"):
        build_network(lm, UNITS)
    network, vector = build_network(lm.given_value(value), UNITS), torch.tensor(lm.vector(value))
    units = [2, 1, 3, 3]
    expected, _ = lm.network.eval()(torch.tensor([[BEGIN, 4, 3, 5, 5]]), None, vector)
    before = np.zeros((2, 2, 7), np.float32)
    for unit, row in zip([0, *units], expected[0].numpy(), strict=True):
        after, follows = np.empty_like(before), np.empty(4, np.float32)
        read(network, unit, before, after, follows)
        np.testing.assert_allclose(follows, row[[END, 3, 4, 5]], atol=1e-4)
        before = after


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_scores_are_those_of_the_definition(cell: str) -> None:
    lm = random_lm(cell)
    for seed in range(3):
        log_probs = random_log_probs(seed, 6, 4)
        expected = prefixes_by_enumeration(log_probs)
        found = decode(fused(lm, pruning=EXHAUSTIVE), log_probs, 10_000)
        assert {h.units for h in found} == expected.keys()
        texts = [UNITS.decode(hypothesis.units) for hypothesis in found]
        sentences = [lm.encode([*lm.tokens(text), "</s>"]) for text in texts]
        for hypothesis, text, log_prob in zip(found, texts, lm.log_probs(sentences), strict=True):
            score = expected[hypothesis.units] + lm_score(text, WORDS, CHARACTERS, FUSED)
            score += FUSED.recurrent * log_prob.sum() + FUSED.unit * len(text)
            assert hypothesis.score == pytest.approx(score, abs=1e-4), text


def test_what_counts_nothing_changes_nothing() -> None:
    plain = Decoder(UNITS, WORDS, CHARACTERS, weights=WEIGHTS)
    for seed in range(5):
        log_probs = random_log_probs(seed, 50, 4, 2.0)
        without = decode(plain, log_probs)
        assert decode(fused(random_lm(), WEIGHTS), log_probs) == without
        assert (
            decode(plain.using(weights=WEIGHTS._replace(recurrent=2.0)), log_probs) == without
        )  # without a recurrent model its weight has no effect
        assert decode(fused(random_lm()).without_recurrent(), log_probs) == without
        assert decode(fused(random_lm()), log_probs) != without


def test_hotwords_stand_beside_it() -> None:
    """A hotword of weight w adds w to the texts that hold it."""
    lm, log_probs = random_lm(), random_log_probs(0, 6, 4)
    plain = fused(lm, pruning=EXHAUSTIVE)
    favouring = plain.using(hotwords=build_hotwords({tuple(UNITS.encode("ba")): 1.5}, UNITS))
    scores = {h.units: h.score for h in decode(plain, log_probs, 10_000)}
    for hypothesis in decode(favouring, log_probs, 10_000):
        times = UNITS.decode(hypothesis.units).split(" ").count("ba")
        assert hypothesis.score == pytest.approx(scores[hypothesis.units] + 1.5 * times, abs=1e-6)


@pytest.mark.parametrize("pruning", [Pruning(), Pruning(width=3, units=2, min_log_prob=-3.0, margin=5.0)])
def test_neither_chunks_nor_room_leave_a_trace(pruning: Pruning) -> None:
    """Hypotheses are requested after each chunk, as in a stream, which makes the model read more prefixes."""
    log_probs = random_log_probs(1, 300, 4, 2.0)
    decoder = fused(random_lm(), pruning=pruning)
    whole = decode(decoder, log_probs, nodes=1 << 18, rows=1 << 16)
    assert decode(decoder, log_probs, rows=1) == whole
    search = BeamSearch(decoder.fusion, pruning, decoder.network, nodes=2, rows=1)
    room = search._cache.states.shape
    for start in range(0, 300, 9):
        search.feed(log_probs[start : start + 9])
        search.hypotheses()
    assert search.hypotheses(5) == whole and search._cache.states.shape == room
    search.reset()
    search.feed(log_probs)
    assert search.hypotheses(5) == whole


def test_threads_may_share_it() -> None:
    decoder = fused(random_lm())
    log_probs = [random_log_probs(seed, 5 + 7 * seed % 40, 4, 2.0) for seed in range(20)]
    assert decoder.decode_n_best(log_probs, 3) == [decode(decoder, one, 3) for one in log_probs]


def test_the_model_file_holds_it(tmp_path: Path) -> None:
    recognizer = fresh_recognizer(" ab")
    waveforms = random_waveforms(0, 6)
    recognizer.decoder = fused(random_lm(), FUSED._replace(recurrent=3.0))
    recognizer.save(tmp_path / "a")
    loaded = load(tmp_path / "a", "cpu")
    assert loaded.recognize(waveforms) == recognizer.recognize(waveforms)
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    recognizer.decoder = recognizer.decoder.without_recurrent()
    assert loaded.recognize(waveforms) != recognizer.recognize(waveforms)

    metadata, tensors = read_metadata(tmp_path / "a"), safetensors.torch.load_file(tmp_path / "a")
    decoding, bias = metadata["decoding"], "decoder.recurrent.layers.0.forward_rnn.bias_hh_l0"
    network = decoding["recurrent"]["network"]
    for changed, arrays in (
        ({"weights": {**decoding["weights"], "recurrent": math.inf}}, {}),
        ({"recurrent": None}, {}),
        ({"recurrent": {**decoding["recurrent"], "units": "words"}}, {}),
        ({"recurrent": {**decoding["recurrent"], "network": {**network, "cell": "gru"}}}, {}),
        ({"recurrent": {**decoding["recurrent"], "network": {**network, "layers": 1}}}, {}),
        ({}, {bias: tensors[bias][1:].clone()}),
        ({}, {bias: torch.full_like(tensors[bias], torch.nan)}),
    ):
        damaged = {**metadata, "decoding": {**decoding, **changed}}
        safetensors.torch.save_file({**tensors, **arrays}, tmp_path / "bad", {"asr": json.dumps(damaged)})
        with pytest.raises(ModelFileError, match="do not fit together"):
            load(tmp_path / "bad")


def test_models_that_do_not_read_unit_by_unit_are_refused() -> None:
    words = RecurrentLM((*SPECIALS, "ab"), "words", Normalizer(), {"hidden": 4})
    lower, bare = random_lm(), random_lm()
    lower.normalizer, bare.normalizer = Normalizer(lower=True), Normalizer(strip_punctuation=True)
    for lm, units, message in (
        (words, UNITS, "this recurrent language model words; train one"),
        (random_lm(condition_size=3), UNITS, "a vector for each sentence"),
        (lower, Units(" aB"), "does not read 'B' as one character; train one"),
        (bare, Units(" a!"), "does not read '!'"),
        (random_lm(), Units(["a", "ng"]), "does not read 'ng'"),
        (random_lm(), Units("ab", "phones"), "phones"),
    ):
        with pytest.raises(LanguageModelError, match=message):
            build_network(lm, units)
    build_network(lower, UNITS)
    build_network(bare, Units(" a'"))  # kept inside words


def taught_lm() -> RecurrentLM:
    """A character model that has seen `TEXTS` a few times."""
    lm = random_lm("gru", 1, 16)
    sentences = [torch.from_numpy(sentence).long() for sentence in lm.encode_sentences(TEXTS)]
    optimizer = torch.optim.Adam(lm.network.parameters(), lr=0.03)
    for _ in range(40):
        loss = torch.zeros(())
        for sentence in sentences:
            log_probs, _ = lm.network(torch.cat([torch.tensor([BEGIN]), sentence[:-1]])[None])
            loss = loss - log_probs[0].gather(1, sentence[:, None]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lm


def test_tuning_keeps_what_helps_and_nothing_else() -> None:
    recognizer, said = fresh_recognizer(" ab"), []
    validation = Spoken(recognizer, TEXTS * 3, 1.5)
    tune_fusion(validation, taught_lm(), said.append)
    decoder = recognizer.decoder
    assert decoder is not None and decoder.recurrent is not None and decoder.weights.recurrent > 0
    score = validation.score(decoder)
    assert score.wer.errors < 0.9 * validation.score(None).wer.errors
    assert str(score.wer).partition(" 95")[0] in said[-1]
    assert decoder.summary["fused"].startswith(str(score.wer).partition(" 95")[0])

    perfect = Spoken(fresh_recognizer(" ab"), TEXTS, 0.0)
    tune_fusion(perfect, taught_lm(), said.append)
    assert perfect.recognizer.decoder is None and "no better" in said[-1]


def test_a_model_that_cannot_be_fused_is_only_said_to_be() -> None:
    validation, said = Spoken(fresh_recognizer(" ab"), TEXTS, 1.5), []
    tune_fusion(validation, RecurrentLM((*SPECIALS, "ab"), "words", Normalizer(), {"hidden": 4}), said.append)
    assert validation.recognizer.decoder is None
    assert said == ["not read in the search: it reads characters, and this recurrent language model words; " + CURE]
