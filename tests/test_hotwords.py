"""Hotwords against their definition: each finished one adds its weight to the score of the text, and nothing else."""

import os
from pathlib import Path

import numpy as np
import pytest
from oracles import prefixes_by_enumeration
from test_beam import random_log_probs
from test_fusion import CHARACTERS, UNITS, WEIGHTS, WORDS, decode, lm_score

from asr.decoding.beam import Pruning
from asr.decoding.fusion import build_fusion
from asr.decoding.hotwords import WEIGHT, build_hotwords, read_hotwords
from asr.errors import TextError
from asr.text import Normalizer, Units

FAVOURED = {"ab": 2.5, "a": 0.7, "b a": 3.0, "abba": 1.5}


def automaton(weights: dict[str, float], units: Units = UNITS):
    return build_hotwords({tuple(units.encode(text)): weight for text, weight in weights.items()}, units)


def earned(text: str, weights: dict[str, float]) -> float:
    """Every place where a hotword stands as whole words."""
    words = text.split(" ")
    return sum(
        weight
        for hotword, weight in weights.items()
        for start in range(len(words))
        if words[start : start + hotword.count(" ") + 1] == hotword.split(" ")
    )


@pytest.mark.parametrize("with_models", [False, True])
def test_each_finished_hotword_adds_its_weight(with_models: bool) -> None:
    models = (WORDS, CHARACTERS) if with_models else (None, None)
    fusion = build_fusion(UNITS, *models, weights=WEIGHTS)._replace(hotwords=automaton(FAVOURED))
    favoured = 0
    for seed in range(4):
        log_probs = random_log_probs(seed, 6, 4)
        expected = prefixes_by_enumeration(log_probs)
        found = decode(log_probs, fusion)
        assert {h.units for h in found} == expected.keys()
        for hypothesis in found:
            text = UNITS.decode(hypothesis.units)
            bonus = earned(text, FAVOURED)
            score = expected[hypothesis.units] + lm_score(text, *models, WEIGHTS) + bonus
            assert hypothesis.score == pytest.approx(score, abs=1e-5), text
            favoured += bonus > 0
    assert favoured > 50


def test_what_is_lent_is_taken_back() -> None:
    """For any text, the nats earned and lent at each unit add up to the definition at its end."""
    hotwords = automaton(FAVOURED)
    generator = np.random.default_rng(0)
    for _ in range(300):
        units = generator.integers(1, 4, generator.integers(0, 12)).tolist()
        node, total = hotwords.begin, 0.0
        for unit in [*units, 1]:  # the space
            before = total + hotwords.credit[node]
            node = hotwords.follow[node, unit]
            total += hotwords.gain[node]
            assert total + hotwords.credit[node] - before <= hotwords.step + 1e-9
        assert total == pytest.approx(earned(UNITS.decode(units), FAVOURED))


def test_weight_zero_is_exactly_no_hotwords() -> None:
    for models in ((None, None), (WORDS, CHARACTERS)):
        plain = build_fusion(UNITS, *models, weights=WEIGHTS)
        idle = plain._replace(hotwords=automaton(dict.fromkeys(FAVOURED, 0.0)))
        for pruning in (Pruning(), Pruning(width=3, units=2, min_log_prob=-3.0, margin=4.0)):
            for seed in range(5):
                log_probs = random_log_probs(seed, 50, 4, 2.0)
                assert decode(log_probs, idle, pruning, 5) == decode(log_probs, plain, pruning, 5)


def test_a_hotword_is_found_in_a_narrow_beam() -> None:
    """Each letter of the hotword is improbable; only the lent weight keeps it in a beam of two."""
    log_probs = np.log(np.full((9, 4), 0.01))
    log_probs[:, 0] = np.log(0.97)
    for frame, unit in ((1, 2), (3, 3), (5, 3), (7, 2)):  # abba, of which each letter is heard as the other
        log_probs[frame] = np.log([0.01, 0.01, 0.1, 0.1])
        log_probs[frame, 5 - unit] = np.log(0.88)
    narrow = Pruning(width=2)
    plain = build_fusion(UNITS)
    assert UNITS.decode(decode(log_probs, plain, narrow)[0].units) == "baab"
    steered = plain._replace(hotwords=automaton({"abba": 12.0}))
    assert UNITS.decode(decode(log_probs, steered, narrow)[0].units) == "abba"


def test_without_spaces_a_hotword_is_found_everywhere() -> None:
    units = Units("ab")
    weights = {"ab": 1.0, "ba": 0.5, "aba": 2.0}
    fusion = build_fusion(units)._replace(hotwords=automaton(weights, units))
    expected = prefixes_by_enumeration(log_probs := random_log_probs(2, 6, 3))
    for hypothesis in decode(log_probs, fusion):
        text = units.decode(hypothesis.units)
        bonus = sum(w * sum(text.startswith(h, i) for i in range(len(text))) for h, w in weights.items())
        assert hypothesis.score == pytest.approx(expected[hypothesis.units] + bonus, abs=1e-6)


def test_files_are_normalised_and_every_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\ufeffAB\n\n b  A \t 3\r\n")
    read = read_hotwords(path, UNITS, Normalizer(lower=True))
    assert read == {(2, 3): WEIGHT, (3, 1, 2): 3.0}
    path.write_text("a\nZoë\nab\tmuch\nb\t-1\nb\tnan\n")
    with pytest.raises(TextError) as caught:
        read_hotwords(path, UNITS, Normalizer())
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{number}" for number in (2, 3, 4, 5)]
    assert "'Zoë' holds" in lines[0] and "'ë' (U+00EB" in lines[0] and "'much' is no weight" in lines[1]
    path.write_text("\n")
    with pytest.raises(TextError, match="holds no hotwords"):
        read_hotwords(path, UNITS, Normalizer())


def test_hotwords_of_too_many_units_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.decoding.hotwords.MOST_ENTRIES", 400)
    build_hotwords({(1,) * 97: 1.0}, UNITS)
    with pytest.raises(
        TextError, match="the 1 hotwords have 98 units in all; with 4 units in the model there may be 100"
    ):
        build_hotwords({(1,) * 98: 1.0}, UNITS)


def test_a_pipe_is_no_file_of_hotwords(tmp_path: Path) -> None:
    """Reading it would wait for ever, and a device may never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(TextError, match=f"{path}: is no file but a pipe or device"):
            read_hotwords(path, UNITS, Normalizer())
    with pytest.raises(TextError, match="is no name of a file"):
        read_hotwords(tmp_path / "a\0b", UNITS, Normalizer())
