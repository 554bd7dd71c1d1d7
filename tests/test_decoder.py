"""The decoder: threads, the model file that stores it, damaged files, and `asr tune` with n-grams."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
from oracles import random_waveforms, randomise
from processes import run_asr
from test_beam import random_log_probs
from test_fusion import CHARACTERS, TEXTS, UNITS, WEIGHTS, WORDS

from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import write_manifest
from asr.decoding.beam import BeamSearch, Pruning
from asr.decoding.decoder import Decoder
from asr.decoding.fusion import Weights
from asr.errors import LanguageModelError, ModelFileError
from asr.lm.arpa import write_arpa
from asr.model_file import read_metadata
from asr.recognition.recognizer import Recognizer, load
from asr.tuning.ngrams import search_settings, spelling_model
from asr.tuning.validation import Validation
from asr.utterance import Utterance

CONFIG = {
    "data": {"train": "t.jsonl", "validation": "v.jsonl"},
    "features": {"sample_rate": 8000, "bins": 20},
    "model": {"hidden": 8, "layers": 1, "channels": 4},
}


@pytest.fixture
def recognizer() -> Recognizer:
    made = Recognizer(Config.model_validate(CONFIG), UNITS)
    randomise(made.acoustic_model, 0)
    made.features.fit([pad(random_waveforms(9, 4))])
    return made


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(UNITS, WORDS, CHARACTERS, weights=WEIGHTS, pruning=Pruning(width=7), summary={"tuned": "x"})


def test_threads_and_order_do_not_matter(decoder: Decoder) -> None:
    log_probs = [random_log_probs(seed, 5 + 7 * seed % 40, 4, 2.0) for seed in range(20)]
    alone = []
    for one in log_probs:
        search = BeamSearch(decoder.fusion, decoder.pruning)
        search.feed(one)
        alone.append(search.hypotheses(3))
    assert decoder.decode_n_best(log_probs, 3) == alone
    assert decoder.decode(log_probs[::-1]) == [hypotheses[0] for hypotheses in alone[::-1]]
    assert decoder.decode([]) == []


def test_the_input_is_left_alone(decoder: Decoder) -> None:
    log_probs = random_log_probs(0, 20, 4)
    copy = log_probs.copy()
    decoder.using(weights=Weights(blank=2.0)).decode([log_probs])
    assert np.array_equal(log_probs, copy)


def test_the_model_file_holds_the_decoder(recognizer: Recognizer, decoder: Decoder, tmp_path: Path) -> None:
    waveforms = random_waveforms(0, 6)
    plain = recognizer.recognize(waveforms)
    recognizer.decoder = decoder
    recognizer.save(tmp_path / "a")
    loaded = load(tmp_path / "a", "cpu")
    assert loaded.decoder is not None
    assert (loaded.decoder.weights, loaded.decoder.pruning) == (decoder.weights, decoder.pruning)
    assert loaded.recognize(waveforms) == recognizer.recognize(waveforms) != plain
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_metadata(tmp_path / "a")["decoding"]["summary"] == {"tuned": "x"}
    loaded.decoder = None
    assert loaded.recognize(waveforms) == plain


def test_damaged_decoders_are_refused(recognizer: Recognizer, decoder: Decoder, tmp_path: Path) -> None:
    recognizer.decoder = decoder
    path = tmp_path / "good"
    recognizer.save(path)
    metadata, tensors = read_metadata(path), safetensors.torch.load_file(path)
    cases = (
        ({"pruning": {"width": 0}}, {}),
        ({"pruning": {"breadth": 3}}, {}),
        ({"weights": {"lm": float("nan")}}, {}),
        ({"weights": {"lm": "much"}}, {}),
        ({}, {"decoder.words.first": tensors["decoder.words.first"] + 1}),
        ({}, {"decoder.words.units": tensors["decoder.characters.units"].clone()}),
    )
    for settings, arrays in cases:
        damaged = {**metadata, "decoding": {**metadata["decoding"], **settings}}
        safetensors.torch.save_file({**tensors, **arrays}, tmp_path / "bad", {"asr": json.dumps(damaged)})
        with pytest.raises(ModelFileError, match="do not fit together"):
            load(tmp_path / "bad")


def test_spellings_of_a_vocabulary_know_its_letters_and_word_ends() -> None:
    model = spelling_model(WORDS)
    likely, unlikely = (model.score([*word, "<space>"], start=False, end=False) for word in ("ab", "<<"))
    assert likely > unlikely + 3


class Spoken(Validation):
    """A validation set of given texts, with noisy log-probabilities made without a model or recordings."""

    def __init__(self, recognizer: Recognizer, texts: list[str], noise: float) -> None:
        generator = np.random.default_rng(0)
        self.recognizer, self.references, self.log_probs = recognizer, texts, []
        for text in texts:
            frames = noise * generator.standard_normal((3 * len(text) + 1, len(UNITS)))
            frames[:, 0] += 3
            for position, unit in enumerate(UNITS.encode(text)):
                frames[3 * position + 1, unit] += 4
            self.log_probs.append((frames - np.logaddexp.reduce(frames, axis=1, keepdims=True)).astype(np.float32))


def test_tuning_improves_step_by_step(recognizer: Recognizer) -> None:
    validation = Spoken(recognizer, TEXTS * 3, 1.5)
    found = list(search_settings(validation, Decoder(UNITS, WORDS, CHARACTERS)))
    *steps, last = found
    assert [trial.loss for trial in steps] == sorted({trial.loss for trial in steps}, reverse=True)
    assert last.loss <= 1.01 * steps[-1].loss
    assert last.score.wer.errors < 0.8 * validation.score(None).wer.errors
    decoder = Decoder(UNITS, WORDS, CHARACTERS, weights=last.weights, pruning=last.pruning)
    assert str(validation.score(decoder)) == str(last.score)


@pytest.fixture
def files(recognizer: Recognizer, tmp_path: Path) -> Path:
    """A folder with a model, recordings, ARPA files, and a manifest whose references are the best paths."""
    recognizer.save(tmp_path / "model")
    waveforms = random_waveforms(3, 6)
    utterances = []
    for number, (waveform, text) in enumerate(zip(waveforms, recognizer.recognize(waveforms), strict=True)):
        soundfile.write(tmp_path / f"{number}.wav", waveform, 8000, subtype="PCM_16")
        utterances.append(Utterance(id=str(number), audio=tmp_path / f"{number}.wav", text=text or "a"))
    write_manifest(tmp_path / "heard.jsonl", utterances)
    other = [dataclasses.replace(u, text=TEXTS[n]) for n, u in enumerate(utterances)]
    write_manifest(tmp_path / "other.jsonl", other)
    write_arpa(tmp_path / "words.arpa", WORDS)
    write_arpa(tmp_path / "characters.arpa", CHARACTERS)
    (tmp_path / "text.txt").write_text("\n".join(TEXTS))
    return tmp_path


def test_tune_stores_what_helps(files: Path) -> None:
    tuned = files / "tuned"
    done = run_asr("tune", files / "model", files / "other.jsonl", "--lm-text", files / "text.txt", "-o", tuned)
    assert done.returncode == 0, done.stderr
    assert "6 of 6 texts" in done.stderr and "verbatim" in done.stderr
    assert read_metadata(tuned)["decoding"]["summary"]["utterances"] == 6
    assert "decoding" not in read_metadata(files / "model")
    last = done.stdout.splitlines()[-2]
    done = run_asr("transcribe", tuned, files / "other.jsonl", "-o", files / "hypotheses.jsonl")
    assert done.returncode == 0, done.stderr
    scored = run_asr("score", files / "other.jsonl", files / "hypotheses.jsonl")
    assert scored.stdout.splitlines()[-1].startswith(last.strip())


def test_tune_stores_nothing_where_nothing_helps(files: Path) -> None:
    """The references are the best paths, so no language model can do better."""
    done = run_asr("tune", files / "model", files / "heard.jsonl", "--lm", files / "words.arpa")
    assert done.returncode == 0, done.stderr
    assert "no setting helps" in done.stdout and "expected calibration error" in done.stdout
    assert f"{files / 'model.tuned'}: " in done.stderr and "confidence" not in read_metadata(files / "model")
    metadata = read_metadata(files / "model.tuned")
    assert "decoding" not in metadata and metadata["confidence"]["words"] > 0


def test_wrong_calls_of_tune(files: Path) -> None:
    for options, message in (
        (["--closed"], "--closed allows only words"),
        (["--lm", "x.arpa", "--lm-text", "x.txt"], "leave out"),
        (["--lm", files / "characters.arpa"], "must be one of words"),
        (["--lm", "x.arpa"], "x.arpa: no such language model"),
    ):
        done = run_asr("tune", files / "model", files / "heard.jsonl", *options)
        assert done.returncode == 1
        assert message in done.stderr and "Traceback" not in done.stderr


def test_closed_needs_words() -> None:
    with pytest.raises(LanguageModelError, match="needs a model of words"):
        Decoder(UNITS, None, CHARACTERS, closed=True)
