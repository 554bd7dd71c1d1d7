"""Rescoring of n-best lists by a recurrent language model: scores, the model file, `asr tune --rnn-lm`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
from conftest import fresh_recognizer
from oracles import random_waveforms
from test_beam import random_log_probs
from test_decoder import Spoken
from test_fusion import CHARACTERS, TEXTS, UNITS, WEIGHTS, WORDS
from test_recurrent import random_lm
from typer.testing import CliRunner

from asr.cli import app
from asr.corpus.manifest import write_manifest
from asr.decoding.beam import Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.rescoring import Rescorer
from asr.errors import ModelFileError
from asr.lm.base import Given
from asr.lm.recurrent import RecurrentLM
from asr.model_file import read_metadata
from asr.recognition.recognizer import load
from asr.tuning.recurrent import tune_rescoring
from asr.utterance import Utterance

LOG_PROBS = [random_log_probs(seed, 5 + 7 * seed % 20, 4, 2.0) for seed in range(8)]


def decoder(weight: float, bonus: float, lm: RecurrentLM | None = None) -> Decoder:
    made = Decoder(UNITS, WORDS, CHARACTERS, weights=WEIGHTS, pruning=Pruning(width=9))
    made.rescorer = Rescorer(lm or random_lm(), UNITS, weight, bonus, {"utterances": 3})
    return made


class Knowing(RecurrentLM):
    """A language model that gives tokens of `TEXTS` a high probability, and tokens of other texts a low one."""

    def log_probs(self, sentences: Sequence[np.ndarray], vectors: np.ndarray | None = None) -> Iterable[np.ndarray]:
        known = {sentence.tobytes() for sentence in self.encode_sentences(TEXTS)}
        return [np.full(len(s), -0.5 if s.tobytes() in known else -3.0) for s in sentences]


@pytest.mark.parametrize("units", ["characters", "words"])
def test_scores_by_definition(units: str) -> None:
    lm = random_lm(units)
    plain = decoder(0, 0)
    plain.rescorer = None
    rescored = decoder(0.7, 0.3, lm).decode_n_best(LOG_PROBS, 5)
    for before, after in zip(plain.decode_n_best(LOG_PROBS, 9), rescored, strict=True):
        expected = []
        for hypothesis in before:
            text = " ".join(UNITS.decode(hypothesis.units).split())
            sentence = lm.encode([*lm.tokens(text), "</s>"])
            (log_probs,) = lm.log_probs([sentence])
            expected.append((hypothesis.score + 0.7 * log_probs.sum() + 0.3 * len(sentence), hypothesis.units))
        expected.sort(reverse=True)
        assert [h.units for h in after] == [units for _, units in expected[:5]]
        assert [h.score for h in after] == pytest.approx([score for score, _ in expected[:5]], abs=1e-4)


def test_weight_nothing_is_nothing() -> None:
    plain, zero = decoder(0, 0), decoder(0, 0)
    plain.rescorer = None
    assert zero.decode(LOG_PROBS) == plain.decode(LOG_PROBS)
    assert zero.decode_n_best(LOG_PROBS, 4) == plain.decode_n_best(LOG_PROBS, 4)
    assert decoder(2.0, 0.0).decode(LOG_PROBS) != plain.decode(LOG_PROBS)


def test_the_best_is_the_first_of_the_n_best_in_any_company() -> None:
    made = decoder(1.0, 0.5)
    best = [h.units for h in made.decode(LOG_PROBS)]
    assert best == [hypotheses[0].units for hypotheses in made.decode_n_best(LOG_PROBS, 3)]
    assert best == [made.decode([log_probs])[0].units for log_probs in LOG_PROBS]
    assert best[::-1] == [h.units for h in made.decode(LOG_PROBS[::-1])]
    assert made.decode([]) == []


def test_the_model_file_holds_it(tmp_path: Path) -> None:
    recognizer = fresh_recognizer(" ab")
    waveforms = random_waveforms(0, 6)
    recognizer.decoder = decoder(3.0, 1.5)
    recognizer.save(tmp_path / "a")
    loaded = load(tmp_path / "a", "cpu")
    assert loaded.recognize(waveforms) == recognizer.recognize(waveforms)
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    recognizer.decoder.rescorer = None
    assert loaded.recognize(waveforms) != recognizer.recognize(waveforms)
    metadata, tensors = read_metadata(tmp_path / "a"), safetensors.torch.load_file(tmp_path / "a")
    settings = metadata["decoding"]["rescorer"]
    assert settings["summary"] == {"utterances": 3}
    for changed, arrays in (
        ({"weight": float("nan")}, {}),
        ({"bonus": "much"}, {}),
        ({"lm": None}, {}),
        ({}, {"decoder.rescorer.vocabulary": tensors["decoder.rescorer.vocabulary"][2:].clone()}),
    ):
        damaged = {**metadata, "decoding": {**metadata["decoding"], "rescorer": {**settings, **changed}}}
        safetensors.torch.save_file({**tensors, **arrays}, tmp_path / "bad", {"asr": json.dumps(damaged)})
        with pytest.raises(ModelFileError, match="do not fit together"):
            load(tmp_path / "bad")


@pytest.mark.parametrize("tuned_before", [False, True])
def test_tuning_keeps_what_helps(tuned_before: bool) -> None:
    recognizer = fresh_recognizer(" ab")
    random = random_lm()
    lm = Knowing(random.vocabulary, "characters", random.normalizer, random.settings)
    if tuned_before:
        recognizer.decoder = decoder(9.0, 0.0)  # what was stored before does not count
    validation, said = Spoken(recognizer, TEXTS * 3, 1.5), []
    tune_rescoring(validation, lm, said.append)
    assert recognizer.decoder is not None and recognizer.decoder.rescorer is not None
    assert recognizer.decoder.rescorer.weight > 0
    score = validation.score(recognizer.decoder)
    trial, last = said[-2:]
    assert f"{score.wer.percent:.2f} {score.cer.percent:6.2f}" in trial
    assert str(score.wer).partition(" 95")[0] in last
    recognizer.decoder.rescorer = None
    assert score.wer.errors < 0.8 * validation.score(recognizer.decoder if tuned_before else None).wer.errors


def test_tuning_stores_nothing_where_nothing_helps(tmp_path: Path) -> None:
    """The references are the best paths, so no language model can do better."""
    recognizer = fresh_recognizer(" ab")
    recognizer.save(tmp_path / "model")
    random_lm().save(tmp_path / "lm")
    waveforms = random_waveforms(3, 6)
    utterances = []
    for number, (waveform, text) in enumerate(zip(waveforms, recognizer.recognize(waveforms), strict=True)):
        soundfile.write(tmp_path / f"{number}.wav", waveform, 8000, subtype="PCM_16")
        utterances.append(Utterance(id=str(number), audio=tmp_path / f"{number}.wav", text=text or "a"))
    write_manifest(tmp_path / "heard.jsonl", utterances)

    def tune(lm: str, *given: str) -> tuple[str, BaseException | None]:
        model, manifest = str(tmp_path / "model"), str(tmp_path / "heard.jsonl")
        done = CliRunner().invoke(app, ["tune", model, manifest, "--rnn-lm", str(tmp_path / lm), *given])
        return done.stdout, done.exception

    stdout, error = tune("lm")
    assert error is None and "no weight helps" in stdout
    assert "decoding" not in read_metadata(tmp_path / "model")
    assert "no recurrent language model" in str(tune("model")[1])
    random_lm(condition_size=2, given=Given("language", ("es", "ru"), 0.1)).save(tmp_path / "of-two")
    stdout, error = tune("of-two", "--given", "ru")
    assert error is None and "no weight helps" in stdout
    assert "no language 'it'; its training text has es, ru" in str(tune("of-two", "--given", "it")[1])
    model, manifest = str(tmp_path / "model"), str(tmp_path / "heard.jsonl")
    without = CliRunner().invoke(app, ["tune", model, manifest, "--given", "ru"])
    assert "--given is for the language model of --rnn-lm" in str(without.exception)
