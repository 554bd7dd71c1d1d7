"""Several recognisers as one: the average of their log-probabilities, by the library and by the command line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, fresh_recognizer
from oracles import random_waveforms, randomise
from processes import run_asr

import asr
from asr.audio import load_audio
from asr.cli.inputs import divide_models
from asr.corpus.manifest import read_manifest
from asr.decoding.confidence import Calibration
from asr.errors import ConfigError, ModelFileError
from asr.exporting.onnx import to_onnx
from asr.recognition.ensemble import Ensemble, average, in_step
from asr.recognition.recognizer import Recognizer
from asr.recognition.trained_lengths import TrainedLengths
from asr.recognition.transcriber import Transcriber
from asr.tuning.tune import tune

WAVES = random_waveforms(5, 6)


def member(seed: int, units: str = "abcé ") -> Recognizer:
    recognizer = fresh_recognizer(units)
    randomise(recognizer.acoustic_model, seed)
    return recognizer


@pytest.fixture(scope="module")
def members() -> list[Recognizer]:
    return [member(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, members: list[Recognizer]) -> Path:
    """Write models a, b and c, model b as an exported file and as a run, and two recordings."""
    folder = tmp_path_factory.mktemp("ensemble")
    for name, one in zip("abc", members, strict=True):
        one.save(folder / f"{name}.safetensors")
    (folder / "b.onnx").write_bytes(to_onnx(members[1]))
    (folder / "run").mkdir()
    members[1].save(folder / "run" / "model.safetensors")
    (folder / "tapes").mkdir()
    for number, wave in enumerate(WAVES[:2]):
        soundfile.write(folder / "tapes" / f"{number}.wav", wave, RATE, subtype="PCM_16")
    return folder


def rows_of(model: Transcriber) -> list[np.ndarray]:
    found = [np.empty(0)] * len(WAVES)
    for indices, rows in model.frame_rows([len(wave) for wave in WAVES], WAVES.__getitem__):
        for index, row in zip(indices, rows, strict=True):
            found[index] = row
    return found


def normalised_mean(rows: list[np.ndarray]) -> np.ndarray:
    mean = np.mean(in_step(rows), axis=0)
    return np.asarray(mean - np.log(np.exp(mean).sum(axis=1, keepdims=True)))


def test_frames_are_the_normalised_mean_of_log_probabilities(members: list[Recognizer]) -> None:
    alone = [rows_of(one) for one in members]
    for number, row in enumerate(rows_of(Ensemble(members))):
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, normalised_mean([rows[number] for rows in alone]), atol=1e-5)
        np.testing.assert_allclose(np.exp(row).sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(rows_of(Ensemble(members))[0], alone[0][0], atol=0.01)


def test_one_model_is_itself_byte_for_byte(members: list[Recognizer]) -> None:
    for mine, alone in zip(rows_of(Ensemble(members[:1])), rows_of(members[0]), strict=True):
        assert mine.tobytes() == alone.tobytes()
    assert Ensemble(members[:1]).recognize(WAVES) == members[0].recognize(WAVES)


def test_the_order_of_models_changes_nothing(members: list[Recognizer]) -> None:
    one, other = Ensemble(members), Ensemble(members[::-1])
    for mine, theirs in zip(rows_of(one), rows_of(other), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    words = [[model.transcribe(wave, RATE).words for wave in WAVES] for model in (one, other)]
    assert words[0] == words[1] and any(words[0])


def test_an_average_of_extreme_values_stays_finite() -> None:
    sure = np.array([[0.0, -200.0], [-200.0, 0.0]], np.float32)
    found = average([sure, sure, sure[::-1]])
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-6)


def test_exported_models_are_averaged_with_others(members: list[Recognizer], files: Path) -> None:
    mixed = asr.load([files / "a.safetensors", files / "b.onnx"], "cpu")
    assert isinstance(mixed, Ensemble)
    for mine, expected in zip(rows_of(mixed), rows_of(Ensemble(members[:2])), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-3)
    assert isinstance(asr.load([files / "a.safetensors"], "cpu"), Recognizer)
    texts = [
        asr.transcribe(names, WAVES[0], RATE).text for names in ([files / "a.safetensors"], files / "a.safetensors")
    ]
    assert texts[0] == texts[1]


def test_decoder_and_confidence_are_those_of_the_first(members: list[Recognizer]) -> None:
    tuned = member(0)
    tuned.confidence = Calibration(slope=0.5, intercept=-1.0, words=9, right=5, error=0.1, error_before=0.2)
    sure = Ensemble([tuned, *members[1:]]).transcribe(WAVES[0], RATE)
    raw = Ensemble([members[0], *members[1:]]).transcribe(WAVES[0], RATE)
    assert sure.text == raw.text
    assert [w.confidence for w in sure.words] == [tuned.confidence(w.confidence) for w in raw.words]


def test_tuning_together_is_for_the_ensemble(tones: Path, tmp_path: Path) -> None:
    several = [member(seed, "abc") for seed in range(3)]
    waves = [load_audio(one.audio, RATE) for one in read_manifest(tones / "validation.jsonl")]
    words = [word for wave in waves for word in Ensemble(several).transcribe(wave, RATE).words]
    alone = [word for wave in waves for word in several[0].transcribe(wave, RATE).words]
    assert [word.text for word in words] != [word.text for word in alone]
    for seed, one in zip("abc", several, strict=True):
        one.save(tmp_path / f"{seed}.safetensors")
    names = [str(tmp_path / f"{seed}.safetensors") for seed in "abc"]
    tune(several[0], tones / "validation.jsonl", beside=several[1:])
    assert several[0].confidence is not None and several[0].confidence.words == len(words)
    assert several[1].confidence is None
    settings = several[1].config.model.model_copy(update={"decoder": "joint"})
    other = Recognizer(several[1].config.model_copy(update={"model": settings}), several[1].units)
    with pytest.raises(ConfigError, match="runs/joint: cannot be averaged, since it does not decode with CTC alone"):
        tune(several[0], tones / "validation.jsonl", beside=[other], names=["runs/a", "runs/joint"])
    found = run_asr("tune", names[0], tones / "validation.jsonl", "--with", names[1], "--with", names[2])
    assert found.returncode == 0, found.stderr
    tuned = tmp_path / "a.tuned.safetensors"
    assert asr.load(tuned, "cpu").confidence == several[0].confidence
    assert f"next: asr transcribe {tuned} {names[1]} {names[2]} " in found.stderr


def test_pieces_of_long_recordings_suit_all_models(members: list[Recognizer]) -> None:
    short, long = TrainedLengths(longest=4, pause=0.3), TrainedLengths(longest=20, pause=0.7)
    several = [member(seed) for seed in range(3)]
    several[0].trained_lengths, several[1].trained_lengths = long, short
    for order in (several, several[::-1]):
        assert Ensemble(order).trained_lengths == TrainedLengths(longest=4, pause=0.7)
    assert Ensemble(members).trained_lengths is None
    tape = np.concatenate([np.concatenate([wave, np.zeros(RATE, np.float32)]) for wave in WAVES] * 4)
    assert Ensemble(several).transcribe(tape, RATE).text


def spikes(*places: tuple[int, int], frames: int = 12) -> np.ndarray:
    """Return log-probabilities `(S, 4)` of a unit at each of some frames, and the blank elsewhere."""
    rows = np.full((frames, 4), 0.02, np.float32)
    rows[:, 0] = 0.94
    for frame, unit in places:
        rows[frame] = np.where(np.arange(4) == unit, 0.91, 0.03)
    return np.log(rows)


def test_models_that_emit_units_a_frame_apart_are_brought_into_step() -> None:
    early = spikes((2, 1), (5, 2), (8, 3))
    late = spikes((3, 1), (6, 2), (9, 3))
    for rows in ([early, late], [late, early]):
        assert average(rows).argmax(axis=1).tolist() == late.argmax(axis=1).tolist()
    np.testing.assert_allclose(np.exp(average([early, late])[3, 1]), 0.91, atol=1e-5)
    many = [average([early, late, early]), average([late, early, early]), average([early, early, late])]
    for rows in many:
        np.testing.assert_array_equal(rows, many[0])
        assert rows.argmax(axis=1).tolist() == early.argmax(axis=1).tolist()  # the frames of most models


def test_shifts_are_those_with_the_most_agreement() -> None:
    generator = np.random.default_rng(0)
    one, other = (np.log(generator.dirichlet([0.2] * 5, 9)).clip(-30).astype(np.float32) for _ in "ab")

    def agreement(shift: int) -> float:
        pairs = ((t, t - shift) for t in range(9) if 0 <= t - shift < 9)
        return float(sum((np.exp(one[a, 1:]) * np.exp(other[b, 1:])).sum() for a, b in pairs))

    best = max(range(-2, 3), key=agreement)
    moved = in_step([one, other])
    if best > 0:  # `other` moves later to meet `one`, which is the later one and stays
        expected = [one, np.concatenate([np.repeat(other[:1], best, 0), other[:-best]])]
    else:
        expected = [np.concatenate([np.repeat(one[:1], -best, 0), one[: 9 + best]]), other]
    for mine, theirs in zip(moved, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_utterances_of_few_frames(frames: int) -> None:
    rows = [spikes(frames=frames)] * 3
    np.testing.assert_allclose(average(rows), rows[0], atol=1e-6)


def test_several_models_cannot_stream(members: list[Recognizer]) -> None:
    with pytest.raises(ConfigError, match=r"cannot stream.*asr distil"):
        Ensemble(members).stream()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"subsampling": 2}}, "samples per encoder frame, 320 and 160"),
        ({"features": {"sample_rate": 16000, "hop_ms": 5}}, "sample rate in Hz, 8000 and 16000"),
        ({"text": {"lower": True}}, "text rules"),
        ({"features": {"equalize": True}}, "features.equalize, False and True"),
    ],
)
def test_models_that_differ_are_refused(change: dict[str, dict[str, object]], said: str) -> None:
    first = member(0)
    tree = first.config.model_dump()
    for section, settings in change.items():
        tree[section] |= settings
    other = Recognizer(type(first.config).model_validate(tree), first.units)
    with pytest.raises(ConfigError, match=said) as error:
        Ensemble([first, other], ["a", "b"])
    assert "a and b: cannot be averaged" in str(error.value) and "asr rover" in str(error.value)


def test_other_units_are_named() -> None:
    with pytest.raises(ConfigError, match="the second one lacks 'é' and the first one lacks 'd'"):
        Ensemble([member(0), member(1, "abcd ")])
    with pytest.raises(ConfigError, match="at least one model"):
        Ensemble([])
    with pytest.raises(ConfigError, match="b: is named twice; name each model once"):
        Ensemble([member(0), member(1), member(1)], ["a", "b", "b"])


def test_attention_is_refused() -> None:
    first = member(0)
    tree = first.config.model_dump()
    tree["model"]["decoder"] = "joint"
    joint = Recognizer(type(first.config).model_validate(tree), first.units)
    with pytest.raises(ConfigError, match="b: cannot be averaged, since it does not decode with CTC alone"):
        Ensemble([first, joint], ["a", "b"])


def test_the_command_line_takes_leading_models(files: Path, members: list[Recognizer]) -> None:
    names = [files / "a.safetensors", files / "run", files / "c.safetensors"]
    found = run_asr("transcribe", *names, files / "tapes", "--device", "cpu")
    assert found.returncode == 0, found.stderr
    expected = [Ensemble(members).transcribe(files / "tapes" / f"{n}.wav").text for n in (0, 1)]
    assert [line.split("\t")[1] for line in found.stdout.splitlines()] == expected
    assert f"3 models as one: {names[0]}, {files / 'run' / 'model.safetensors'}, {names[2]}" in found.stderr
    assert f"next: asr transcribe {names[0]} {names[1]} {names[2]} {files / 'tapes'} -f txt" in found.stderr
    one = run_asr("transcribe", names[0], files / "tapes" / "0.wav", "--device", "cpu")
    assert one.stdout.strip() == members[0].transcribe(files / "tapes" / "0.wav").text and "as one" not in one.stderr


def test_models_without_a_recording_are_a_wrong_call(files: Path) -> None:
    found = run_asr("transcribe", files / "a.safetensors", files / "c.safetensors")
    assert found.returncode == 2 and "name recordings" in found.stderr
    shards = run_asr(
        "transcribe", files / "a.safetensors", files / "run", files / "tapes", "-o", files / "o", "--shard", "1/1"
    )
    assert shards.returncode == 1 and "--shard 1/1: takes one model, found 2" in shards.stderr


def test_what_is_a_model_and_what_a_recording(files: Path, tmp_path: Path) -> None:
    run, tapes = str(files / "run"), str(files / "tapes")
    assert divide_models([run, tapes]) == ([files / "run" / "model.safetensors"], [tapes])
    assert divide_models([run]) == ([], [run])  # the last argument is what to transcribe
    assert divide_models(["x.wav", "m.onnx"]) == ([], ["x.wav", "m.onnx"])
    with pytest.raises(ModelFileError, match="no such model file"):
        asr.load([files / "a.safetensors", files / "none.safetensors"])
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert divide_models([str(tmp_path), tapes])[0]
    (tmp_path / "tape.WAV").write_bytes(b"")
    assert divide_models([str(tmp_path), tapes]) == ([], [str(tmp_path), tapes])  # recordings beside a model
