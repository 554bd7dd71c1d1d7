"""Recurrent language models: scoring, generation, conditioning, files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from conftest import fresh_recognizer
from oracles import randomise

from asr.cli.models import info
from asr.errors import LanguageModelError, ModelFileError
from asr.lm.base import Given
from asr.lm.ngram import BEGIN, SPECIALS
from asr.lm.recurrent import RecurrentLM, load_recurrent
from asr.lm.restore import load_for_decoding
from asr.model_file import read_metadata
from asr.recognition.recognizer import load
from asr.text import Normalizer

SENTENCES = ["ab ba", "b", "a ab abb a", "bé"]


GIVEN = Given("dialect", ("east", "north", "Olléé"))


def random_lm(
    units: str = "characters", seed: int = 0, cell: str = "lstm", given: Given | None = None, **settings: int
) -> RecurrentLM:
    """A language model with random weights that make a visible difference."""
    tokens = ("<space>", "a", "b") if units == "characters" else ("ab", "ba", "b")
    settings = {"cell": cell, "hidden": 8, "layers": 2, "dropout": 0.3, **settings}  # type: ignore[dict-item]
    lm = RecurrentLM((*SPECIALS, *tokens), units, Normalizer(lower=True), settings, {"epoch": 3}, given)  # type: ignore[arg-type]
    randomise(lm.network, seed, 0.7)
    return lm


@torch.inference_mode()
@pytest.mark.parametrize("units", ["characters", "words"])
def test_perplexity_by_brute_force(units: str) -> None:
    """One token at a time, one sentence at a time; é and some words are unknown."""
    lm = random_lm(units)
    lm.network.eval()
    nats = known_nats = 0.0
    count = unknown = 0
    for sentence in SENTENCES:
        tokens = sentence.split() if units == "words" else list(sentence.replace(" ", "_"))
        states, token = None, BEGIN
        for following in [*(t.replace("_", "<space>") for t in tokens), "</s>"]:
            log_probs, states = lm.network(torch.tensor([[token]]), states)
            token = lm.vocabulary.index(following) if following in lm.vocabulary else 0
            nats += float(log_probs[0, 0, token])
            known_nats += float(log_probs[0, 0, token]) if token else 0.0
            count, unknown = count + 1, unknown + (token == 0)
    found = lm.perplexity([*SENTENCES, ""])
    assert (found.tokens, found.unknown) == (count, unknown) and unknown > 0
    assert found.value == pytest.approx(math.exp(-nats / count), rel=1e-5)
    assert found.log_prob_known == pytest.approx(known_nats, rel=1e-5)


def test_neither_batch_nor_padding_nor_order_matters() -> None:
    lm = random_lm()
    sentences = lm.encode_sentences(SENTENCES * 3)
    together = list(lm.log_probs(sentences))
    alone = [next(iter(lm.log_probs([sentence]))) for sentence in sentences]
    backwards = list(lm.log_probs(sentences[::-1]))[::-1]
    for one, other, third in zip(together, alone, backwards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        np.testing.assert_allclose(one, third, atol=1e-5)


@torch.inference_mode()
def test_greedy_text_is_the_likeliest_each_time() -> None:
    lm = random_lm()
    lm.network.eval()
    expected = [BEGIN, *lm.encode("ab")]
    for _ in range(12):
        log_probs, _ = lm.network(torch.tensor([[BEGIN if token == 2 else token for token in expected]]))
        expected.append(int(log_probs[0, -1, 2:].argmax()) + 2)
    spelled = "".join({2: "\n", 3: " "}.get(token, lm.vocabulary[token]) for token in expected[1:])
    assert lm.generate("AB", length=12, temperature=0) == spelled


@torch.inference_mode()
def test_generated_text_follows_the_seed_and_the_probabilities() -> None:
    lm = random_lm("words")
    assert lm.generate(length=30, seed=1) == lm.generate(length=30, seed=1) != lm.generate(length=30, seed=2)
    text = lm.generate(length=300)
    assert set(text.split()) == {"ab", "ba", "b"} and "\n" in text
    log_probs, _ = lm.network(torch.tensor([[BEGIN]]))
    first = [lm.generate(length=1, seed=seed) for seed in range(200)]
    probabilities = log_probs[0, 0].double().exp().numpy()
    share = probabilities[3] / probabilities[2:].sum()
    assert first.count("ab") / 200 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 200))


def test_generation_at_the_ends_of_its_range() -> None:
    """A very small temperature takes the likeliest token, as 0 does; weights that overflow are named."""
    lm = random_lm("words")
    assert lm.generate(length=30, temperature=1e-44) == lm.generate(length=30, temperature=0)
    randomise(lm.network, 0, 1e38)
    with pytest.raises(LanguageModelError, match="not numbers"):
        lm.generate(length=3)


def test_a_prompt_with_unknown_tokens_is_refused() -> None:
    with pytest.raises(LanguageModelError, match="does not know 'é'"):
        random_lm().generate("bé")


@torch.inference_mode()
def test_every_sentence_is_read_with_its_own_vector() -> None:
    """Batch and order do not matter; any vector changes the probabilities and the generated text."""
    lm = random_lm(condition_size=2)
    vectors = np.random.default_rng(0).normal(size=(12, 2))
    sentences = lm.encode_sentences(SENTENCES * 3)
    together = list(lm.log_probs(sentences, vectors))
    for sentence, vector, found in zip(sentences, vectors, together, strict=True):
        inputs = torch.tensor([[BEGIN, *sentence[:-1]]])
        log_probs, _ = lm.network(inputs, None, torch.tensor(vector, dtype=torch.float32))
        np.testing.assert_allclose(found, log_probs[0, range(len(sentence)), sentence], atol=1e-5)
    nats = np.concatenate(together).sum()
    assert lm.perplexity(SENTENCES * 3, vectors).log_prob == pytest.approx(nats)
    assert lm.perplexity(SENTENCES * 3, vectors[::-1]).log_prob != pytest.approx(nats, rel=1e-3)
    assert len({lm.generate(length=40, vector=vector) for vector in vectors}) > 4


@torch.inference_mode()
def test_greedy_text_is_the_likeliest_given_the_vector() -> None:
    lm = random_lm(condition_size=3, given=GIVEN)
    vector = lm.vector("Olle\u0301e\u0301")  # typed in another Unicode form
    assert vector is not None and vector.tolist() == [0, 0, 1]
    text = lm.generate("ab", length=12, temperature=0, vector=vector)
    expected = [BEGIN, *lm.encode("ab")]
    for _ in range(12):
        inputs = torch.tensor([[BEGIN if token == 2 else token for token in expected]])
        log_probs, _ = lm.network(inputs, None, torch.tensor([[0.0, 0, 1]]))
        expected.append(int(log_probs[0, -1, 2:].argmax()) + 2)
    assert text == "".join({2: "\n", 3: " "}.get(token, lm.vocabulary[token]) for token in expected[1:])


def test_what_a_model_is_given_must_be_what_it_needs() -> None:
    conditional, plain = random_lm(condition_size=3, given=GIVEN), random_lm()
    with pytest.raises(
        LanguageModelError, match="no dialect 'south', 'west'; its training text has east, north, Olléé"
    ):
        GIVEN.vectors(["west", "east", "south"])
    with pytest.raises(LanguageModelError, match="needs a dialect, --given one of east, north, Olléé"):
        conditional.vector(None)
    with pytest.raises(LanguageModelError, match="cannot be --given 'east'"):
        plain.vector("east")
    assert plain.vector(None) is None
    optional = random_lm(condition_size=3, given=replace(GIVEN, dropped=0.1))
    assert optional.vector(None).tolist() == [0, 0, 0]  # type: ignore[union-attr]
    with pytest.raises(LanguageModelError, match="no dialect 'south'"):
        optional.vector("south")
    for lm, vectors, said in (
        (conditional, None, r"4 sentences .* shape \(4, 3\) .* given None"),
        (conditional, np.ones((4, 2)), r"given \(4, 2\)"),
        (conditional, np.ones((5, 3)), r"given \(5, 3\)"),
        (plain, np.ones((4, 3)), r"needs vectors of shape None \(None: no vectors\); it was given \(4, 3\)"),
    ):
        with pytest.raises(LanguageModelError, match=said):
            lm.perplexity(SENTENCES, vectors)
    with pytest.raises(LanguageModelError, match=r"given None"):
        conditional.generate()
    with pytest.raises(LanguageModelError, match=r"given \(1, 3\)"):
        plain.generate(vector=np.ones(3))


@pytest.mark.parametrize("value", ["east", "Olléé", None])
def test_the_model_of_one_value_is_the_conditional_model(value: str | None, tmp_path: Path) -> None:
    """In PyTorch and in numpy, also from a file; its own file has no conditions, and says which value it is of."""
    lm = random_lm(condition_size=3, given=replace(GIVEN, dropped=0.1))
    vector = np.zeros(3) if value is None else np.eye(3)[GIVEN.values.index(value)]
    expected = lm.log_probs(lm.encode_sentences(SENTENCES), np.tile(vector, (len(SENTENCES), 1)))
    lm.save(tmp_path / "lm")
    for one in (lm.given_value(value), load_for_decoding(tmp_path / "lm", value)):
        assert one.condition_size == 0 and one.given is None
        assert one.summary == {"epoch": 3, "given": f"dialect {value or 'not known'}"}
        for found, row in zip(one.log_probs(one.encode_sentences(SENTENCES)), expected, strict=True):
            np.testing.assert_allclose(found, row, atol=1e-5)
    assert load_recurrent(tmp_path / "lm", conditional=True).given == lm.given
    with pytest.raises(LanguageModelError, match="no dialect 'south'"):
        load_for_decoding(tmp_path / "lm", "south")


def test_models_without_and_before_dropped_values(tmp_path: Path) -> None:
    """Files of models that were trained with values only keep their bytes, and still need a value."""
    lm = random_lm(condition_size=3, given=GIVEN)
    lm.save(tmp_path / "lm")
    assert read_metadata(tmp_path / "lm")["given"] == {"field": "dialect", "values": ["east", "north", "Olléé"]}
    with pytest.raises(LanguageModelError, match="needs a dialect, --given one of"):
        load_for_decoding(tmp_path / "lm")
    assert load_for_decoding(tmp_path / "lm", "east").condition_size == 0
    random_lm().save(tmp_path / "plain")
    assert load_for_decoding(tmp_path / "plain").to_metadata() == random_lm().to_metadata()
    with pytest.raises(LanguageModelError, match="cannot be --given 'east'"):
        load_for_decoding(tmp_path / "plain", "east")
    for damage in ({"dropped": 2}, {"dropped": "all"}, {"dropped": float("nan")}, {"unknown": 1}, {"values": ["east"]}):
        metadata = {**lm.to_metadata(), "given": {"field": "dialect", "values": list(GIVEN.values), **damage}}
        with pytest.raises(LanguageModelError, match="damaged"):
            RecurrentLM.from_parts(lm.to_tensors(), metadata)


def test_values_are_learned_if_they_tell_anything() -> None:
    given = Given.learn("dialect", ["b", "a ", "b", "a", "e\u0301", "é"])
    assert given == Given("dialect", ("a", "b", "é"), dropped=0.1)
    np.testing.assert_array_equal(given.vectors(["é", "a"]), [[0, 0, 1], [1, 0, 0]])
    values = ["a", "b", "é"] * 50
    others = given.others(values).argmax(1)
    assert (others != given.vectors(values).argmax(1)).all() and (np.bincount(others) > 30).all()
    for values in (["a"] * 9, ["a", "b", "c"], []):
        with pytest.raises(LanguageModelError, match=rf"field dialect has {len(set(values))} different values in"):
            Given.learn("dialect", values)


@pytest.mark.parametrize("units", ["characters", "words"])
def test_the_file_holds_everything(units: str, tmp_path: Path) -> None:
    lm = random_lm(units)
    lm.save(tmp_path / "a")
    loaded = load_recurrent(tmp_path / "a")
    assert (loaded.vocabulary, loaded.units, loaded.settings) == (lm.vocabulary, units, lm.settings)
    assert loaded.normalizer("A B") == "a b"
    assert loaded.perplexity(SENTENCES) == lm.perplexity(SENTENCES)
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_metadata(tmp_path / "a")["training"] == {"epoch": 3}


def test_the_file_holds_what_sentences_are_given(tmp_path: Path) -> None:
    """A decoder has no vectors, so it takes only models that need none."""
    for lm, needed in ((random_lm(condition_size=3, given=GIVEN), "dialect"), (random_lm(condition_size=2), "vector")):
        lm.save(tmp_path / "lm")
        loaded = load_recurrent(tmp_path / "lm", conditional=True)
        assert loaded.given == lm.given
        vectors = np.eye(lm.condition_size)[:2]
        assert loaded.perplexity(SENTENCES[:2], vectors) == lm.perplexity(SENTENCES[:2], vectors)
        with pytest.raises(ModelFileError, match=f"lm: needs the {needed} of each sentence"):
            load_recurrent(tmp_path / "lm")
    random_lm().save(tmp_path / "lm")
    assert "given" not in read_metadata(tmp_path / "lm") and load_recurrent(tmp_path / "lm", conditional=True)


def test_damaged_and_other_files_are_refused(tmp_path: Path) -> None:
    random_lm().save(tmp_path / "good")
    metadata, tensors = read_metadata(tmp_path / "good"), safetensors.torch.load_file(tmp_path / "good")
    for settings, arrays in (
        ({"units": "syllables"}, {}),
        ({"network": {**metadata["network"], "hidden": 9}}, {}),
        ({"network": {**metadata["network"], "cells": 9}}, {}),
        ({"text": {"shout": True}}, {}),
        ({"given": {"field": "dialect"}}, {}),
        ({"given": {"field": "dialect", "values": ["east"]}}, {}),
        ({}, {"vocabulary": tensors["vocabulary"][1:].clone()}),
        ({}, {"output.bias": tensors["output.bias"][1:].clone()}),
    ):
        safetensors.torch.save_file(
            {**tensors, **arrays}, tmp_path / "bad", {"asr": json.dumps({**metadata, **settings})}
        )
        with pytest.raises(ModelFileError, match="bad: the stored recurrent language model is damaged"):
            load_recurrent(tmp_path / "bad")
    fresh_recognizer().save(tmp_path / "recognizer")
    with pytest.raises(ModelFileError, match="no recurrent language model"):
        load_recurrent(tmp_path / "recognizer")
    with pytest.raises(ModelFileError, match="good: was trained for language model; use it with `asr lm generate`"):
        load(tmp_path / "good")
    assert load_recurrent(tmp_path / "good").summary == {"epoch": 3}


def test_info_shows_a_language_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    random_lm(given=GIVEN, condition_size=3).save(tmp_path / "lm")
    info(tmp_path / "lm")
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["task"], shown["units"], shown["given"]["field"]) == ("language model", "characters", "dialect")
