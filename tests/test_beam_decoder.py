"""The decoder of log-probabilities of any CTC model: against enumeration, a model's own decoder, wrong input."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import prefixes_by_enumeration
from test_beam import random_log_probs
from test_fusion import CHARACTERS, TEXTS, UNITS, WEIGHTS, WORDS, lm_score

from asr.decoding.beam import Pruning
from asr.decoding.beam_decoder import BeamDecoder
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.decoding.hotwords import build_hotwords
from asr.errors import AsrError, LanguageModelError, TextError
from asr.lm.arpa import write_arpa
from asr.lm.estimate import estimate

LABELS = ["<blank>", *UNITS.symbols]
EXHAUSTIVE = {"beam": 4096, "units_per_frame": 16, "min_log_prob": -math.inf, "margin": math.inf}
SETTINGS = {"lm_weight": WEIGHTS.lm, "word_bonus": WEIGHTS.word, "unknown_bonus": WEIGHTS.unknown}


def best_by_text(log_probs: np.ndarray, with_models: bool) -> dict[str, float]:
    """The highest score of each text, white space collapsed, over all unit sequences, from the definitions."""
    scores: dict[str, float] = {}
    for units, score in prefixes_by_enumeration(log_probs).items():
        text = UNITS.decode(units)
        total = score + (lm_score(text, WORDS, CHARACTERS, WEIGHTS) if with_models else 0.0)
        collapsed = " ".join(text.split())
        scores[collapsed] = max(total, scores.get(collapsed, -math.inf))
    return scores


@pytest.mark.parametrize("with_models", [False, True])
def test_every_text_and_score_by_enumeration(with_models: bool) -> None:
    models = {"lm": WORDS, "characters": CHARACTERS, **SETTINGS} if with_models else {}
    decoder = BeamDecoder(LABELS, **models, **EXHAUSTIVE)
    for seed in range(4):
        log_probs = random_log_probs(seed, 6, 4)
        expected = best_by_text(log_probs, with_models)
        found = decoder.decode_n_best(log_probs, 10_000)
        assert dict(found) == pytest.approx(expected, abs=1e-5) and len(found) == len(expected)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        assert decoder.decode(log_probs) == found[0][0]


def test_it_is_the_decoder_of_a_model(tmp_path: Path) -> None:
    """Models from ARPA files, pruning, a penalty and hotwords: as the decoder in a model file."""
    write_arpa(tmp_path / "words.arpa", WORDS)
    write_arpa(tmp_path / "characters.arpa.gz", CHARACTERS)
    weights = Weights(lm=0.7, word=0.4, unknown=1.3, blank=0.5)
    decoder = Decoder(UNITS, WORDS, CHARACTERS, weights=weights, pruning=Pruning(7, 3, -5.0, 9.0))
    hotwords = build_hotwords({tuple(UNITS.encode("ba ab")): 6.0}, UNITS)
    for units in (LABELS, UNITS):
        ours = BeamDecoder(
            units,
            tmp_path / "words.arpa",
            str(tmp_path / "characters.arpa.gz"),
            **SETTINGS,
            beam=7,
            units_per_frame=3,
            min_log_prob=-5.0,
            margin=9.0,
            blank_penalty=0.5,
            hotwords=["ba  ab"],
        )
        log_probs = [random_log_probs(seed, 40, 4, 2.0) for seed in range(6)]
        expected = decoder.using(hotwords=hotwords).decode(log_probs)
        assert ours.decode_batch(log_probs) == [" ".join(UNITS.decode(best.units).split()) for best in expected]
        first = ours.decode_n_best(log_probs[0], 3)[0]
        assert first == (ours.decode(log_probs[0]), pytest.approx(expected[0].score, abs=1e-4))


def test_the_blank_may_be_any_column() -> None:
    log_probs = random_log_probs(0, 30, 4, 2.0)
    expected = BeamDecoder(LABELS, lm=WORDS).decode_n_best(log_probs, 4)
    for blank in (1, 3):
        columns = [1, 2, 3]
        columns.insert(blank, 0)
        labels = [LABELS[column] for column in columns]
        assert BeamDecoder(labels, lm=WORDS, blank=blank).decode_n_best(log_probs[:, columns], 4) == expected
        assert BeamDecoder(UNITS, lm=WORDS, blank=blank).decode_n_best(log_probs[:, columns], 4) == expected


def test_tensors_of_any_type_and_empty_utterances() -> None:
    log_probs = torch.from_numpy(random_log_probs(1, 30, 4, 3.0)).requires_grad_()
    decoder = BeamDecoder(LABELS)
    expected = decoder.decode(log_probs.detach().numpy())
    for given in (log_probs, log_probs.double(), log_probs.bfloat16(), log_probs.half(), log_probs.detach().tolist()):
        assert decoder.decode(given) == expected
    assert decoder.decode(np.zeros((0, 4))) == "" and decoder.decode_batch([]) == []


def test_hotwords_and_a_closed_vocabulary_change_the_text() -> None:
    log_probs = np.log(np.array([[0.1, 0.1, 0.45, 0.35], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.35, 0.45]]))
    assert BeamDecoder(LABELS).decode(log_probs) == "ab"
    assert BeamDecoder(LABELS, hotwords=["ba"]).decode(log_probs) == "ba"
    assert BeamDecoder(LABELS, hotwords={"ba": 0.1}).decode(log_probs) == "ab"
    only = estimate(["ba", "bb"], order=2).model
    assert BeamDecoder(LABELS, lm=only, lm_weight=0.0).decode(log_probs) == "ab"
    assert BeamDecoder(LABELS, lm=only, lm_weight=0.0, closed=True).decode(log_probs) in ("ba", "bb")


GOOD = random_log_probs(0, 5, 4)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (np.exp(GOOD), "holds probabilities, not their natural logarithms; give numpy.log"),
        (GOOD * 3 + 2, r"exp of frame \d sums to .*it looks like logits: give log_softmax"),
        (GOOD / math.log(10), "looks like logits"),
        (np.vstack([GOOD, np.zeros((2, 4))]), "frame 5 is all zeros, which looks like padding; cut the padding off"),
        (np.where(np.arange(4) == 2, np.nan, GOOD), "holds NaN or infinity"),
        (np.full((3, 4), -np.inf), "exp of frame 0 sums to 0, not 1"),
        (GOOD[:, :3], r"must have the shape \(frames, 4\).*found \(5, 3\)"),
        (GOOD[None], r"found \(1, 5, 4\)\. A batch is a list"),
        (GOOD.astype(str), "must hold numbers"),
    ],
)
def test_other_numbers_are_refused(log_probs: np.ndarray, message: str) -> None:
    with pytest.raises(AsrError, match=message):
        BeamDecoder(LABELS).decode(log_probs)
    with pytest.raises(AsrError, match=r"log_probs\[1\]: "):
        BeamDecoder(LABELS).decode_batch([GOOD, log_probs])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"units": "ab"}, TextError, "units must be a list of symbols"),
        ({"units": ["", "a", "a"]}, TextError, "distinct"),
        ({"blank": 4}, AsrError, "blank must be the index of one of the 4 units, not 4"),
        ({"beam": 0}, AsrError, "beam and units_per_frame must be 1 or more, not 0 and 8"),
        ({"hotwords": ["abc"]}, TextError, r"'c' \(U\+0063"),
        ({"hotwords": {"ab": -1.0}}, TextError, "-1.0 is no weight"),
        ({"lm": CHARACTERS}, LanguageModelError, "is a model of characters, and lm= takes a model of words"),
        ({"characters": WORDS}, LanguageModelError, "is a model of words, and characters= takes"),
        ({"lm": WORDS, "units": ["", "a", "b"]}, LanguageModelError, "no space between words"),
        ({"lm": estimate([t.upper() for t in TEXTS]).model}, LanguageModelError, r"can spell none of its \d+ words"),
        ({"lm": "missing.arpa"}, LanguageModelError, "missing.arpa: no such language model"),
        ({"closed": True}, LanguageModelError, "a closed vocabulary needs a model of words"),
    ],
)
def test_wrong_arguments(options: dict, error: type[AsrError], message: str) -> None:
    with pytest.raises(error, match=message):
        BeamDecoder(**{"units": LABELS, **options})


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy\n"
        "from asr.decoding.beam_decoder import BeamDecoder\n"
        "print(BeamDecoder(['', 'a', 'b']).decode(numpy.log([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "ab\n", done.stderr
