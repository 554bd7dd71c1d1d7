"""`asr report robustness`: clean speech scores as by `asr score`, equal sound for all models, faults, next command."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, REPOSITORY, train_config
from processes import run_asr

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, ConfigError
from asr.recognition.recognizer import Recognizer, load
from asr.report.robustness import CONDITIONS, Conditions, robustness
from asr.training.train import train

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on clean tones, which spell their text."""
    folder = tmp_path_factory.mktemp("run")
    train(train_config(tones), folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Recognizer:
    return load(run / "model.safetensors")


def conditions(*names: str, **folders: Path) -> Conditions:
    return Conditions(names, RATE, noise=folders.get("noise"), rooms=folders.get("rooms"))


def sound(count: int = 4000) -> np.ndarray:
    return (0.1 * np.random.default_rng(5).standard_normal(count)).astype(np.float32)


def test_clean_speech_scores_as_the_commands_do(run: Path, tones: Path, tmp_path: Path) -> None:
    """Also where it was written to files, as changed speech is: `clean+clean`."""
    test = tones / "validation.jsonl"
    out = tmp_path / "out"
    done = run_asr("report", "robustness", run, test, "--conditions", "clean,clean+clean,noise--20", "-o", out)
    assert done.returncode == 0, done.stderr
    title, head, clean, written, noisy = done.stdout.splitlines()
    assert title.startswith("16 utterances, 16 words, ") and "intervals over 16 utterances" in title
    assert head.split() == [
        "condition",
        "%WER",
        "95",
        "%",
        "interval",
        "errors",
        "%CER",
        "95",
        "%",
        "interval",
        "errors",
    ]
    assert clean.split()[1:] == written.split()[1:]
    assert float(noisy.split()[1]) > 50 > float(clean.split()[1])
    assert "noise: pink noise" in done.stderr and "room:" not in done.stderr
    run_asr("transcribe", run, test, "-o", tmp_path / "hyp.jsonl")
    scored = run_asr("score", test, tmp_path / "hyp.jsonl").stdout
    rate = scored.splitlines()[-1].split()
    assert rate[0] == "%WER" and clean.split()[1] == rate[1]
    expected = [u.extra["hypothesis"] for u in read_manifest(tmp_path / "hyp.jsonl")]
    for name in ("clean", "clean+clean"):
        assert [u.extra["hypothesis"] for u in read_manifest(out / f"{name}.jsonl")] == expected
    assert run_asr("score", test, out / "clean.jsonl").stdout == scored


def test_the_next_command_trains_on_what_was_worse(run: Path, tones: Path) -> None:
    done = run_asr(
        "report", "robustness", run, tones / "validation.jsonl", "--conditions", "clean,noise--20,gsm+noise--9"
    )
    words = shlex.split(done.stderr.splitlines()[-1])
    assert words[:3] == ["next:", "asr", "train"] and words[3] == str(run / "config.yaml")
    assert "augment.noise_snr_db=[5,25]" in words and "augment.channels=[gsm]" in words
    assert words[-2:] == ["--out", f"{run}-robust"]
    quiet = run_asr("report", "robustness", run, tones / "validation.jsonl", "--conditions", "clean")
    assert "next:" not in quiet.stderr


def test_lines_with_offset_and_duration(model: Recognizer, tones: Path, tmp_path: Path) -> None:
    """A long recording with all utterances scores as the utterances alone."""
    utterances = read_manifest(tones / "validation.jsonl")
    parts = [soundfile.read(one.audio, dtype="float32")[0] for one in utterances]
    ends = np.cumsum([len(part) for part in parts])
    soundfile.write(tmp_path / "all.wav", np.concatenate(parts), RATE, subtype="PCM_16")
    lines = [
        replace(one, audio=tmp_path / "all.wav", offset=(end - len(part)) / RATE, duration=len(part) / RATE)
        for one, part, end in zip(utterances, parts, ends.tolist(), strict=True)
    ]
    write_manifest(tmp_path / "lines.jsonl", lines)
    chosen = conditions("clean", "telephone", "noise-10")
    apart = robustness(model, tones / "validation.jsonl", chosen)
    together = robustness(model, tmp_path / "lines.jsonl", chosen)
    assert [one.wer for one in together.scores.values()] == [one.wer for one in apart.scores.values()]


@pytest.mark.parametrize("name", [*CONDITIONS, "room+noise-15+telephone"])
def test_a_condition_is_a_function_of_its_name_and_the_id(name: str) -> None:
    samples = sound()
    first = conditions(name).apply(name, samples, "anna-1")
    assert first.shape == samples.shape and first.dtype == np.float32 and np.abs(first).max() <= 1
    again = conditions("gsm", name, "room").apply(name, samples, "anna-1")
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, samples) == (name == "clean")
    if name.startswith(("noise", "room")):
        assert not np.array_equal(first, conditions(name).apply(name, samples, "anna-2"))


