"""The shipped recipes: every configuration trains, preparing keeps its promises, and real speech is learned."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import soundfile
from conftest import REPOSITORY, run_asr

from asr.config import Config
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.training.loop import train


def prepare(recipe: str, out: Path, *arguments: object) -> None:
    script = REPOSITORY / "recipes" / recipe / "prepare.py"
    command = [sys.executable, str(script), "-o", str(out), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ASR_CORPORA": ""}, check=False)
    assert done.returncode == 0, done.stderr


def module(recipe: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(recipe, REPOSITORY / "recipes" / recipe / "prepare.py")
    assert specification is not None and specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundredth of the demo corpus."""
    folder = tmp_path_factory.mktemp("demo")
    prepare("demo", folder, "--scale", 0.01)
    return folder


def test_demo_corpus(digits: Path) -> None:
    sizes = {"train": 24, "validation": 2, "test": 3}
    for name, size in sizes.items():
        utterances = read_manifest(digits / f"{name}.jsonl", require_text=True)
        assert len(utterances) == size
        for utterance in utterances:
            assert 3 <= len((utterance.text or "").split()) <= 7
            assert soundfile.info(utterance.audio).duration == utterance.duration
    # The same corpus each time.
    again = digits / "again"
    prepare("demo", again, "--scale", 0.01)
    for path in sorted((digits / "train").glob("*.wav")):
        assert path.read_bytes() == (again / "train" / path.name).read_bytes()


def test_demo_voices_speak_on_one_side_only() -> None:
    demo = module("demo")
    sides = [{voice for family in voices for voice in family} for voices, _ in demo.SPLITS.values()]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


@pytest.mark.parametrize("recipe", sorted(path.parent.name for path in REPOSITORY.glob("recipes/*/config.yaml")))
def test_every_configuration_trains_a_few_steps(recipe: str, digits: Path, tmp_path: Path) -> None:
    manifest = str(digits / "train.jsonl")
    config = Config.load(
        REPOSITORY / "recipes" / recipe / "config.yaml",
        [f"data.train={manifest}", f"data.validation={manifest}", "training.epochs=1", "training.batch_utterances=8"],
    )
    train(config, tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_fsdd_splits(corpora: Path, tmp_path: Path) -> None:
    prepare("fsdd", tmp_path, "--source", corpora / "fsdd")
    splits = {name: read_manifest(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test", "speakers")}
    ids = {name: {utterance.id for utterance in utterances} for name, utterances in splits.items()}
    assert len(ids["test"]) == 300 and {u.extra["index"] for u in splits["test"]} == {0, 1, 2, 3, 4}
    assert ids["train"] | ids["validation"] | ids["test"] == ids["speakers"] and len(ids["speakers"]) == 3000
    assert sum(len(ids[name]) for name in ("train", "validation", "test")) == 3000
    unseen = read_manifest(tmp_path / "theo.jsonl")
    for part in ("train", "validation"):
        assert "theo" not in {u.speaker for u in read_manifest(tmp_path / f"without-theo.{part}.jsonl")}
    assert {u.speaker for u in unseen} == {"theo"} and len(unseen) == 500


def test_yesno_split_and_parts(corpora: Path, tmp_path: Path) -> None:
    prepare("yesno", tmp_path, "--source", corpora / "yesno")
    names = sorted(path.stem for path in (corpora / "yesno" / "waves_yesno").glob("*.wav"))
    sets = {name: read_manifest(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test")}
    assert [utterance.id for utterance in sets["test"]] == names[30:]
    recordings = {name: {utterance.audio.stem for utterance in rows} for name, rows in sets.items()}
    assert recordings["train"] | recordings["validation"] == set(names[:30])
    assert not recordings["train"] & recordings["validation"]
    for utterance in sets["train"] + sets["validation"]:
        if utterance.offset:
            skipped = int(utterance.id.split("@")[1])
            assert len((utterance.text or "").split()) == 8 - skipped
            assert 0.4 * skipped < utterance.offset < 0.9 * skipped + 1.6


def test_missing_recordings_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "waves_yesno").mkdir()
    script = REPOSITORY / "recipes" / "yesno" / "prepare.py"
    command = [sys.executable, str(script), "-o", str(tmp_path / "out"), "--source", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "0 recordings found, 60 expected" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_real_speech_is_learned_from_files_to_score(corpora: Path, tmp_path: Path) -> None:
    """YesNo through the command line: under 10 % word errors on the official test half."""
    prepare("yesno", tmp_path / "data" / "yesno", "--source", corpora / "yesno")
    config = REPOSITORY / "recipes" / "yesno" / "config.yaml"
    assert run_asr("train", config, cwd=tmp_path).returncode == 0
    test = "data/yesno/test.jsonl"
    assert run_asr("transcribe", "runs/yesno/model.safetensors", test, "-o", "hyp.jsonl", cwd=tmp_path).returncode == 0
    scored = run_asr("score", test, "hyp.jsonl", cwd=tmp_path)
    line = scored.stdout.splitlines()[-1]
    assert " / 240, " in line and float(line.split()[1]) < 10


@pytest.mark.slow
def test_training_and_validation_scores_agree_on_real_speech(corpora: Path, tmp_path: Path) -> None:
    """A few epochs of FSDD: the log's validation score is that of `asr transcribe` and `asr score`; it learns."""
    prepare("fsdd", tmp_path / "data" / "fsdd", "--source", corpora / "fsdd")
    config = REPOSITORY / "recipes" / "fsdd" / "config.yaml"
    trained = run_asr("train", config, "--set", "training.epochs=4", "--set", "training.warmup=0.3", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    validation = "data/fsdd/validation.jsonl"
    run_asr("transcribe", "runs/fsdd/model.safetensors", validation, "-o", "hyp.jsonl", cwd=tmp_path)
    lines = run_asr("score", validation, "hyp.jsonl", cwd=tmp_path).stdout.splitlines()
    log = [json.loads(line) for line in (tmp_path / "runs" / "fsdd" / "log.jsonl").read_text().splitlines()]
    best = min(log, key=lambda row: (row["cer"], -row["epoch"]))
    assert lines[0].startswith(f"%CER {best['cer']:.2f} [") and lines[1].startswith(f"%WER {best['wer']:.2f} [")
    assert best["cer"] < 50


def test_a_recording_listed_twice_in_training_and_validation_is_said(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = read_manifest(digits / "train.jsonl")
    write_manifest(tmp_path / "t.jsonl", rows[:8])
    write_manifest(tmp_path / "v.jsonl", [Utterance("x", rows[0].audio, rows[0].text)])
    config = Config.load(
        REPOSITORY / "recipes" / "demo" / "config.yaml",
        [f"data.train={tmp_path}/t.jsonl", f"data.validation={tmp_path}/v.jsonl", "training.epochs=1"],
    )
    train(config, tmp_path / "run")
    assert "1 duplicate audio" in capsys.readouterr().err
