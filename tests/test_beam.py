"""The beam search: against enumeration of all paths, in chunks of any size, at any beam and pruning."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import prefixes_by_enumeration

from asr.decoding.beam import BeamSearch, Pruning
from asr.decoding.fusion import Fusion, build_fusion
from asr.decoding.greedy import best_path
from asr.decoding.hypothesis import Hypothesis
from asr.text import Units

EXHAUSTIVE = Pruning(width=4096, units=16, min_log_prob=-math.inf, margin=math.inf)
NARROW = Pruning(width=3, units=2, min_log_prob=-3.0, margin=5.0)


def random_log_probs(seed: int, frames: int, units: int, sharpness: float = 1.0) -> np.ndarray:
    scores = sharpness * torch.randn(frames, units, generator=torch.Generator().manual_seed(seed))
    return scores.log_softmax(-1).numpy()


def no_model(num_units: int) -> Fusion:
    return build_fusion(Units("abcdefghijklmnopqrstuvwxyz"[: num_units - 1]))


def decode(log_probs: np.ndarray, pruning: Pruning, count: int = 1, nodes: int = 1 << 14) -> list[Hypothesis]:
    search = BeamSearch(no_model(log_probs.shape[1]), pruning, nodes=nodes)
    search.feed(log_probs)
    return search.hypotheses(count)


@st.composite
def hostile_log_probs(draw: st.DrawFn) -> np.ndarray:
    """Up to seven frames of three or four units, with ties, impossible units, and rows that need not sum to 1."""
    units = draw(st.integers(2, 4))
    value = st.sampled_from([-math.inf, -50.0, -3.0, -1.0, -1.0, -0.5, 0.0])
    rows = draw(st.lists(st.lists(value, min_size=units, max_size=units), min_size=0, max_size=6))
    return np.array(rows, dtype=np.float32).reshape(len(rows), units)


@pytest.mark.parametrize(("frames", "units"), [(1, 2), (1, 4), (5, 4), (7, 3), (10, 2)])
def test_exhaustive_search_sums_all_paths(frames: int, units: int) -> None:
    log_probs = random_log_probs(frames, frames, units)
    expected = prefixes_by_enumeration(log_probs)
    found = decode(log_probs, EXHAUSTIVE, count=10_000)
    assert {h.units for h in found} == expected.keys()
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(expected[hypothesis.units], abs=1e-9)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@settings(max_examples=300, deadline=None)
@given(hostile_log_probs())
def test_exhaustive_search_survives_hostile_input(log_probs: np.ndarray) -> None:
    expected = {prefix: score for prefix, score in prefixes_by_enumeration(log_probs).items() if score > -math.inf}
    found = {h.units: h.score for h in decode(log_probs, EXHAUSTIVE, count=10_000) if h.score > -math.inf}
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(hostile_log_probs(), st.integers(1, 4), st.integers(1, 3), st.sampled_from([-8.0, -2.0, 0.0]))
def test_never_below_best_path_at_any_pruning(
    log_probs: np.ndarray, width: int, units: int, min_log_prob: float
) -> None:
    pruning = Pruning(width=width, units=units, min_log_prob=min_log_prob, margin=2.0)
    best = best_path(torch.from_numpy(log_probs)[None], torch.tensor([len(log_probs)]))[0]
    assert decode(log_probs, pruning)[0].score >= best.score - 1e-5


@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_never_below_best_path_on_long_input(sharpness: float) -> None:
    for seed in range(20):
        log_probs = random_log_probs(seed, 60, 20, sharpness)
        best = best_path(torch.from_numpy(log_probs)[None], torch.tensor([60]))[0]
        for width in (1, 2, 8):
            assert decode(log_probs, Pruning(width=width, margin=3.0))[0].score >= best.score - 1e-4


def test_scores_of_a_narrow_beam_are_never_too_high() -> None:
    """Pruning leaves paths out of the sum; merging twice or not at all would show as a sum above the true one."""
    for seed in range(10):
        log_probs = random_log_probs(seed, 7, 4, 2.0)
        expected = prefixes_by_enumeration(log_probs)
        for hypothesis in decode(log_probs, NARROW, count=3):
            assert hypothesis.score <= expected[hypothesis.units] + 1e-9


def test_a_wider_beam_finds_what_a_narrow_one_misses() -> None:
    """Best path reads blank, blank (0.36); the label has 0.4 * 0.4 + 2 * 0.4 * 0.6 = 0.64 in three paths."""
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], dtype=np.float32))
    best = decode(log_probs, Pruning())[0]
    assert best.units == (1,)
    assert best.score == pytest.approx(math.log(0.64))


@pytest.mark.parametrize("pruning", [Pruning(), NARROW])
def test_chunks_do_not_change_the_result(pruning: Pruning) -> None:
    log_probs = random_log_probs(0, 200, 12, 3.0)
    whole = decode(log_probs, pruning, count=5)
    for size in (1, 7, 64):
        search = BeamSearch(no_model(12), pruning)
        for start in range(0, 200, size):
            search.feed(log_probs[start : start + size])
            search.hypotheses()
        assert search.hypotheses(5) == whole


def test_a_full_trie_is_cleared_without_a_trace() -> None:
    log_probs = random_log_probs(1, 300, 12, 3.0)
    assert decode(log_probs, Pruning(), 5, nodes=2) == decode(log_probs, Pruning(), 5, nodes=1 << 20)


def test_a_search_starts_anew_after_reset() -> None:
    search = BeamSearch(no_model(6))
    search.feed(random_log_probs(2, 40, 6))
    search.reset()
    assert search.hypotheses() == [Hypothesis((), 0.0)]
    search.feed(random_log_probs(3, 40, 6))
    assert search.hypotheses(3) == decode(random_log_probs(3, 40, 6), Pruning(), 3)


def test_frames_of_blank_alone_change_no_order() -> None:
    """The search skips new prefixes by units below the floor, and still updates the sums of old prefixes."""
    speech = random_log_probs(4, 8, 4)
    silence = np.log(np.array([[0.9999, 0.00005, 0.00003, 0.00002]], dtype=np.float32)).repeat(50, axis=0)
    alone = decode(speech, Pruning(), 4)
    followed = decode(np.concatenate([speech, silence]), Pruning(), 4)
    assert [h.units for h in followed] == [h.units for h in alone]
    for before, after in zip(alone, followed, strict=True):
        assert after.score - before.score == pytest.approx(50 * math.log(0.9999), abs=1e-3)
