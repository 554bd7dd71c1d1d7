"""Suspect transcripts: reasons from simulated log-probabilities, cross-validation, the command `asr suspects`."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import fresh_recognizer, train_config
from processes import run_asr
from test_align import say
from typer.testing import CliRunner

from asr.cli import app
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.recognition.recognizer import Recognizer
from asr.suspects import find_suspects, judge, outer_fence, said_of_training
from asr.training import folds
from asr.training.data import open_data
from asr.utterance import Utterance

SAID = [("abc", 10), ("de", 30), ("fgh", 60), ("bad", 80)]


def corpus_of(recognizer: Recognizer, texts: list[str], said: list[list[tuple[str, int]]]) -> SimpleNamespace:
    """Utterances with these texts, for which `recognizer` computes `said`; their only sample is their number."""

    def batches(sizes: np.ndarray, read: object) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        for row in range(len(sizes)):
            log_probs = say(recognizer, said[int(read(row)[0])], 140)
            yield [row], log_probs[None], torch.tensor([len(log_probs)])

    recognizer.batches = batches
    return SimpleNamespace(
        utterances=[Utterance(f"{number:04d}", Path("x.wav"), text) for number, text in enumerate(texts)],
        num_samples=np.ones(len(texts), np.int64),
        audio=lambda index: np.array([index], np.float32),
    )


def reasons(texts: list[str], said: list[list[tuple[str, int]]]) -> dict[str, tuple[str, ...]]:
    recognizer = fresh_recognizer("abcdefgh ")
    corpus = corpus_of(recognizer, texts, said)
    judged = [(recognizer, found) for found in judge(recognizer, corpus, range(len(texts)))]
    suspects, _ = find_suspects(judged, corpus, len(texts))
    return {suspect.utterance.id: suspect.reasons for suspect in suspects}


def test_a_transcript_of_another_recording_is_recognised() -> None:
    others = [[("face", 20 + 2 * shift), ("hag", 60)] for shift in range(8)]
    found = reasons(["abc de", "hag hag", *["face hag"] * 8], [[("hag", 20), ("hag", 60)], SAID[:2], *others])
    assert found["0000"] == ("looks like the transcript of 0001: “hag hag”",)
    assert found["0001"] == ("looks like the transcript of 0000: “abc de”",)
    assert list(found)[:2] in (["0000", "0001"], ["0001", "0000"])
    assert all(not found[f"{number:04d}"] for number in range(2, 10))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc de fgh bad", ()),
        ("abc de fgh bad gag egg had", ("second half not spoken: “gag egg had”",)),
        ("gag egg had abc de fgh bad", ("first half not spoken: “gag egg had”",)),
        ("abc de fgh bad egg", ("last words not spoken: “egg”",)),
        ("abc de gag fgh bad", ("not spoken: “gag”",)),
        ("abc de", ("audio continues",)),
        ("fgh bad", ("audio begins",)),
        ("abc bad", ("s are not in the text",)),
        ("gig", ("none of its words is recognised",)),
    ],
)
def test_what_is_missing_is_told(text: str, expected: tuple[str, ...]) -> None:
    (found,) = reasons([text], [SAID]).values()
    assert len(found) >= len(expected)
    assert all(part in reason for part, reason in zip(expected, found, strict=False))
    assert bool(found) == bool(expected)


def test_silence_and_unknown_letters() -> None:
    assert reasons(["abc", "xyz"], [[], SAID]) == {
        "0000": ("nothing is recognised",),
        "0001": ("the text holds no word that the model has units for; is it the text of this recording?",),
    }


def test_excess_is_nothing_for_what_is_heard_and_grows_with_errors() -> None:
    recognizer = fresh_recognizer("abcdefgh ")
    corpus = corpus_of(recognizer, ["abc de fgh bad", "abc de fgh bed", "abc de egg bed", "a" * 200], [SAID] * 4)
    excess = [found.excess for found in judge(recognizer, corpus, range(4))]
    assert excess[0] == pytest.approx(0, abs=1e-4)
    assert excess[0] < excess[1] < excess[2] < excess[3] == float("inf")


def test_the_fence_is_not_moved_by_outliers() -> None:
    values = [float(value) for value in np.random.default_rng(0).normal(0, 1, 1000)]
    fence = outer_fence(values)
    assert max(values) < fence < 6
    assert outer_fence([*values, *[float("inf")] * 20]) == pytest.approx(fence, abs=0.3)


def test_all_that_stand_out_are_given() -> None:
    recognizer = fresh_recognizer("abcdefgh ")
    corpus = corpus_of(recognizer, ["gig gig", "egg egg egg", *["abc de fgh bad"] * 9], [SAID] * 11)
    judged = [(recognizer, found) for found in judge(recognizer, corpus, range(11))]
    for shown, number in ((0, 2), (5, 5), (99, 11)):
        suspects, _ = find_suspects(judged, corpus, shown)
        assert len(suspects) == number
        assert [suspect.stands_out for suspect in suspects] == [True, True, *[False] * (number - 2)]


def test_excluded_utterances_are_counted_and_left_out(tones: Path, tmp_path: Path) -> None:
    listed = tmp_path / "exclude.txt"
    listed.write_text("\ufefftrain-0\n train-7 \r\n\nvalidation-1\n", encoding="utf-8")
    said: list[str] = []
    data = open_data(excluding(tones, listed), said.append)
    assert (
        f"excluded 2 of 96 training utterances, listed in {listed}; 1 of its ids are not in the training data" in said
    )
    assert {u.id for u in data.training.utterances} == {f"train-{n}" for n in range(96)} - {"train-0", "train-7"}
    assert len(data.validation) == 16
    whole = open_data(train_config(tones), said.append).training
    for index, utterance in enumerate(data.training.utterances):  # each keeps its own audio
        original = [u.id for u in whole.utterances].index(utterance.id)
        assert np.array_equal(data.training.audio(index), whole.audio(original))

    listed.write_text("".join(f"train-{n}\n" for n in range(96)))
    with pytest.raises(TrainingError, match="lists all 96 training utterances"):
        open_data(excluding(tones, listed), said.append)
    with pytest.raises(ConfigError, match=r"nothing\.txt: cannot be read"):
        open_data(excluding(tones, tmp_path / "nothing.txt"), said.append)


def excluding(tones: Path, path: Path) -> Config:
    config = train_config(tones)
    return config.model_copy(update={"data": config.data.model_copy(update={"exclude": str(path)})})


def test_no_model_judges_what_it_has_seen(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[set[str]] = []

    def train(config: Config, out: Path, *, overwrite: bool) -> Recognizer:
        trained.append({u.id for u in open_data(config, lambda line: None).training.utterances})
        recognizer = fresh_recognizer("abc")
        recognizer.save(out / folds.MODEL_FILE)
        return recognizer

    monkeypatch.setattr(folds, "train", train)
    listed = tmp_path / "exclude.txt"
    listed.write_text("train-3\n")
    config = excluding(tones, listed)
    data = open_data(config, lambda line: None)
    ids = [utterance.id for utterance in data.training.utterances]

    def judged() -> list[set[str]]:
        parts = folds.cross_validate(config, data, tmp_path / "out", 3, lambda line: None)
        return [{ids[index] for index in fold} for _, fold in parts]

    parts = judged()
    assert sorted(identifier for part in parts for identifier in part) == sorted(ids)
    assert [len(part) for part in parts] == [32, 32, 31]
    assert [seen | part for seen, part in zip(trained, parts, strict=True)] == [set(ids)] * 3
    assert not any(seen & part for seen, part in zip(trained, parts, strict=True))
    assert judged() == parts and len(trained) == 3  # not trained again
    data.training.utterances[0] = replace(data.training.utterances[0], text="ab")
    assert judged() == parts and len(trained) == 6  # other texts: trained again
    for number in (1, 96):
        with pytest.raises(TrainingError, match=f"{number} folds"):
            list(folds.cross_validate(config, data, tmp_path / "out", number, lambda line: None))


def test_a_model_tells_what_it_was_trained_on(tones: Path, tmp_path: Path) -> None:
    listed = tmp_path / "exclude.txt"
    listed.write_text("train-3\n")
    training, validation = (read_manifest(tones / f"{name}.jsonl") for name in ("train", "validation"))
    recognizer = fresh_recognizer("abc")
    for config, utterances, expected in (
        (train_config(tones), training[:5] + validation[:5], "WARNING: it was trained on 5 of them"),
        (excluding(tones, listed), training[:5], "WARNING: it was trained on 4 of them"),
        (train_config(tones), validation, "it was trained on none of them"),
        (train_config(tmp_path), validation, "it is unknown whether it was trained on them"),
    ):
        recognizer.config = config
        assert expected in said_of_training(recognizer, utterances)


def test_command(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, recognizer = train_config(tones), fresh_recognizer("abc")
    recognizer.config = recognizer.config.model_copy(update={"data": config.data})
    recognizer.save(tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["suspects", "model.safetensors", str(tones / "validation.jsonl"), "--show", "7"])
    assert done.exit_code == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    excess = [float(row[1]) for row in rows]
    assert len(rows) >= 7 and excess == sorted(excess, reverse=True)
    assert "16 utterances judged by" in done.stderr and "trained on none of them" in done.stderr
    page = (tmp_path / "suspects" / "suspects.html").read_text()
    assert page.count("<audio") == page.count("data:audio/mpeg;base64,") == len(rows)
    assert "http" not in page
    listed = (tmp_path / "suspects" / "exclude.txt").read_text().split()
    assert listed == [row[0] for row in rows[: len(listed)]]

    Path("mine.yaml").write_text("data: {train: nothing.jsonl, validation: nothing.jsonl}")  # refused before it is read
    for arguments, message in (
        (["mine.yaml", "--set", "task=classification"], "task: classification has no transcripts to judge"),
        (["mine.yaml", "--set", "model.decoder=attention"], "has no CTC output to judge by; --set model.decoder=ctc"),
        (["mine.yaml", "x.jsonl"], "leave out x.jsonl"),
        (["model.safetensors"], "name the manifest"),
        (["model.safetensors", "x.jsonl", "--set", "training.epochs=1"], "--set: goes with a configuration"),
    ):
        assert message in str(CliRunner().invoke(app, ["suspects", *arguments]).exception)


@pytest.mark.slow
def test_swapped_transcripts_are_found(corpora: Path, tmp_path: Path) -> None:
    """Of 1,000 recordings 20 have the text of another: at least 18 of them stand in the first 40."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    utterances = [
        Utterance(path.stem, path, words[int(path.stem[0])], speaker=path.stem.split("_")[1])
        for path in sorted((corpora / "fsdd" / "recordings").glob("*.wav"))
    ]
    generator = random.Random(0)
    generator.shuffle(utterances)
    training, validation = utterances[:1000], utterances[1000:1100]
    swapped: list[int] = []
    for index, utterance in enumerate(training):  # no two neighbours in the circle have the same text
        if len(swapped) < 20 and utterance.text == words[len(swapped) % 10]:
            swapped.append(index)
    texts = [training[index].text for index in swapped]
    for index, text in zip(swapped, texts[1:] + texts[:1], strict=True):
        training[index] = replace(training[index], text=text)
    write_manifest(tmp_path / "train.jsonl", training)
    write_manifest(tmp_path / "validation.jsonl", validation)
    config = {
        "data": {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")},
        "features": {"sample_rate": 8000, "bins": 64},
        "model": {"subsampling": 2, "channels": 48, "hidden": 96, "layers": 2, "dropout": 0.3},
        "augment": {"noise_snr_db": [15, 40], "frequency_warp": 0.2, "tempo": 0.2},
        "training": {"epochs": 20, "batch_utterances": 16, "learning_rate": 3e-3, "warmup": 0.15},
    }
    (tmp_path / "swapped.yaml").write_text(json.dumps(config))
    done = run_asr("suspects", "swapped.yaml", "-o", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = [line.split("\t")[0] for line in done.stdout.splitlines()[:40]]
    assert len({training[index].id for index in swapped} & set(first)) >= 18
