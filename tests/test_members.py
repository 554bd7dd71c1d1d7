"""Transcription of the members of shards: the transcripts of the same recordings as files."""

from dataclasses import replace
from pathlib import Path

import pytest
from bulk_input import FAILED, LINES, write_input
from conftest import fresh_recognizer
from processes import run_asr

from asr.corpus.manifest import read_manifest
from asr.errors import AudioError
from asr.recognition.transcribe import transcribe
from asr.transcript import Transcript


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write recordings, and the same recordings in shards, without those that cannot be read."""
    folder = tmp_path_factory.mktemp("members")
    write_input(folder)
    result = run_asr("pack", folder / "input.jsonl", "-o", folder / "shards", "--shards", "1M", "--sample-rate", 8000)
    assert (folder / "shards" / "manifest.jsonl").is_file(), result.stderr
    return folder


@pytest.mark.parametrize("equalizes", [False, True])
def test_members_and_files_have_equal_transcripts(
    folder: Path, equalizes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = fresh_recognizer()
    monkeypatch.setattr(type(recognizer), "equalizes", equalizes)
    files = [one for line, one in enumerate(read_manifest(folder / "input.jsonl")) if line not in FAILED]
    members = read_manifest(folder / "shards" / "manifest.jsonl")
    assert [one.id for one in members] == [one.id for one in files] and len(members) == LINES - len(FAILED)
    found, expected = (
        [(one.id, result.text, result.words) for one, result in transcribe(recognizer, lines)]  # type: ignore[union-attr]
        for lines in (members, files)
    )
    assert found == expected and any(text for _, text, _ in found)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"tar_offset": -1, "tar_bytes": 10}, "are no place in a file"),
        ({"tar_offset": 0, "tar_bytes": "10"}, "are no place in a file"),
        ({"tar_offset": 0, "tar_bytes": 1 << 40}, "are no place in a file"),
        ({"tar_offset": 1 << 40, "tar_bytes": 10}, "the file is truncated"),
        ({"tar_offset": 0, "tar_bytes": 512}, "is a tar archive"),
    ],
)
def test_a_place_without_a_recording_is_named(folder: Path, place: dict[str, object], message: str) -> None:
    first, second = read_manifest(folder / "shards" / "manifest.jsonl")[:2]
    faulty = replace(first, extra={**first.extra, **place})
    (_, error), (_, transcript) = transcribe(fresh_recognizer(), [faulty, second])
    assert isinstance(error, AudioError) and message in str(error) and first.id in str(error)
    assert isinstance(transcript, Transcript)
