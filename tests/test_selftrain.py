"""Self-training: which pseudo transcripts are taken, and a student that learns from them, whatever interrupts it."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, interrupted, train_config
from oracles import random_waveforms
from processes import run_asr

from asr.batching import pad
from asr.config import Config
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ConfigError, TrainingError
from asr.learning.pseudo import LEAST_CONFIDENCE, Pseudo, pseudo_transcripts, write_pseudo
from asr.learning.selftrain import self_train
from asr.recognition.recognizer import Recognizer, load
from asr.scoring.wer import score
from asr.text import Units
from asr.training.train import train
from asr.transcript import Transcript, Word, text_of
from asr.utterance import Utterance


@pytest.fixture(scope="module")
def data(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Divide the corpus of tones: 64 utterances with texts, 32 without."""
    folder = tmp_path_factory.mktemp("self-training")
    utterances = read_manifest(tones / "train.jsonl")
    write_manifest(folder / "train.jsonl", utterances[:64])
    write_manifest(folder / "more.jsonl", utterances[64:])
    write_manifest(folder / "validation.jsonl", read_manifest(tones / "validation.jsonl"))
    return folder


@pytest.fixture(scope="module")
def teacher(data: Path) -> Path:
    train(train_config(data, epochs=14), data / "given")
    return data / "given" / "model.safetensors"


@pytest.fixture(scope="module")
def model(teacher: Path) -> Recognizer:
    return load(teacher, "cpu")


def reasons(found: Pseudo) -> list[str]:
    return [line.extra["refused"] for line in found.refused]


def hidden(utterances: Sequence[Utterance]) -> list[Utterance]:
    return [replace(one, text=None) for one in utterances]


def test_sure_texts_are_taken_with_their_confidence(data: Path, model: Recognizer) -> None:
    more = read_manifest(data / "more.jsonl")
    found = pseudo_transcripts(model, hidden(more), used={})
    assert {line.id for line in found.taken + found.refused} == {one.id for one in more}
    expected = {one.id: model.transcribe(one.audio) for one in more}
    for line in found.taken:
        words = expected[line.id].words
        assert line.text == expected[line.id].text
        assert line.extra["weight"] == pytest.approx(np.mean([w.confidence for w in words]), abs=1e-3)
        assert line.extra["weight"] >= LEAST_CONFIDENCE and line.extra["agreement"] == 1  # no language model
    texts = {one.id: one.text or "" for one in more}
    right = score([texts[line.id] for line in found.taken], [line.text or "" for line in found.taken])
    assert len(found.taken) >= 20 and right.cer.percent < 10
    assert pseudo_transcripts(model, more, used={}).taken == found.taken  # texts of the manifest are not read


def test_audio_that_is_used_already_is_refused_whatever_its_name(data: Path, model: Recognizer, tmp_path: Path) -> None:
    validation = read_manifest(data / "validation.jsonl")
    copies = []
    for number, one in enumerate(validation[:3]):
        path = tmp_path / f"copy {number}.wav"
        shutil.copy(one.audio, path)
        copies.append(Utterance(path.name, path))
    found = pseudo_transcripts(model, copies, used={"validation": validation})
    assert set(reasons(found)) <= {"is validation data", "no speech found"} and not found.taken
    bounded = [replace(one, duration=1.0) for one in copies]
    found = pseudo_transcripts(model, bounded, used={"validation": validation, "training": copies})
    assert reasons(found) == ["is validation data"] * 3  # known before it is transcribed


