"""The search over a transducer: against enumeration and PyTorch, with language models and hotwords, in chunks."""

import itertools
import math

import numpy as np
import pytest
import torch
from oracles import randomise, transducer_loss_by_enumeration
from test_fusion import CHARACTERS, UNITS, WEIGHTS, WORDS, lm_score
from test_hotwords import FAVOURED, automaton, earned
from test_neural import random_lm

from asr.cells import CELLS, Cell
from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.decoding.transducer import JointNetwork, build_joint, write_log_probs
from asr.decoding.transducer_search import MOST_UNITS, TransducerSearch
from asr.errors import ConfigError, LanguageModelError
from asr.lm.compiled import outputs_after
from asr.lm.ngram import NGram
from asr.nn.transducer import Transducer

EXHAUSTIVE = Pruning(width=400, units=16, min_log_prob=-math.inf, margin=math.inf)
SIZE = 6  # of the encoder states


def network(cell: Cell = "lstm", scale: float = 0.8) -> Transducer:
    found = Transducer(num_units=len(UNITS), state_size=SIZE, cell=cell, hidden=7).eval()
    randomise(found, 3, scale)
    return found


def arrays(found: Transducer, cell: Cell = "lstm") -> JointNetwork:
    return build_joint({name: weight.numpy() for name, weight in found.state_dict().items()}, cell)


def some_states(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, SIZE)).astype(np.float32)


def decoder(
    found: Transducer, pruning: Pruning = EXHAUSTIVE, *models: NGram | None, weights: Weights = WEIGHTS
) -> Decoder:
    joint = arrays(found)
    plain = Decoder(UNITS, *models, weights=weights, pruning=pruning)
    return plain.over(lambda fusion, limits: TransducerSearch(joint, fusion, limits))


@torch.inference_mode()
def log_probs_of(found: Transducer, states: np.ndarray, text: tuple[int, ...]) -> np.ndarray:
    sums = found.from_frames(torch.from_numpy(states))[:, None] + found.read([text])[0]
    return found.output(sums.tanh()).double().log_softmax(-1).numpy()


def all_texts(longest: int) -> list[tuple[int, ...]]:
    return [text for size in range(longest + 1) for text in itertools.product((1, 2, 3), repeat=size)]


@torch.inference_mode()
@pytest.mark.parametrize("cell", CELLS)
def test_compiled_steps_are_those_of_the_network(cell: Cell) -> None:
    found, states, text = network(cell), some_states(3), (2, 1, 3, 3, 2)
    joint, expected = arrays(found, cell), log_probs_of(found, states, text)
    state = np.zeros((1, 2, 7), np.float32)
    log_probs = np.empty(len(UNITS), np.float32)
    for place, unit in enumerate((0, *text)):
        after = np.empty_like(state)
        predicted = outputs_after(joint.prediction, unit, state, after)
        for s, frame in enumerate(states @ joint.frames[:-1] + joint.frames[-1]):
            write_log_probs(joint.output, frame, predicted, log_probs)
            np.testing.assert_allclose(log_probs, expected[s, place], atol=1e-4)
        state = after


@pytest.mark.parametrize("frames", [1, 2])
def test_an_exhaustive_search_sums_over_all_alignments(frames: int) -> None:
    """Texts that one frame may still write after the longest text so far: all texts up to three units."""
    found, states = network(), some_states(frames)
    scores = {h.units: h.score for h in decoder(found, weights=Weights()).decode_n_best([states], 10_000)[0]}
    assert MOST_UNITS >= 3
    for text in all_texts(3):
        expected = -transducer_loss_by_enumeration(log_probs_of(found, states, text), text)
        assert scores[text] == pytest.approx(expected, abs=1e-4), text


