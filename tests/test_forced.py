"""Forced alignment against torchaudio, and against all possible paths."""

import itertools

import numpy as np
import pytest
import torch
import torchaudio
from oracles import collapse

from asr.decoding import forced
from asr.decoding.forced import ANY_SOUND, PASS_UNIT, PASS_WORD, Target, best_states, exact_target, words_target
from asr.errors import AsrError


def random_log_probs(generator: np.random.Generator, frames: int, units: int) -> np.ndarray:
    logits = 3 * generator.standard_normal((frames, units))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def score(log_probs: np.ndarray, target: Target, states: np.ndarray) -> float:
    """Score a path by the definition: the sum over its frames, minus the costs of the words it skips."""
    boundary = np.isin(states, target.boundaries)
    emissions = log_probs[np.arange(len(states)), target.units[states]]
    any_sound = log_probs[:, 1:].max(axis=1) - ANY_SOUND
    total = np.where(boundary, np.maximum(emissions, any_sound), emissions).sum()
    for begin, end, cost in zip(target.boundaries, target.boundaries[1:], target.costs[1:], strict=False):
        total -= 0 if ((states > begin) & (states < end)).any() else cost
    return float(total)


@pytest.mark.parametrize("seed", range(8))
def test_exact_targets_give_what_torchaudio_gives(seed: int) -> None:
    generator = np.random.default_rng(seed)
    units = generator.integers(1, 5, generator.integers(1, 12))
    log_probs = random_log_probs(generator, 40, 5)
    path = exact_target(units).units[best_states(log_probs, exact_target(units))]
    expected, _ = torchaudio.functional.forced_align(torch.from_numpy(log_probs)[None], torch.from_numpy(units)[None])
    assert path.tolist() == expected[0].tolist()
    assert collapse(tuple(path.tolist())) == tuple(units.tolist())


@pytest.mark.parametrize("seed", range(6))
def test_words_are_aligned_as_the_best_of_all_paths(seed: int) -> None:
    """Every choice of words, and every sequence of units and any-sounds that spells them.

    A word that is passed over takes a frame between its neighbours.
    """
    generator = np.random.default_rng(seed)
    words = [generator.integers(1, 3, generator.integers(1, 3)).tolist() for _ in range(2)]
    log_probs = random_log_probs(generator, 5, 3)
    log_probs = log_probs * [1.0, 2.0, 2.0] if seed % 2 else log_probs  # words that do not fit as well as words that do
    log_probs = log_probs.astype(np.float32)
    target = words_target(words)
    found = score(log_probs, target, best_states(log_probs, target))

    best = -np.inf
    any_sound, symbols = 3, range(4)
    values = np.concatenate([log_probs, log_probs[:, 1:].max(axis=1, keepdims=True) - ANY_SOUND], axis=1)
    for kept in itertools.product([False, True], repeat=2):
        cost = sum(PASS_WORD + PASS_UNIT * len(word) for word, keep in zip(words, kept, strict=True) if not keep)
        spelled = [word for word, keep in zip(words, kept, strict=True) if keep]
        letters = tuple(letter for word in spelled for letter in word)
        places = [
            sum(len(word) for word, keep in zip(words[:n], kept, strict=False) if keep) for n in range(2) if not kept[n]
        ]
        allowed = {0, *np.cumsum([len(word) for word in spelled]).tolist()}
        for path in itertools.product(symbols, repeat=5):
            if collapse(tuple(0 if symbol == any_sound else symbol for symbol in path)) == letters:
                said = [len(collapse(tuple(0 if s == any_sound else s for s in path[: t + 1]))) for t in range(5)]
                between = {said[t] for t in range(5) if path[t] in (0, any_sound)}
                if all(said[t] in allowed for t in range(5) if path[t] == any_sound) and between.issuperset(places):
                    best = max(best, float(sum(values[t, symbol] for t, symbol in enumerate(path))) - cost)
    assert found == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_checkpoints_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(seed)
    words = [generator.integers(1, 6, generator.integers(1, 7)).tolist() for _ in range(30)]
    log_probs = random_log_probs(generator, 300, 6)
    target = words_target(words)
    whole = best_states(log_probs, target)
    monkeypatch.setattr(forced, "_TABLE_BYTES", 50)
    monkeypatch.setattr(forced, "_CHECKPOINTS", 5)
    parts = best_states(log_probs, target)
    assert (np.diff(parts) >= 0).all()
    assert score(log_probs, target, parts) == pytest.approx(score(log_probs, target, whole), abs=1e-2)


def test_too_few_frames_are_an_error() -> None:
    with pytest.raises(AsrError, match="3 units need more frames than the 4"):
        best_states(random_log_probs(np.random.default_rng(0), 4, 3), exact_target([1, 1, 1]))
    assert len(best_states(random_log_probs(np.random.default_rng(0), 5, 3), exact_target([1, 1, 1]))) == 5
    assert (best_states(random_log_probs(np.random.default_rng(0), 5, 3), exact_target([])) == 0).all()