def test_each_refusal_has_a_reason(model: Recognizer, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", generator.normal(0, 0.05, RATE), RATE)
    (tmp_path / "none.wav").write_bytes(b"no recording")
    recordings = [Utterance(name, tmp_path / name) for name in ("noise.wav", "none.wav")]
    found = pseudo_transcripts(model, recordings, used={})
    assert sorted(reasons(found)) == ["cannot be read", "no speech found"] and not found.taken
    assert any("1 refused" in line and "cannot be read" in line for line in found.report())


def test_texts_on_which_best_path_and_search_disagree_are_refused(
    data: Path, model: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = hidden(read_manifest(data / "more.jsonl")[:6])
    real = Recognizer.decode_segment

    def other(self: Recognizer, frames: np.ndarray, start: int = 0) -> object:
        _, words = real(self, frames, start)
        words = tuple(replace(word, text="zzzzz") for word in words)
        return " ".join(word.text for word in words), words

    monkeypatch.setattr(Recognizer, "decode_segment", other)
    found = pseudo_transcripts(model, more, used={})
    spoken = [reason for reason in reasons(found) if reason != "no speech found"]
    assert spoken and all(reason.startswith("best path and the search disagree: ") for reason in spoken)
    assert not found.taken


def test_long_recordings_are_divided_between_pauses(model: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 s of words, the first 50 s have no pause between their segments but a wide gap."""
    times = [*range(20), *range(22, 50), *range(55, 60)]
    words = tuple(Word(f"w{at}", at + 0.1, at + 0.9, 0.9 if at < 50 else 0.1) for at in times)
    whole = Transcript(text_of(words), 60.0, words, speech=((0.0, 50.0), (55.0, 60.0)))
    tape = Utterance("tape", Path("tape.wav"))

    def made(*_: object, **options: object) -> list[tuple[Utterance, Transcript]]:
        return [(tape, whole)]

    monkeypatch.setattr("asr.learning.pseudo.transcribe", made)
    monkeypatch.setattr("asr.learning.pseudo.LEAST_AGREEMENT", 0.0)  # best path is not made up here
    used = [replace(tape, id="used", offset=30.0, duration=5.0)]  # the rest of the tape is free
    found = pseudo_transcripts(model, [tape], used={"training": used})
    assert "is training data" in reasons(found) and len(found.taken) == 2
    found = pseudo_transcripts(model, [tape], used={})
    lines = [*found.taken, *found.refused]
    assert reasons(found) == ["low confidence"]
    assert " ".join(line.text or "" for line in lines) == whole.text
    assert [line.id for line in lines] == [f"tape-{number:04d}" for number in range(len(lines))] and len(lines) == 4
    assert all((line.duration or 99) <= 20 for line in lines)
    assert all(one.offset + (one.duration or 0) <= other.offset + 1e-3 for one, other in pairwise(lines))
    hours = sum(line.duration or 0 for line in found.taken) / 3600
    assert next(iter(found.report())) == f"pseudo transcripts: 3 taken ({hours:.2f} h)"


def test_a_student_learns_both_and_kills_do_no_harm(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, said = train_config(data, epochs=3), list[str]()
    more = read_manifest(data / "more.jsonl")
    settings = {"untranscribed": more, "teacher": [teacher], "say": said.append}
    cut = tmp_path / "cut"
    with interrupted(monkeypatch, after=2):
        self_train(config, cut, **settings)  # type: ignore[arg-type]
    assert not (cut / "model.safetensors").exists() and (cut / "pseudo.jsonl").exists()
    student = self_train(config, cut, **settings)  # type: ignore[arg-type]
    assert f"32 of {len(more)} recordings have a text in their manifest, which is not read" in said
    assert any("as before" in line for line in said)
    taken = read_manifest(cut / "pseudo.jsonl")
    first = Config.load(cut / "stage-1" / "config.yaml")
    assert first.data.weight_field == "weight" and first.data.train[1] == str(cut / "pseudo.jsonl")
    assert load(cut / "stage-1" / "model.safetensors").summary["training_utterances"] == 64 + len(taken)
    second = Config.load(cut / "stage-2" / "config.yaml")
    assert second.data.train == config.data.train and second.training.epochs == 1
    assert second.training.start_from == str(cut / "stage-1" / "model.safetensors")
    assert student.summary["training_utterances"] == 64 and student.summary["pseudo_utterances"] == len(taken)
    before = (cut / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="is the model of a finished run"):
        self_train(config, cut, **settings)  # type: ignore[arg-type]
    self_train(config, cut, overwrite=True, **settings)  # type: ignore[arg-type]
    assert (cut / "model.safetensors").read_bytes() == before


def test_without_a_teacher_one_is_trained_with_language_models(data: Path, tmp_path: Path) -> None:
    text = train_config(data, epochs=14).to_yaml()
    (tmp_path / "config.yaml").write_text(text)
    out = tmp_path / "run"
    found = run_asr("train", tmp_path, "--untranscribed", data / "more.jsonl", "--out", out)
    assert found.returncode == 0, found.stderr
    assert "teacher: a model of the real transcripts" in found.stderr and "stage 2: real transcripts" in found.stderr
    teacher = load(out / "teacher" / "model.tuned.safetensors")
    assert teacher.confidence is not None
    taken, refused = read_manifest(out / "pseudo.jsonl"), (out / "refused.jsonl").read_text().splitlines()
    assert len(taken) + len(refused) == 32
    assert load(out / "model.safetensors").summary["validation_cer"] < 30
    assert "next: asr transcribe" in found.stderr


def test_what_self_training_cannot_do(data: Path, tmp_path: Path) -> None:
    config = train_config(data)
    wrong = config.model_copy(update={"task": "classification"})
    with pytest.raises(ConfigError, match="--untranscribed: is for recognisers"):
        self_train(wrong, tmp_path, untranscribed=[], say=print)
    keyed = config.model_copy(update={"training": config.training.model_copy(update={"epoch_utterances": 8})})
    with pytest.raises(ConfigError, match="--untranscribed: is for data that is packed"):
        self_train(keyed, tmp_path, untranscribed=[], say=print)
    for settings, said in (
        ({"decoder": "joint"}, "do not go with model.decoder: joint; name one with CTC: --teacher MODEL"),
        ({"decoder": "transducer", "ctc_weight": 0.0}, "without CTC it cannot tell how sure it is; set model.ctc_w"),
    ):
        other = config.model_copy(update={"model": config.model.model_copy(update=settings)})
        with pytest.raises(ConfigError, match=said):
            self_train(other, tmp_path, untranscribed=[], say=print)
    (data / "config.yaml").write_text("data: {train: train.jsonl, validation: validation.jsonl}\n")
    for options, said in (
        (["--teacher", "x.safetensors"], "--teacher MODEL: goes with --untranscribed"),
        (["--untranscribed", data / "more.jsonl", "--folds", 2], "--untranscribed: leave --budget"),
        (["--untranscribed", "-"], "--untranscribed -: name a manifest"),
    ):
        found = run_asr("train", data, "--out", tmp_path / "run", *options)
        assert found.returncode == 1 and said in found.stderr, found.stderr


def test_validation_audio_among_the_recordings_stops_nothing_but_is_left_out(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    config, said = train_config(data, epochs=1), list[str]()
    with pytest.raises(TrainingError, match="no pseudo transcript could be used"):
        self_train(
            config,
            tmp_path / "run",
            untranscribed=hidden(read_manifest(data / "validation.jsonl")),
            teacher=[teacher],
            say=said.append,
        )
    assert any("16 refused" in line and "is validation data" in line for line in said)
    refused = read_manifest(tmp_path / "run" / "refused.jsonl")
    assert {line.extra["refused"] for line in refused} == {"is validation data"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes, and names that are not UTF-8")
def test_pipes_and_odd_names_are_refused_and_stop_nothing(data: Path, model: Recognizer, tmp_path: Path) -> None:
    pool = hidden(read_manifest(data / "more.jsonl"))
    pipe, odd = tmp_path / "pipe.wav", Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xff.wav"))
    os.mkfifo(pipe)
    shutil.copy(pool[0].audio, odd)
    asked = [Utterance("pipe", pipe, duration=1.0), Utterance("odd", odd), pool[1]]
    found = pseudo_transcripts(model, asked, used={"test": [Utterance("other", pipe)]})
    assert [line.id for line in found.taken] == [pool[1].id]
    (odd_name,) = [line for line in found.refused if line.id == "odd"]
    assert "name that is not UTF-8" in str(odd_name.extra["refused"]) and odd_name.audio.name == "t\\xff.wav"
    assert {line.id for line in found.refused} == {"pipe", "odd"}
    write_pseudo(found, tmp_path)
    assert len(read_manifest(tmp_path / "refused.jsonl")) == 2


@pytest.mark.parametrize("decoder", ["transducer", "joint"])
def test_teachers_with_other_decoders(decoder: str, data: Path) -> None:
    """The best path is that of CTC, whatever the frames of a model are."""
    config = train_config(data)
    settings = config.model.model_copy(update={"decoder": decoder})
    teacher = Recognizer(config.model_copy(update={"model": settings}), Units("abc"))
    teacher.features.fit([pad(random_waveforms(9, 4))])
    (line,) = hidden(read_manifest(data / "more.jsonl"))[:1]
    found = pseudo_transcripts(teacher, [line], used={})
    assert len(found.taken) + len(found.refused) == 1
    without = settings.model_copy(update={"decoder": "attention"})
    attention = Recognizer(config.model_copy(update={"model": without}), Units("abc"))
    with pytest.raises(ConfigError, match="has no CTC output"):
        pseudo_transcripts(attention, [line], used={})
