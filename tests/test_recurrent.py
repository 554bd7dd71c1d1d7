import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import fresh_recognizer
from oracles import randomise

from asr.decoding.ngram import BEGIN, SPECIALS
from asr.decoding.recurrent import RecurrentLM, load_recurrent
from asr.errors import LanguageModelError, ModelFileError
from asr.model import load, read_metadata
from asr.text import Normalizer

SENTENCES = ["ab ba", "b", "a ab abb a", "bé"]


def random_lm(units: str = "characters", seed: int = 0, cell: str = "lstm") -> RecurrentLM:
    """A language model with random weights that make a visible difference."""
    tokens = ("<space>", "a", "b") if units == "characters" else ("ab", "ba", "b")
    settings = {"cell": cell, "hidden": 8, "layers": 2, "dropout": 0.3}
    lm = RecurrentLM((*SPECIALS, *tokens), units, Normalizer(lower=True), settings, {"epoch": 3})  # type: ignore[arg-type]
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


def test_a_prompt_with_unknown_tokens_is_refused() -> None:
    with pytest.raises(LanguageModelError, match="does not know 'é'"):
        random_lm().generate("bé")


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


def test_damaged_and_other_files_are_refused(tmp_path: Path) -> None:
    random_lm().save(tmp_path / "good")
    metadata, tensors = read_metadata(tmp_path / "good"), safetensors.torch.load_file(tmp_path / "good")
    for settings, arrays in (
        ({"units": "syllables"}, {}),
        ({"network": {**metadata["network"], "hidden": 9}}, {}),
        ({"network": {**metadata["network"], "cells": 9}}, {}),
        ({"text": {"shout": True}}, {}),
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
    with pytest.raises(ModelFileError, match="good: its parts do not fit together"):
        load(tmp_path / "good")
