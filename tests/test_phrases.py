"""Closed sets against PyTorch's CTC loss and against enumeration; files of phrases; what is rejected."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import prefixes_by_enumeration
from test_beam import random_log_probs

from asr.decoding.phrases import Phrases, Rejection, forward_any, none_of_these, posteriors, read_phrases
from asr.errors import TextError
from asr.text import Normalizer, Units

UNITS = Units(" ab")
SPOKEN = ["ab", "abba", "b a", "a", "bb", "abab ab", "aab"]


def spoken(text: str, frames_each: int = 3) -> np.ndarray:
    """Sure log-probabilities of a text, `(S, V)`."""
    path = [unit for letter in UNITS.encode(text) for unit in [letter] + [0] * (frames_each - 1)]
    return np.log(np.full((len(path), 4), 0.01) + 0.96 * np.eye(4)[path]).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 7, 400])
def test_scores_are_those_of_ctc_loss(frames: int) -> None:
    log_probs = [random_log_probs(seed, frames, 4, 2.0) for seed in range(3)]
    found = Phrases(SPOKEN, UNITS).scores(log_probs)
    for row, scores in zip(log_probs, found, strict=True):
        for phrase, score in zip(SPOKEN, scores, strict=True):
            target = torch.tensor([UNITS.encode(phrase)])
            lengths = torch.tensor([frames]), torch.tensor([target.shape[1]])
            rows = torch.from_numpy(row).double()[:, None]
            loss = torch.nn.functional.ctc_loss(rows, target, *lengths, reduction="none")
            assert score == pytest.approx(-loss.item(), rel=1e-9)


def test_none_of_these_is_any_text_at_a_cost() -> None:
    for seed, cost in ((0, 0.0), (1, 1.3), (2, 4.0)):
        log_probs = random_log_probs(seed, 6, 4)
        prefixes = prefixes_by_enumeration(log_probs)
        expected = np.logaddexp.reduce([score - cost * len(units) for units, score in prefixes.items()])
        assert forward_any(log_probs, cost) == pytest.approx(expected, abs=1e-6)
    long = random_log_probs(3, 3000, 4, 3.0)
    assert forward_any(long, 0.0) == pytest.approx(0.0, abs=1e-3) and math.isfinite(forward_any(long, 5.0))


def test_posteriors_sum_to_one_and_order_does_not_matter() -> None:
    log_probs = [random_log_probs(seed, 12, 4, 2.0) for seed in range(8)]
    phrases = Phrases(SPOKEN, UNITS)
    scores = phrases.scores(log_probs)
    found = posteriors(scores, none_of_these(log_probs, 2.0), 0.5)
    assert np.exp(found).sum(axis=1) == pytest.approx(1.0)
    turned = Phrases(SPOKEN[::-1], UNITS)
    assert np.array_equal(turned.scores(log_probs)[:, ::-1], scores)
    for one, other in zip(turned.decode_n_best(log_probs, 3), phrases.decode_n_best(log_probs, 3), strict=True):
        assert [h.units for h in one] == [h.units for h in other]


def test_decisions() -> None:
    phrases = Phrases(["ab", "b a"], UNITS)
    heard = [spoken("ab"), spoken("b a"), spoken("bbabab"), np.log([[1.0, 1e-13, 1e-13, 1e-13]] * 20)]
    decided = [hypotheses[0] for hypotheses in phrases.decode_n_best(heard, 1)]
    assert [UNITS.decode(hypothesis.units) for hypothesis in decided] == ["ab", "b a", "", ""]
    assert all(-0.2 < hypothesis.score <= 0 for hypothesis in decided)
    never = Phrases(["ab", "b a"], UNITS, Rejection(threshold=1.0)).decode_n_best(heard, 3)
    assert [[UNITS.decode(h.units) for h in one] for one in never][:2] == [["", "ab", "b a"], ["", "b a", "ab"]]
    always = Phrases(["ab", "b a"], UNITS, Rejection(threshold=0.0)).decode_n_best(heard, 1)
    assert all(one[0].units for one in always)


def test_an_utterance_too_short_for_any_phrase_is_rejected() -> None:
    ((best,),) = Phrases(["abab"], UNITS).decode_n_best([spoken("a", 1)], 1)
    assert best.units == () and best.score == pytest.approx(0.0)


def test_slots_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    path.write_text("  AB {x}\n{x} = a | {y} b\n\n{y}=|bb\nab a\n{x}{y}\n", encoding="utf-8")
    expected = ["ab a", "ab b", "ab bb b", "a", "abb", "b", "bbb", "bb b", "bb bbb"]
    assert read_phrases(path, UNITS, Normalizer(lower=True)) == expected


def test_every_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "phrases.txt"
    lines = [
        "{x} = a | b",
        "{x} = b",
        "ab {z}",
        "{loop}",
        "{loop} = a {loop}",
        "a {x",
        "abc",
        "{none}",
        "{none} = |",
        "a",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TextError) as caught:
        read_phrases(path, UNITS, Normalizer())
    expected = {2: "{x} is defined above", 3: "{z} is not defined", 4: "{loop} is defined by itself"}
    expected |= {6: "has a brace that belongs to no {slot}", 7: "'abc' holds 'c' (U+0063", 8: "'{none}' can be empty"}
    found = str(caught.value).splitlines()
    assert len(found) == len(expected)
    for (number, message), line in zip(expected.items(), found, strict=True):
        assert line.startswith(f"{path}:{number}: ") and message in line
    path.write_text("{x} = a | b | ab | ba | aa | bb | aba | bab | aab | baa\n" + "{x} " * 6, encoding="utf-8")
    with pytest.raises(TextError, match=r":2: .* makes more than 100000 phrases"):
        read_phrases(path, UNITS, Normalizer())
    path.write_text("{x} = a\n", encoding="utf-8")
    with pytest.raises(TextError, match="holds no phrases"):
        read_phrases(path, UNITS, Normalizer())


def test_a_phrase_that_cannot_fit_is_no_candidate() -> None:
    """Its score is minus infinity, which JSON cannot write."""
    ((best, *others),) = Phrases(["abab", "a"], UNITS, Rejection(threshold=1.0)).decode_n_best([spoken("a", 1)], 3)
    assert best.units == () and [UNITS.decode(one.units) for one in others] == ["a"]
    assert all(math.isfinite(one.score) for one in (best, *others))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        # Each slot doubles the texts, or the letters, of the slot before it: 2 ** 40 of them if they were filled in.
        (
            [f"{{{n + 1}}} = {{{n}}} a | {{{n}}} b" for n in range(1, 15)]
            + [f"{{{n}}} {{{n}}} {{{n}}}" for n in (15,)],
            "100000 phrases",
        ),
        ([f"{{{n + 1}}} = {{{n}}}{{{n}}}" for n in range(1, 19)] + ["{19}" * 100], "20000000 characters"),
        ([f"{{{n + 1}}} = {{{n}}}{{{n}}}" for n in range(1, 3000)] + ["{3000}"], "nested more than 20 deep"),
        (
            [f"{{{n + 1}}} = {{{n}}}" for n in range(1, 3000)][::-1] + [f"{{{n}}}" for n in range(1, 3000)],
            "nested more",
        ),
    ],
)
def test_slots_that_explode_are_refused_before_they_are_filled(lines: list[str], message: str) -> None:
    with pytest.raises(TextError, match=message):
        read_phrases(["{1} = a | b" if "phrases" in message else "{1} = a", *lines], UNITS, Normalizer())
