"""The self-test: shuffled transcripts, recordings without speech, few utterances, slow machines, and its output."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE
from processes import run_asr

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import TrainingError
from asr.training import selftest as selftest_module
from asr.training.selftest import selftest


def test_selftest_tells_shuffled_transcripts_from_right_ones(tones: Path, tmp_path: Path) -> None:
    said: list[str] = []
    selftest(tones / "train.jsonl", said.append)
    assert len(said) == 2 and "rank correlation 1.00" in said[0] and "a model memorised 8 utterances" in said[1]
    utterances = read_manifest(tones / "train.jsonl")
    texts = np.random.default_rng(0).permutation([u.text for u in utterances])
    write_manifest(tmp_path / "train.jsonl", [replace(u, text=str(t)) for u, t in zip(utterances, texts, strict=True)])
    with pytest.raises(TrainingError, match=r"do not seem to belong to their recordings"):
        selftest(tmp_path / "train.jsonl", said.append)


def test_selftest_fails_where_nothing_can_be_learned(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")
    for utterance in utterances:  # silence of equal length
        soundfile.write(tmp_path / utterance.audio.name, np.zeros(soundfile.info(utterance.audio).frames), RATE)
    silent = [replace(u, audio=tmp_path / u.audio.name) for u in utterances]
    write_manifest(tmp_path / "train.jsonl", silent)
    with pytest.raises(TrainingError, match=r"none of its 80 utterances can be used"):
        selftest(tmp_path / "train.jsonl", print)


def test_how_many_utterances_it_needs_is_said(tones: Path, tmp_path: Path) -> None:
    utterances = read_manifest(tones / "train.jsonl")[:11]
    (tmp_path / "bad.wav").write_text("no recording")
    bad = [replace(utterances[0], id=str(number), audio=tmp_path / "bad.wav") for number in range(2)]
    write_manifest(tmp_path / "few.jsonl", [*bad, *utterances[:9]])
    said: list[str] = []
    with pytest.raises(TrainingError, match=r"needs at least 10 utterances with readable recordings, and has 9; add"):
        selftest(tmp_path / "few.jsonl", said.append)
    assert said == ["2 of 11 recordings cannot be read; `asr check` names them"]


def test_a_machine_that_is_too_slow_gives_no_result(tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest_module, "_SECONDS", 0.0)
    with pytest.raises(TrainingError, match=r"no result: in 0 s a model came to a CER of \d+"):
        selftest(tones / "train.jsonl", lambda line: None)


def test_the_command_prints_two_lines_and_the_next_one(tones: Path) -> None:
    done = run_asr("selftest", tones / "train.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2
    *progress, last = done.stderr.splitlines()
    assert all(line.startswith("memorising ") for line in progress)  # only on slow machines
    assert last.startswith("next: asr check '")
    assert not [path for path in tones.iterdir() if path.name.startswith("run")]
