"""Equalisation: it removes microphones, keeps words, and gives every path to a model the same samples."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from conftest import RATE, TONES, fresh_recognizer, spell, train_config
from processes import run_asr

from asr import equalize as module
from asr.classification import classify
from asr.classifier import Classifier
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.equalize import Equalizer, equalize, equalizing_filter, filtered, speech_spectra
from asr.errors import AudioError, ConfigError
from asr.recognition.latency import require_streamable
from asr.recognition.recognizer import Recognizer
from asr.recognition.transcribe import transcribe
from asr.training.data import open_data
from asr.training.evaluate import evaluate
from asr.tuning.validation import Validation
from asr.utterance import Utterance


@pytest.fixture(scope="module")
def digits(corpora: Path) -> list[np.ndarray]:
    """Return ten digits of one speaker, five times each: 30 seconds of real speech."""
    files = sorted((corpora / "fsdd" / "recordings").glob("*_george_[0-4].wav"))
    assert len(files) == 50
    return [soundfile.read(file, dtype="float32")[0] for file in files]


def microphone(seed: int) -> np.ndarray:
    """Return the impulse response of a microphone with gains of up to 15 dB, up or down, across the spectrum."""
    gains = 10 ** (np.random.default_rng(seed).uniform(-15, 15, 6) / 20)
    return scipy.signal.firwin2(65, np.linspace(0, 1, 6), gains).astype(np.float32)


def decibels(waveforms: list[np.ndarray]) -> np.ndarray:
    """Return the average spectrum (dB) from 150 to 3,500 Hz, minus its mean."""
    spectra = np.concatenate([speech_spectra(waveform, RATE) for waveform in waveforms])
    average: np.ndarray = spectra.mean(axis=0)[5:113] * 10 / np.log(10)
    return average - average.mean()


def test_microphones_are_removed(digits: list[np.ndarray]) -> None:
    apart, together = [], []
    plain = Equalizer(["george"] * len(digits), digits.__getitem__, RATE)
    before, after = decibels(digits), decibels([plain(i, one) for i, one in enumerate(digits)])
    for seed in range(5):
        coloured = [filtered(one, microphone(seed)) for one in digits]
        equalizer = Equalizer(["george"] * len(digits), coloured.__getitem__, RATE)
        apart.append(np.abs(decibels(coloured) - before).mean())
        together.append(np.abs(decibels([equalizer(i, one) for i, one in enumerate(coloured)]) - after).mean())
    assert min(apart) > 3 * max(together) and max(together) < 1.5


def test_digits_stay_apart(digits: list[np.ndarray]) -> None:
    """One filter for all digits does not change the differences between digits."""
    equalizer = Equalizer(["george"] * len(digits), digits.__getitem__, RATE)
    evened = [equalizer(i, one) for i, one in enumerate(digits)]
    before, after = (decibels(some[:5]) - decibels(some[5:10]) for some in (digits, evened))  # zero, one
    assert np.abs(before).max() > 5
    np.testing.assert_allclose(after, before, atol=2.5)  # other frames at the edges of pauses count as speech


def test_little_speech_changes_little(digits: list[np.ndarray]) -> None:
    spectra = speech_spectra(digits[0], RATE)

    def largest(seconds: float) -> float:
        taps = equalizing_filter(np.resize(spectra.mean(axis=0), (round(seconds / 0.016), 129)), RATE)
        return float(np.abs(20 * np.log10(np.abs(scipy.signal.freqz(taps, worN=64)[1][3:61]))).max())

    much = largest(1000)
    assert much > 10
    assert largest(5) == pytest.approx(much / 2, rel=0.05)
    assert largest(0.5) == pytest.approx(much / 11, rel=0.05)
    (once,) = equalize([digits[0]], RATE)
    assert np.corrcoef(once, digits[0])[0, 1] > 0.98


def test_filtering_has_no_delay_and_reaches_the_ends() -> None:
    generator = np.random.default_rng(0)
    taps = generator.standard_normal(33)
    for size in (1, 20, 33, 1000, 20_000):
        samples = generator.standard_normal(size).astype(np.float32)
        expected = scipy.signal.lfilter(taps, 1.0, np.concatenate([samples, np.zeros(16)]))[16:]
        found = filtered(samples, taps)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(filtered(np.zeros(0, np.float32), taps)) == 0


def test_silence_and_nothing_stay_finite() -> None:
    waveforms = [np.zeros(4000, np.float32), np.zeros(1, np.float32), np.full(4000, 0.5, np.float32)]
    for evened, waveform in zip(equalize(waveforms, RATE), waveforms, strict=True):
        assert evened.shape == waveform.shape and np.isfinite(evened).all()
    assert len(equalize([np.zeros(0, np.float32)], RATE)[0]) == 0


def test_a_speaker_has_one_filter_found_once_and_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    waveforms = [spell("abc", generator).astype(np.float32) for _ in range(40)]
    asked: list[int] = []

    def read(index: int) -> np.ndarray:
        asked.append(index)
        return waveforms[index]

    monkeypatch.setattr(module, "ENOUGH_SECONDS", 3.0)
    equalizer = Equalizer(["x"] * 30 + ["y"] * 8 + [8, 9], read, RATE)
    assert not asked
    of_x = [equalizer(index, waveforms[0]) for index in range(30)]
    assert all(np.array_equal(one, of_x[0]) for one in of_x)
    assert len(asked) == 6 and set(asked) <= set(range(30))  # recordings of 0.54 s
    assert asked != sorted(asked)
    asked.clear()
    assert not np.array_equal(equalizer(39, waveforms[0]), equalizer(31, waveforms[0]))
    assert asked[0] == 39 and set(asked[1:]) <= set(range(30, 38))


@pytest.fixture
def two_microphones(tmp_path: Path) -> Path:
    """Make `train.jsonl` and `validation.jsonl` of tones; the speakers x and y take turns, with two microphones."""
    generator = np.random.default_rng(1)
    for name in ("train", "validation"):
        utterances = []
        for number in range(16):
            speaker = "xy"[number % 2]
            text = "".join(generator.choice(list(TONES), 3))
            samples = filtered(spell(text, generator).astype(np.float32), microphone(number % 2))
            path = tmp_path / f"{name}-{number}.wav"
            soundfile.write(path, 0.5 * samples / np.abs(samples).max(), RATE)
            utterances.append(Utterance(path.stem, path, text, speaker=speaker))
        write_manifest(tmp_path / f"{name}.jsonl", utterances)
    return tmp_path


def equalizing(folder: Path, equalizes: bool = True) -> Config:
    config = train_config(folder)
    return config.model_copy(update={"features": config.features.model_copy(update={"equalize": equalizes})})


def recognizer_for(config: Config) -> Recognizer:
    """Return a recogniser with random weights, whose texts depend on every input."""
    recognizer = fresh_recognizer("abc ")
    features = config.features.model_copy(update={"bins": 20})
    recognizer.config = recognizer.config.model_copy(update={"data": config.data, "features": features})
    return recognizer


def test_every_path_to_the_model_has_the_same_samples(two_microphones: Path) -> None:
    config = equalizing(two_microphones)
    recognizer = recognizer_for(config)
    utterances = read_manifest(two_microphones / "validation.jsonl")
    corpus = open_data(config, lambda line: None).validation
    while_training = evaluate(recognizer, corpus).hypotheses
    transcribed = [result.text for _, result in transcribe(recognizer, utterances)]  # type: ignore[union-attr]
    assert transcribed == while_training and any(transcribed)
    validation = Validation(recognizer, utterances).log_probs
    for indices, frames, lengths in recognizer.batches(corpus.num_samples, corpus.audio):
        for index, row, length in zip(indices, frames, lengths.tolist(), strict=True):
            np.testing.assert_allclose(validation[index], row[:length].numpy(), atol=1e-3)

    alone = [recognizer.transcribe(utterance.audio).text for utterance in utterances]
    waveforms = [soundfile.read(utterance.audio, dtype="float32")[0] for utterance in utterances]
    assert alone == recognizer.recognize(waveforms)
    assert alone == [recognizer.transcribe(waveform, RATE).text for waveform in waveforms]
    assert alone != transcribed
    nobody = [replace(utterance, speaker=None) for utterance in utterances]
    of_one = [replace(utterance, speaker="z") for utterance in utterances]  # a folder counts as one speaker
    together, as_one = ([r.text for _, r in transcribe(recognizer, some)] for some in (nobody, of_one))  # type: ignore[union-attr]
    assert together == as_one and together not in (alone, transcribed)
    plain = recognizer_for(equalizing(two_microphones, equalizes=False)).recognize(waveforms)
    assert plain != alone and plain != transcribed


def test_filters_use_only_the_utterances_that_are_kept(two_microphones: Path) -> None:
    config = equalizing(two_microphones)
    listed = two_microphones / "exclude.txt"
    listed.write_text("train-0\ntrain-3\n")
    whole = open_data(config, lambda line: None).training
    data = config.data.model_copy(update={"exclude": str(listed)})
    part = open_data(config.model_copy(update={"data": data}), lambda line: None).training
    indices = [index for index in range(16) if index not in (0, 3)]
    recorded = open_data(equalizing(two_microphones, equalizes=False), lambda line: None).training
    expected = Equalizer(
        [whole.utterances[index].speaker for index in indices], lambda row: recorded.audio(indices[row]), RATE
    )
    for row, index in enumerate(indices):
        assert np.array_equal(part.audio(row), expected(row, recorded.audio(index)))
        assert not np.array_equal(part.audio(row), whole.audio(index))


def test_every_path_to_a_classifier_has_the_same_samples(two_microphones: Path) -> None:
    config = equalizing(two_microphones)
    config = config.model_copy(update={"task": "classification"})
    torch.manual_seed(0)
    classifier = Classifier(config, ["a", "b", "c"])
    utterances = read_manifest(two_microphones / "validation.jsonl")
    corpus = open_data(config, lambda line: None).validation
    expected = np.exp(classifier.log_probs(corpus.num_samples, corpus.audio).max(1))
    found = [result.probability for _, result in classify(classifier, utterances)]  # type: ignore[union-attr]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    strangers = [replace(utterance, speaker=utterance.id) for utterance in utterances]
    waveforms = [soundfile.read(utterance.audio, dtype="float32")[0] for utterance in utterances]
    alone = [result.probability for result in classifier.classify(waveforms)]
    together = [result.probability for _, result in classify(classifier, strangers)]  # type: ignore[union-attr]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert not np.allclose(alone, found, atol=1e-3)


def test_a_recording_that_cannot_be_read_stops_no_other(two_microphones: Path) -> None:
    recognizer = recognizer_for(equalizing(two_microphones))
    utterances = read_manifest(two_microphones / "validation.jsonl")
    whole = [result.text for _, result in transcribe(recognizer, utterances[1:])]  # type: ignore[union-attr]
    shutil.copy(two_microphones / "validation.jsonl", utterances[0].audio)
    (_, bad), *good = transcribe(recognizer, utterances)
    assert isinstance(bad, AudioError) and str(utterances[0].audio) in str(bad)
    # The first recording of x is lost, so the others are read in another order; all are read, so the filter is equal.
    assert [result.text for _, result in good] == whole  # type: ignore[union-attr]
    classifier = Classifier(equalizing(two_microphones).model_copy(update={"task": "classification"}), ["a", "b"])
    results = [result for _, result in classify(classifier, utterances)]
    assert [isinstance(result, AudioError) for result in results] == [True, *[False] * 15]


def test_each_channel_has_its_own_filter(two_microphones: Path) -> None:
    recognizer = recognizer_for(equalizing(two_microphones))
    utterances = read_manifest(two_microphones / "validation.jsonl")[::2]
    expected = [result.text for _, result in transcribe(recognizer, utterances)]  # type: ignore[union-attr]
    for utterance in utterances:
        samples = soundfile.read(utterance.audio)[0]
        soundfile.write(
            utterance.audio, np.stack([samples, filtered(samples.astype(np.float32), microphone(7))], 1), RATE
        )
    split = [result.text for _, result in transcribe(recognizer, utterances, "split")]  # type: ignore[union-attr]
    assert split[::2] == expected
    assert split[1::2] == [r.text for _, r in transcribe(recognizer, utterances, 2)]  # type: ignore[union-attr]


def test_utterances_without_a_speaker_are_reported(tones: Path, tmp_path: Path) -> None:
    said: list[str] = []
    open_data(equalizing(tones), said.append)
    assert any("96 of 96 utterances name no speaker" in line for line in said)
    assert any("16 of 16 utterances name no speaker" in line for line in said)
    said.clear()
    open_data(equalizing(tones, equalizes=False), said.append)
    assert not any("speaker" in line for line in said)


def test_streams_are_refused(two_microphones: Path) -> None:
    with pytest.raises(ConfigError, match=r"equalises the spectrum of whole recordings.*features.equalize=false"):
        require_streamable(equalizing(two_microphones).model_dump())


def test_trained_saved_and_used_from_the_command_line(two_microphones: Path, tmp_path: Path) -> None:
    (two_microphones / "config.yaml").write_text(equalizing(two_microphones).to_yaml())
    out = tmp_path / "run"
    trained = run_asr(
        "train", two_microphones / "config.yaml", "--out", out, "--set", "training.epochs=2", "--set",
        "training.batch_utterances=4",
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    model = out / "model.safetensors"
    done = run_asr("transcribe", model, two_microphones / "validation.jsonl", "-o", tmp_path / "hyp.jsonl")
    assert done.returncode == 0, done.stderr
    recognizer = Recognizer.from_file(model)
    corpus = open_data(recognizer.config, lambda line: None).validation
    hypotheses = [row.extra["hypothesis"] for row in read_manifest(tmp_path / "hyp.jsonl")]
    assert hypotheses == evaluate(recognizer, corpus).hypotheses
