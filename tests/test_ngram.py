"""N-gram models in flat arrays: probabilities against the back-off rule, storage, damaged arrays."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import backoff_log_prob

from asr.errors import LanguageModelError
from asr.lm.estimate import estimate
from asr.lm.ngram import SPECIALS, Level, NGram, advance

TOKENS = (*SPECIALS, "a", "b")


def random_model(seed: int, order: int) -> tuple[NGram, dict[tuple[str, ...], tuple[float, float]]]:
    """A trie with any n-grams whose histories it has, not their suffixes; some leaves have back-off weights."""
    generator = random.Random(seed)
    below: list[tuple[str, ...]] = [()]
    entries: dict[tuple[str, ...], tuple[float, float]] = {}
    levels = []
    for n in range(1, order + 1):
        grams = [(*history, token) for history in below for token in TOKENS if n == 1 or generator.random() < 0.4]
        if not grams:
            break
        backoffs = [0.0, 0.0, generator.uniform(-1, 1)] if n < order else [0.0]
        weights = [(-generator.random() * 5, generator.choice(backoffs)) for _ in grams]
        entries |= dict(zip(grams, weights, strict=True))
        columns = [
            [below.index(gram[:-1]) for gram in grams],
            [TOKENS.index(gram[-1]) for gram in grams],
            [log_prob for log_prob, _ in weights],
            [backoff for _, backoff in weights],
        ]
        levels.append(Level(*map(np.array, columns)))
        below = grams
    return NGram(TOKENS, levels), entries


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.integers(1, 4))
def test_advance_is_the_back_off_rule(seed: int, order: int) -> None:
    model, entries = random_model(seed, order)
    for tokens in itertools.product(TOKENS, repeat=3):
        state, history = model.empty, ()
        for token in tokens:
            log_prob, state = advance(model.tables, state, model.index[token])
            assert log_prob == pytest.approx(backoff_log_prob(entries, history, token), abs=1e-5)
            history = (*history, token)[-order + 1 :] if order > 1 else ()


def test_states_are_as_few_as_the_model_can_tell_apart() -> None:
    model = estimate(["a b c", "b c d"], order=3).model
    before = [advance(model.tables, model.empty, model.index[token])[1] for token in "ad"]
    after = [advance(model.tables, state, model.index["c"])[1] for state in before]
    assert after[0] == after[1]  # neither "a c" nor "d c" was seen
    assert advance(model.tables, 0, 0)[1] == model.empty


def test_score_and_perplexity() -> None:
    model = estimate(["a b", "a"], order=2).model
    total = model.score(["a", "x"])
    steps = [model.score(["a"], end=False), model.score(["a", "x"], end=False), total]
    assert steps[0] > steps[1] > steps[2]
    assert model.score(["a"], start=False, end=False) == pytest.approx(advance(model.tables, 0, model.index["a"])[0])
    found = model.perplexity(["a x", ""])
    assert (found.tokens, found.unknown) == (3, 1)
    assert found.value == pytest.approx(math.exp(-total / 3))
    assert found.log_prob - found.log_prob_known == pytest.approx(steps[1] - steps[0])
    assert "over 3 tokens" in str(found) and "1 unknown (33.3 %)" in str(found)
    with pytest.raises(LanguageModelError, match="no text"):
        model.perplexity(["", " "])


def test_levels_and_tensors_come_back() -> None:
    model = estimate(["ab a", "ba", "ab"], order=4, units="characters").model
    for copy in (NGram(model.vocabulary, model.levels, model.units), NGram.from_tensors(model.to_tensors())):
        assert (copy.vocabulary, copy.units, copy.order, copy.start) == (model.vocabulary, "characters", 4, model.start)
        assert copy.index == model.index
        for a, b in zip(copy.tables, model.tables, strict=True):
            assert a.dtype == b.dtype and (a == b).all()


@settings(deadline=None)
@given(data=st.data())
def test_damaged_tensors_are_refused_or_safe(data: st.DataObject) -> None:
    """Compiled code would read beyond its arrays."""
    model = estimate(["a b c", "b c"], order=3).model
    tensors = {name: tensor.copy() for name, tensor in model.to_tensors().items()}
    name = data.draw(st.sampled_from(sorted(tensors)))
    if data.draw(st.booleans()):
        tensors[name] = tensors[name][: data.draw(st.integers(0, len(tensors[name])))]
    else:
        place = data.draw(st.integers(0, len(tensors[name]) - 1))
        values = st.integers(0, 255) if tensors[name].dtype == np.uint8 else st.integers(-40, 40)
        tensors[name][place] = data.draw(values)
    try:
        damaged = NGram.from_tensors(tensors)
    except LanguageModelError:
        return
    assert math.isfinite(damaged.score(["a", "b", "c", "x"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("first", [1]), ("token", None), ("vocabulary", list(b"a\nb")), ("units", [0xFF]), ("token", []), ("token", 1)],
)
def test_damaged_tensors(name: str, value: list[int] | int | None) -> None:
    tensors = estimate(["a b c"]).model.to_tensors()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = np.array(value)
    with pytest.raises(LanguageModelError, match="damaged"):
        NGram.from_tensors(tensors)


@pytest.mark.parametrize("name", ["token", "first", "log_prob", "backoff", "vocabulary", "units"])
@pytest.mark.parametrize("kind", ["uint32", "uint64", "int64", "int16", "float64", "float16", "uint8"])
def test_other_types_are_refused(name: str, kind: str) -> None:
    """Unsigned numbers never fall: a comparison would take them for sorted, and compiled code read anywhere."""
    tensors = estimate(["a b c", "b c"], order=3).model.to_tensors()
    if tensors[name].dtype == kind:
        return
    tensors[name] = tensors[name].astype(kind)
    with pytest.raises(LanguageModelError, match=f"damaged: TypeError: {name} is {kind}"):
        NGram.from_tensors(tensors)


def test_unsigned_places_that_fall_are_refused() -> None:
    tensors = estimate(["a b c", "b c"], order=3).model.to_tensors()
    first = tensors["first"].astype(np.uint32)
    first[3] = 2**32 - 5
    with pytest.raises(LanguageModelError, match="damaged"):
        NGram.from_tensors({**tensors, "first": first})
    with pytest.raises(LanguageModelError, match="damaged"):
        NGram.from_tensors({**tensors, "first": first.view(np.int32)})


def test_more_words_than_n_grams_and_long_n_grams_are_refused() -> None:
    tensors = estimate(["a b c"]).model.to_tensors()
    with pytest.raises(LanguageModelError, match="more words than n-grams"):
        NGram.from_tensors({**tensors, "vocabulary": np.full(1000, ord("\n"), np.uint8)})
    chain = [Level(np.zeros(4, int), np.arange(4), np.zeros(4), np.zeros(4))]
    for order in range(2, 103):
        chain.append(Level(np.array([3 if order == 2 else 0]), np.array([3]), np.zeros(1), np.zeros(1)))
    with pytest.raises(LanguageModelError, match="do not fit"):
        NGram.from_tensors(NGram((*SPECIALS, "a"), chain).to_tensors())
    short = NGram((*SPECIALS, "a"), chain[:100])
    assert NGram.from_tensors(short.to_tensors()).order == short.order == 100