def test_all_ratios_have_equal_noise(tmp_path: Path) -> None:
    samples = sound()
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(1).uniform(-0.3, 0.3, 9000), RATE)
    for chosen in (conditions("noise-5"), conditions("noise-5", noise=tmp_path)):
        loud, faint = (chosen.apply(f"noise-{ratio}", samples, "x") - samples for ratio in (5, 20))
        np.testing.assert_allclose(loud / np.abs(loud).max(), faint / np.abs(faint).max(), atol=1e-3)
        for added, ratio in ((loud, 5), (faint, 20)):
            assert 10 * np.log10(np.square(samples).sum() / np.square(added).sum()) == pytest.approx(ratio, abs=0.1)


@pytest.mark.parametrize("name", ["radio", "noise-", "noise-loud", "noise-nan", "noise-1000", "", "room+radio"])
def test_names_of_conditions(name: str) -> None:
    with pytest.raises(AsrError, match=r"is no condition; give some of clean, noise-20, .*room\+noise-15\+telephone"):
        conditions("clean", name)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--noise: {tmp_path}: is empty"):
        conditions("clean", noise=tmp_path)
    with pytest.raises(ConfigError, match=f"--rooms: {tmp_path}: is empty"):
        conditions("clean", rooms=tmp_path)


def test_a_folder_that_no_condition_uses_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(1).uniform(-0.3, 0.3, 9000), RATE)
    with pytest.raises(AsrError, match=r"--noise .*: no condition uses it; add noise-10 to --conditions, or leave it"):
        conditions("clean", "room+gsm", noise=tmp_path)
    conditions("room+noise-5", noise=tmp_path)
    (tmp_path / "noise.wav").unlink()
    soundfile.write(tmp_path / "clap.wav", np.exp(-np.arange(4000) / 200), RATE)
    with pytest.raises(AsrError, match=r"--rooms .*: no condition uses it; add room to --conditions"):
        conditions("noise-5", rooms=tmp_path)
    conditions("noise-5+room", rooms=tmp_path)


def test_recordings_that_cannot_be_read_are_named_and_left_out_of_all_conditions(
    run: Path, tones: Path, tmp_path: Path
) -> None:
    utterances = read_manifest(tones / "validation.jsonl")
    write_manifest(tmp_path / "t.jsonl", [replace(utterances[3], audio=tmp_path / "gone.wav"), *utterances[4:10]])
    done = run_asr("report", "robustness", run, tmp_path / "t.jsonl", "--conditions", "gsm,clean")
    assert done.returncode == 1 and done.stdout.startswith("6 utterances, 6 words")
    first, second = done.stderr.splitlines()[-2:]
    assert first == "asr: 1 recording is left out:" and "gone.wav: no such file" in second
    write_manifest(tmp_path / "t.jsonl", [replace(utterances[3], audio=tmp_path / "gone.wav")])
    done = run_asr("report", "robustness", run, tmp_path / "t.jsonl", "--conditions", "gsm,clean")
    assert done.returncode == 1 and "t.jsonl: none of its 1 recordings can be used: " in done.stderr


def test_a_manifest_without_texts_and_fewer_utterances(model: Recognizer, tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "validation.jsonl")
    result = robustness(model, tones / "validation.jsonl", conditions("clean"), most=5)
    assert result.scores["clean"].utterances == 5
    write_manifest(tmp_path / "t.jsonl", [replace(utterances[0], text=None)])
    with pytest.raises(AsrError, match=r"t\.jsonl:1: .*has no text"):
        robustness(model, tmp_path / "t.jsonl", conditions("clean"))


def test_an_exported_model_is_tested_without_torch(tmp_path: Path) -> None:
    samples = 0.3 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    (tmp_path / "t.jsonl").write_text('{"audio_filepath": "a.wav", "text": "a"}\n')
    arguments = ["report", "robustness", str(SAMPLES / "recogniser-0.1.onnx"), str(tmp_path / "t.jsonl")]
    program = (
        "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); "
        "from asr.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--conditions", "clean,room,opus"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "False", done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["clean", "room", "opus"]
