"""Each command ends with the next one: who types what is printed comes from recordings to a score, and back."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer, spell
from layouts import write
from typer.testing import CliRunner

from asr.cli import app
from asr.corpus.manifest import read_manifest

FEW_STEPS = ["training.epochs=6", "training.learning_rate=1e-2", "model.hidden=32", "model.channels=4"]


def follow(*arguments: str) -> tuple[list[str], str]:
    """Run a command of `asr`, and return the arguments of the command to type next, and all that it said."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, (arguments, done.exception, done.stderr)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("next: ") and "\n" not in last, done.stderr
    return shlex.split(last.partition("asr ")[2]), done.output


@pytest.fixture
def place(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `my words` of recordings with text files, in the current folder."""
    monkeypatch.chdir(tmp_path)
    utterances = [u for name in ("train", "validation") for u in read_manifest(tones / f"{name}.jsonl")]
    (tmp_path / "my words").mkdir()
    for utterance in utterances:
        (tmp_path / "my words" / f"{utterance.id}.wav").symlink_to(utterance.audio)
        write(tmp_path / "my words" / f"{utterance.id}.txt", f"{(utterance.text or '').capitalize()}.")
    return tmp_path


def test_what_is_printed_leads_from_recordings_to_a_tuned_model(place: Path) -> None:
    step, said = follow("prepare", "my words", "-o", "data/my words")
    assert step == ["train", "data/my words"] and "8000 Hz" in said
    step, said = follow(*step, "--seed", "1", *(word for setting in FEW_STEPS for word in ("--set", setting)))
    assert "punctuation stripped except ' inside words, lower case; units: 3 characters" in said
    assert step == ["transcribe", "runs/my words", "data/my words/test.jsonl", "-o", "runs/my words/test.hyp.jsonl"]
    step, _ = follow(*step)
    assert step[0] == "score" and step[-2:] == ["--config", "runs/my words"]
    step, said = follow(*step)
    assert "lower case" in said and step[:2] == ["tune", "runs/my words"]
    step, _ = follow(*step)
    assert step[1] == "runs/my words/model.tuned.safetensors"
    step, _ = follow(*step)
    assert step[:3] == ["score", "data/my words/test.jsonl", "runs/my words/tuned.test.hyp.jsonl"]
    step, _ = follow(*step)
    assert step[-3:] == ["--config", "runs/my words/config.yaml", "--errors"]
    assert CliRunner().invoke(app, step).stderr == ""  # the end of the path


def test_commands_that_lead_to_training(place: Path) -> None:
    follow("prepare", "my words", "-o", "data/mine")
    assert follow("check", "data/mine")[0] == follow("check", "data/mine/train.jsonl")[0] == ["train", "data/mine"]
    assert follow("selftest", "data/mine/train.jsonl")[0] == ["train", "data/mine"]
    Path("data/mine/config.yaml").unlink()
    assert follow("selftest", "data/mine/train.jsonl")[0] == ["check", "data/mine/train.jsonl"]
    assert follow("check", "data/mine/train.jsonl")[0] == ["selftest", "data/mine/train.jsonl"]
    again = follow("prepare", "my words", "-o", "data/all", "--split", "1", "--drop", "a.", "--text-suffix", ".txt")[0]
    wanted = ["--by", "id", "--drop", "a.", "--text-suffix", ".txt", "--split", "0.9,0.1"]
    assert again == ["prepare", "my words", "-o", "data/all", *wanted]
    assert follow(*again)[0] == ["train", "data/all"]


def test_transcripts_lead_to_files_and_corrected_files_to_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fresh_recognizer("abc ").save(Path("model.safetensors"))
    Path("talks").mkdir()
    soundfile.write("talks/one.wav", spell("abc", np.random.default_rng(0)), 8000)
    assert follow("transcribe", "model.safetensors", "talks")[0][-4:] == ["-f", "txt", "-o", "transcripts"]
    step, said = follow("transcribe", "model.safetensors", "talks", "-f", "eaf", "-o", "out it")
    assert "next: correct the files, then asr prepare 'out it'" in said
    assert step == ["prepare", "out it", "-o", "data/corrected", "--tier", "asr"]
    Path("talks/one.eaf").write_bytes(Path("out it/one.eaf").read_bytes())
    assert follow("transcribe", "model.safetensors", "talks/one.wav")[0][-3] == "eaf"
    done = CliRunner().invoke(app, ["transcribe", "model.safetensors", "talks", "-f", "srt", "-o", "out"])
    assert done.stderr.splitlines()[-1] == "written: out/one.srt"  # subtitles are the end
