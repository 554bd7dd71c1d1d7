"""Prompts of the page: a list to read, takes that are never lost, warnings in words, a corpus in the end."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import largest_file

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import prepare
from asr.errors import AsrError, AudioError, OutputError
from asr.serving.workspace.listing import listed
from asr.serving.workspace.paths import NotThereError, Workspace
from asr.serving.workspace.prompts import read_prompts, record, write_prompts

RATE = 16000  # Hz
NOW = "2026-01-02T03:04:05.678+00:00"


def wav(samples: np.ndarray, rate: int = RATE, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


def spoken(seconds: float = 2.0, level: float = 0.3, noise: float = 0.001, pause: float = 0.4) -> np.ndarray:
    """Return a sound that is loud between two pauses of `pause` seconds."""
    generator = np.random.default_rng(0)
    samples = level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE)) / RATE)
    quiet = round(pause * RATE)
    samples[:quiet] = 0.0
    samples[len(samples) - quiet :] = 0.0
    return samples + noise * generator.standard_normal(len(samples))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    write_prompts(found, "kia ora\n\n  tēnā   koe \r\nkia ora\nשלום עולם")
    return found


def texts(workspace: Workspace) -> dict[int, str]:
    return {prompt.number: prompt.text for prompt in read_prompts(workspace)}


def test_list_keeps_numbers_and_recorded_prompts(workspace: Workspace) -> None:
    assert texts(workspace) == {1: "kia ora", 2: "tēnā koe", 3: "שלום עולם"}
    record(workspace, 2, wav(spoken()), NOW)
    write_prompts(workspace, "new\nשלום עולם")
    assert texts(workspace) == {2: "tēnā koe", 4: "new", 3: "שלום עולם"}  # prompt 1 had no take
    write_prompts(workspace, "")
    assert texts(workspace) == {2: "tēnā koe"}
    assert [(one.recorded, one.duration) for one in read_prompts(workspace)] == [(True, 2.0)]
    (workspace.root / "prompts" / "0009.wav").write_bytes(wav(spoken()))  # of a list that was lost
    write_prompts(workspace, "another")
    assert texts(workspace) == {2: "tēnā koe", 10: "another"}


def test_take_is_kept_with_its_time_and_the_older_one_too(workspace: Workspace) -> None:
    first, second, third = (wav(spoken(seconds)) for seconds in (2.0, 2.5, 3.0))
    prompt, warnings = record(workspace, 1, first, NOW)
    assert (prompt.text, prompt.recorded, prompt.duration, warnings) == ("kia ora", True, 2.0, [])
    record(workspace, 3, second, NOW)
    record(workspace, 1, second, NOW)
    record(workspace, 1, third, NOW)
    folder = workspace.root / "prompts"
    assert (folder / "0001.wav").read_bytes() == third
    assert [(folder / f"0001.take{n}.wav").read_bytes() for n in (1, 2)] == [first, second]
    rows = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert rows[1] == {"id": "prompts/0001", "audio_filepath": "0001.wav", "text": "kia ora", "duration": 3.0,
                       "checked": True, "recorded": NOW}  # fmt: skip
    assert [row["text"] for row in rows] == ["שלום עולם", "kia ora"]
    assert not list(workspace.hidden().glob("takes")) and list(listed(workspace)) == []  # prompts are no recordings
    prepared = prepare(folder / "prompts.jsonl", workspace.root / "out", fractions=[1.0])
    assert len(prepared.manifests["train"]) == 2 and len(read_manifest(folder / "prompts.jsonl")) == 2


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (spoken(), []),
        (np.clip(8 * spoken(), -0.99, 0.99), ["clipped"]),
        (spoken(level=0.01, noise=0.0001), ["very quiet"]),
        (spoken(noise=0.1), ["much noise"]),
        (spoken(seconds=0.2, pause=0.05), ["too short"]),
        (spoken(pause=0.0), ["much noise"]),  # no pause at all: nobody can tell
        (np.concatenate([spoken(pause=0.6)[round(0.6 * RATE) :]]), ["cut off at the beginning"]),
        (np.concatenate([spoken(pause=0.6)[: -round(0.6 * RATE)]]), ["cut off at the end"]),
        (np.zeros(2 * RATE), ["silent"]),
    ],
)
def test_faults_of_a_take_are_told(workspace: Workspace, samples: np.ndarray, expected: list[str]) -> None:
    _, warnings = record(workspace, 1, wav(samples), NOW)
    assert warnings == expected
    assert (workspace.root / "prompts" / "0001.wav").is_file()  # a person decides, not the program


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"<html>", wav(np.zeros(0)), wav(spoken())[:60], b"OggS" + bytes(1000)]
)
def test_what_is_no_take_replaces_none(workspace: Workspace, content: bytes) -> None:
    good = wav(spoken())
    record(workspace, 1, good, NOW)
    with pytest.raises(AudioError, match="record it again") as caught:
        record(workspace, 1, content, NOW)
    assert ".asr" not in str(caught.value)
    with pytest.raises(NotThereError, match="no prompt 7"):
        record(workspace, 7, good, NOW)
    files = {path.name for path in (workspace.root / "prompts").iterdir()}
    assert files == {"prompts.tsv", "prompts.jsonl", "0001.wav"}
    assert (workspace.root / "prompts" / "0001.wav").read_bytes() == good


def test_full_disk_loses_no_take(workspace: Workspace) -> None:
    good = wav(spoken(1.0))
    record(workspace, 1, good, NOW)
    with largest_file(40_000), pytest.raises(OutputError, match="limit on the size"):
        record(workspace, 1, wav(spoken(2.0)), NOW)
    assert (workspace.root / "prompts" / "0001.wav").read_bytes() == good
    assert len(list((workspace.root / "prompts").iterdir())) == 3


def test_damaged_and_endless_lists_are_refused(workspace: Workspace) -> None:
    with pytest.raises(AsrError, match="divide"):
        write_prompts(workspace, "x" * 3000)
    with pytest.raises(AsrError, match="divide"):
        write_prompts(workspace, "\n".join(map(str, range(100_001))))
    assert len(texts(workspace)) == 3
    (workspace.root / "prompts" / "prompts.tsv").write_text("1\tkia ora\nno number\n")
    with pytest.raises(AsrError, match=r"prompts\.tsv:2"):
        write_prompts(workspace, "new")
    assert "no number" in (workspace.root / "prompts" / "prompts.tsv").read_text()
