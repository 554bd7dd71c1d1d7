"""N-grams inside the beam search: scores against their definition, closed vocabularies, the lexicon."""

import math
import tracemalloc

import numpy as np
import pytest
from oracles import prefixes_by_enumeration
from test_beam import EXHAUSTIVE, random_log_probs

from asr.decoding.beam import BeamSearch, Pruning
from asr.decoding.fusion import Fusion, Weights, build_fusion, build_lexicon
from asr.decoding.hypothesis import Hypothesis
from asr.errors import LanguageModelError
from asr.lm.estimate import estimate
from asr.lm.ngram import SPECIALS, UNKNOWN, NGram
from asr.text import Units

UNITS = Units(" ab")
TEXTS = ["a ab", "ab ab b", "b a ab", "ba", "ab b", "a a ba b", "bb ab"]
WORDS = estimate(TEXTS, order=3).model
CHARACTERS = estimate(TEXTS, order=4, units="characters").model
WEIGHTS = Weights(lm=0.7, word=0.4, unknown=1.3)


def decode(
    log_probs: np.ndarray, fusion: Fusion, pruning: Pruning = EXHAUSTIVE, count: int = 10_000
) -> list[Hypothesis]:
    search = BeamSearch(fusion, pruning)
    search.feed(log_probs)
    return search.hypotheses(count)


def lm_score(text: str, words: NGram | None, characters: NGram | None, weights: Weights, closed: bool = False) -> float:
    """The definition, on the finished text: the word model's score, and the spelling of each word it does not know."""
    spoken = text.split()
    score = weights.word * len(spoken) + (weights.lm * words.score(spoken) if words else 0.0)
    end = 0
    for number, word in enumerate(spoken):
        known = words is not None and word in words.index
        begin = text.index(word, end)
        # The spelling counts what stands before the word but a single space, and the end of the word.
        before = end + 1 if number else 0
        end = begin + len(word)
        if known:
            continue
        if closed:
            return -math.inf
        score += weights.unknown
        if characters:
            tokens = characters.tokens(text)
            last = end == len(text)
            score += weights.lm * characters.score(tokens[: end + 1], end=last)
            score -= weights.lm * characters.score(tokens[:before], end=False)
    return score


@pytest.mark.parametrize(
    ("words", "characters"), [(WORDS, CHARACTERS), (WORDS, None), (None, CHARACTERS), (None, None)]
)
def test_scores_are_those_of_the_definition(words: NGram | None, characters: NGram | None) -> None:
    for seed in range(4):
        log_probs = random_log_probs(seed, 6, 4)
        expected = prefixes_by_enumeration(log_probs)
        found = decode(log_probs, build_fusion(UNITS, words, characters, weights=WEIGHTS))
        assert {h.units for h in found} == expected.keys()
        for hypothesis in found:
            text = UNITS.decode(hypothesis.units)
            score = expected[hypothesis.units] + lm_score(text, words, characters, WEIGHTS)
            assert hypothesis.score == pytest.approx(score, abs=1e-5), text


def test_a_closed_vocabulary_gives_only_its_words() -> None:
    units = Units(" abc")
    fusion = build_fusion(units, estimate(["ab ca", "ab"], order=2).model, closed=True, weights=WEIGHTS)
    for seed in range(5):
        found = [h for h in decode(random_log_probs(seed, 6, 5), fusion) if h.score > -math.inf]
        assert len(found) > 5
        assert {word for h in found for word in units.decode(h.units).split()} == {"ab", "ca"}


def test_weight_zero_is_exactly_no_model() -> None:
    for pruning in (Pruning(), Pruning(width=3, units=2, min_log_prob=-3.0, margin=4.0)):
        for seed in range(5):
            log_probs = random_log_probs(seed, 50, 4, 2.0)
            without = decode(log_probs, build_fusion(UNITS), pruning)
            assert decode(log_probs, build_fusion(UNITS, WORDS, CHARACTERS), pruning) == without


def test_blank_penalty_is_a_change_of_the_input() -> None:
    log_probs = random_log_probs(0, 30, 4, 2.0)
    penalised = log_probs.copy()
    penalised[:, 0] -= np.float32(0.75)
    assert decode(log_probs, build_fusion(UNITS, weights=Weights(blank=0.75)), Pruning()) == decode(
        penalised, build_fusion(UNITS), Pruning()
    )


def test_chunks_and_a_full_trie_leave_language_models_alone() -> None:
    log_probs = random_log_probs(1, 200, 4, 2.0)
    fusion = build_fusion(UNITS, WORDS, CHARACTERS, weights=WEIGHTS)
    search = BeamSearch(fusion, nodes=2)
    for start in range(0, 200, 9):
        search.feed(log_probs[start : start + 9])
    assert search.hypotheses(5) == decode(log_probs, fusion, Pruning(), 5)


def test_the_lexicon_holds_exactly_the_words_that_units_can_spell() -> None:
    words = ["a", "ab", "abba", "b", "xa", "ba"]
    lexicon = build_lexicon(["<unk>", "<s>", "</s>", *words], UNITS)
    found = {}

    def visit(node: int, spelling: str) -> None:
        if lexicon.word[node] != UNKNOWN:
            found[spelling] = int(lexicon.word[node])
        for child in range(lexicon.first[node], lexicon.first[node + 1]):
            visit(child, spelling + UNITS.symbols[lexicon.unit[child] - 1])

    visit(0, "")
    assert found == {word: 3 + index for index, word in enumerate(words) if word != "xa"}


def test_without_spaces_characters_alone() -> None:
    units = Units("ab")
    characters = estimate(["abab", "abba", "ab"], order=3, units="characters").model
    log_probs = random_log_probs(2, 6, 3)
    expected = prefixes_by_enumeration(log_probs)
    for hypothesis in decode(log_probs, build_fusion(units, None, characters, weights=Weights(lm=1.0))):
        model = characters.score([units.symbols[u - 1] for u in hypothesis.units]) if hypothesis.units else 0.0
        assert hypothesis.score == pytest.approx(expected[hypothesis.units] + model, abs=1e-5)


def test_models_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(LanguageModelError, match="one of words"):
        build_fusion(UNITS, CHARACTERS)
    with pytest.raises(LanguageModelError, match="one of words"):
        build_fusion(UNITS, WORDS, WORDS)
    with pytest.raises(LanguageModelError, match="closed vocabulary needs"):
        build_fusion(UNITS, None, CHARACTERS, closed=True)


def test_one_long_word_takes_memory_for_its_letters_alone() -> None:
    """The words were one matrix, as wide as the longest of them."""
    vocabulary = [*SPECIALS, *(f"{number:012b}".replace("0", "a").replace("1", "b") for number in range(4000))]
    tracemalloc.start()
    lexicon = build_lexicon([*vocabulary, "ab" * 5000], UNITS)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert np.count_nonzero(lexicon.word != UNKNOWN) == 4001
    with pytest.raises(LanguageModelError, match="has 300000 letters, and a word may have 10000"):
        build_lexicon([*vocabulary, "ab" * 150_000], UNITS)