@pytest.mark.parametrize("models", [(None, None), (WORDS, CHARACTERS), (None, CHARACTERS)])
def test_language_models_and_hotwords_are_added_as_over_ctc(models: tuple[NGram | None, NGram | None]) -> None:
    found, states = network(), some_states(1, 1)  # one frame writes few texts, so that none is pruned
    biased = decoder(found, EXHAUSTIVE, *models).using(hotwords=automaton(FAVOURED))
    scores = {h.units: h.score for h in biased.decode_n_best([states], 10_000)[0]}
    for units in all_texts(3):
        text = UNITS.decode(units)
        acoustic = -transducer_loss_by_enumeration(log_probs_of(found, states, units), units)
        expected = acoustic + lm_score(text, *models, WEIGHTS) + earned(text, FAVOURED)
        assert scores[units] == pytest.approx(expected, abs=1e-4), text


def test_a_closed_vocabulary_gives_words_of_the_model_only() -> None:
    found, joint = network(), arrays(network())
    closed = Decoder(UNITS, WORDS, closed=True, weights=WEIGHTS).over(lambda *given: TransducerSearch(joint, *given))
    texts = [UNITS.decode(closed.decode([some_states(9, seed)])[0].units) for seed in range(5)]
    assert any(texts) and all(word in WORDS.index for text in texts for word in text.split())
    open_texts = [UNITS.decode(decoder(found).decode([some_states(9, seed)])[0].units) for seed in range(5)]
    assert texts != open_texts


def test_chunks_space_and_neighbours_change_nothing() -> None:
    found, rows = network(scale=1.5), [some_states(frames, frames) for frames in (40, 1, 17)]
    narrow = decoder(found, Pruning(width=4), WORDS, CHARACTERS)
    together = narrow.decode_n_best(rows, 3)
    assert len({h.units for h, *_ in together}) == 3 and len(together[0]) == 3
    for row, expected in zip(rows, together, strict=True):
        assert narrow.decode_n_best([row], 3) == [expected]
        for nodes, size in ((1 << 13, 1), (8, 5)):  # few nodes: space is freed again and again
            search = TransducerSearch(arrays(found), narrow.fusion, narrow.pruning._replace(width=4), nodes=nodes)
            for start in range(0, len(row), size):
                search.feed(row[start : start + size])
            for one, other in zip(search.hypotheses(3), expected, strict=True):
                assert one.units == other.units and one.score == pytest.approx(other.score, abs=1e-4)


def test_a_wider_beam_finds_no_lower_score_here() -> None:
    found = network(scale=1.5)
    for seed in range(5):
        best = [
            decoder(found, Pruning(width=w), weights=Weights()).decode([some_states(25, seed)])[0].score
            for w in (1, 8, 64)
        ]
        assert best[0] - 1e-6 <= best[1] <= best[2] + 1e-6


def test_frames_without_speech_change_nothing() -> None:
    found, states = network(), some_states(12)
    silence = np.zeros((5, SIZE), np.float32)
    between = np.concatenate([silence, states[:7], silence, states[7:], silence])
    searched = decoder(found, Pruning())
    assert searched.decode([between]) == searched.decode([states])
    assert searched.decode([silence])[0].units == ()


def test_a_blank_penalty_is_a_bonus_of_each_unit() -> None:
    found, states = network(scale=0.3), some_states(20)
    lengths = [
        len(decoder(found, Pruning(), weights=Weights(blank=penalty)).decode([states])[0].units)
        for penalty in (-4.0, 0.0, 4.0)
    ]
    assert lengths == sorted(lengths) and lengths[0] < lengths[2]
    plain, favoured = (
        {h.units: h.score for h in decoder(found, weights=Weights(blank=bonus)).decode_n_best([states[:1]], 400)[0]}
        for bonus in (0.0, 1.5)
    )
    for units, score in plain.items():
        assert favoured[units] == pytest.approx(score + 1.5 * len(units), abs=1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_overflow_still_end() -> None:
    found = network(scale=1e38)
    (best,) = decoder(found, Pruning()).decode([some_states(30)])
    assert len(best.units) <= 30 * MOST_UNITS


def test_what_the_search_cannot_do_is_named() -> None:
    found = network()
    with pytest.raises(ConfigError, match=r"of the cell mgu can be trained, but not decoded; .*lstm, gru"):
        arrays(found, "mgu")  # type: ignore[arg-type]
    with pytest.raises(LanguageModelError, match="a recurrent model can rescore"):
        decoder(found).fusing(random_lm())
