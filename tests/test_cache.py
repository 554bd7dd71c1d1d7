"""Computed files of a corpus: where they lie, and that damaged results of the check are made anew."""

import logging
import os
from pathlib import Path

import pytest
from conftest import train_config
from processes import run_asr

from asr.corpus import cache
from asr.corpus.cache import beside_manifests, cached, use_cache
from asr.corpus.check_files import inspect_files
from asr.corpus.manifest import read_manifest, write_manifest


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASR_CACHE", raising=False)
    cache._for_read_only.cache_clear()


def test_beside_the_manifest_unless_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [tmp_path / name / "train.jsonl.checked" for name in ("a", "b")]
    assert [cached(path) for path in paths] == paths
    monkeypatch.setenv("ASR_CACHE", str(tmp_path / "cache"))
    elsewhere = [cached(path) for path in paths]
    assert len(set(elsewhere)) == 2
    for path in elsewhere:
        assert path.parent == tmp_path / "cache" and path.name.endswith("-train.jsonl.checked")
    with beside_manifests():
        assert [cached(path) for path in paths] == paths
    monkeypatch.chdir(tmp_path)
    use_cache(Path("other"))
    assert cached(paths[0]).parent == tmp_path / "other"


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The tests may run as root, who can write everywhere, so the answer of the system is replaced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of-user"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    caplog.set_level(logging.INFO)
    for name in ("train", "validation"):
        assert cached(tmp_path / f"{name}.arrow").parent == tmp_path / "of-user" / "own-asr"
    assert caplog.text.count(f"{tmp_path}: cannot be written; packed audio and results of the check go to ") == 1


def test_training_and_check_on_the_command_line(tones: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        write_manifest(tmp_path / f"{name}.jsonl", read_manifest(tones / f"{name}.jsonl"))
    (tmp_path / "c.yaml").write_text(train_config(tmp_path, epochs=1).to_yaml())
    checked = run_asr("check", tmp_path / "train.jsonl", "--cache", "store", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    trained = run_asr("train", "c.yaml", "--cache", "store", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert not list(tmp_path.glob("*.arrow*")) and not list(tmp_path.glob("*.checked"))
    kinds = sorted(path.name.partition("-")[2] for path in (tmp_path / "store").iterdir() if path.suffix != ".lock")
    assert kinds == ["train.8000.arrow", "train.jsonl.checked", "validation.8000.arrow", "validation.jsonl.checked"]


@pytest.mark.parametrize("place", [0.0, 0.001, 0.3, 0.9])
def test_results_with_one_altered_byte_are_made_anew(
    tones: Path, tmp_path: Path, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    manifest, utterances = tmp_path / "train.jsonl", read_manifest(tones / "train.jsonl")[:8]
    lines = [(manifest, utterance) for utterance in utterances]
    first = inspect_files(lines)
    path = tmp_path / "train.jsonl.checked"
    whole = path.read_bytes()
    content = bytearray(whole)
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    assert inspect_files(lines) == first
    assert "train.jsonl.checked: is damaged; the recordings are checked again" in caplog.text
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())
    path.write_bytes(b'{"format": 2}\n[1]\n')  # of an older version
    caplog.clear()
    assert inspect_files(lines) == first and not caplog.text
