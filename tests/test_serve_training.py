"""Training from the page: prepared, begun, stopped, continued; it outlives the service; what is next; minutes saved."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from conftest import RATE, TONES, spell
from rapidfuzz.distance import Levenshtein
from starlette.testclient import TestClient

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError
from asr.serving.app import make_app
from asr.serving.engine.engine import Engine
from asr.serving.service import Service
from asr.serving.workspace import material, ranking, training
from asr.serving.workspace.document import Segment, Work
from asr.serving.workspace.effort import effort
from asr.serving.workspace.paths import TakenError, Workspace
from asr.serving.workspace.ranking import ranked
from asr.serving.workspace.saved import save, update
from asr.transcript import Word
from asr.utterance import Utterance


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a folder with a long recording of tones whose segments are checked, and with takes of prompts."""
    root = tmp_path / "my data"
    (root / "talks").mkdir(parents=True)
    (root / "prompts").mkdir()
    generator = np.random.default_rng(0)
    segments, parts, position = [], [], 0.0
    for number in range(1, 41):
        text = "".join(generator.choice(list(TONES), generator.integers(2, 6)))
        parts.append(spell(text, generator))
        end = position + len(parts[-1]) / RATE
        segments.append(Segment(f"s{number}", position, end, text, checked=True))
        position = end
    soundfile.write(root / "talks" / "a.wav", np.concatenate(parts), RATE)
    found = Workspace(root)
    save(found, "talks/a.wav", "", segments, seconds=60, typed=True)
    prompts = []
    for number in range(1, 9):
        text = "".join(generator.choice(list(TONES), 3))
        path = root / "prompts" / f"{number:04}.wav"
        soundfile.write(path, spell(text, generator), RATE)
        prompts.append(Utterance(f"prompts/{number:04}", path, text, extra={"checked": True}))
    write_manifest(root / "prompts" / "prompts.jsonl", prompts)
    return found


def state(workspace: Workspace) -> str:
    found: str = training.report(workspace)["state"]
    return found


def wait_for(workspace: Workspace, done: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
    """Wait until the report of the training is as wanted, and return it."""
    limit = time.monotonic() + seconds
    while not done(row := training.report(workspace)):
        assert time.monotonic() < limit, row
        time.sleep(0.1)
    return row


def test_material_is_prepared_from_what_people_checked(workspace: Workspace) -> None:
    (workspace.root / "checked.jsonl").open("a").write(
        '{"audio_filepath": "gone.wav", "text": "abc", "checked": true}\nno JSON\n'
        '{"audio_filepath": "talks/a.wav", "text": "not checked", "duration": 1}\n'
        '{"audio_filepath": "../outside.wav", "text": "abc", "checked": true}\n'
    )
    found = material.prepare(workspace, ["."])
    assert found.name == "model-1"
    text = "\n".join(found.lines)
    assert "train has" in text and "unusable: 0" in text and str(workspace.root) not in text
    assert any("checked.jsonl:42" in problem for problem in found.problems)
    assert any("1 text has no recording" in problem for problem in found.problems), found.problems
    folder = workspace.root / "training" / "model-1"
    rows = [row for name in ("train", "validation") for row in read_manifest(folder / f"{name}.jsonl")]
    assert len(rows) == 48 and all(row.audio.is_file() for row in rows)
    with pytest.raises(AsrError, match="nothing here is checked"):
        material.prepare(workspace, ["other.wav"])
    document = workspace.root / "talks" / "a.json"
    document.rename(workspace.root / "talks" / "a.json.away")  # now its TextGrid and ELAN file are what there is
    (workspace.root / "talks" / "a.eaf").unlink()
    grid = workspace.root / "talks" / "a.TextGrid"
    grid.write_text(grid.read_text().replace('"segments"', '"ort"').replace('"words"', '"wd"'))
    (workspace.root / "checked.jsonl").unlink()
    found = material.prepare(workspace, ["talks"])
    assert found.name == "model-1" and "the tier 'ort' is shown; there are also 'wd'" in found.problems[0]
    rows = [row for name in ("train", "validation") for row in read_manifest(folder / f"{name}.jsonl")]
    assert len(rows) == 40 and {row.audio for row in rows} == {workspace.root / "talks" / "a.wav"}
    few = material.prepare(workspace, ["prompts"])
    assert len(few.lines) > 3 and few.name == "model-1"
    rows = [row for name in ("train", "validation") for row in read_manifest(folder / f"{name}.jsonl")]
    assert len(rows) == 8 and not (folder / "missing.jsonl").exists()


def test_too_little_material_is_said(workspace: Workspace) -> None:
    (workspace.root / "checked.jsonl").unlink()
    manifest = workspace.root / "prompts" / "prompts.jsonl"
    manifest.write_text(manifest.read_text().splitlines()[0] + "\n")
    found = material.prepare(workspace, ["."])
    assert found.name is None and "not enough" in found.problems[-1]
    with pytest.raises(AsrError, match="look at the data first"):
        training.begin(workspace)


def test_only_what_is_prepared_and_idle_is_trained(workspace: Workspace, tmp_path: Path) -> None:
    assert training.report(workspace)["state"] == "none"
    for action in (training.stop, training.resume):
        with pytest.raises(TakenError, match="training"):
            action(workspace)
    with pytest.raises(AsrError, match="look at the data first"):
        training.begin(workspace)
    for options in ({"budget": "20"}, {"budget": "1m; rm -rf"}, {"budget": "20m", "epochs": 3},
                    {"start": tmp_path / "m.onnx"}):  # fmt: skip
        with pytest.raises(AsrError, match=r"budget|exported"):
            training.begin(workspace, **options)  # type: ignore[arg-type]


def test_model_to_start_from_must_be_there(workspace: Workspace) -> None:
    client = TestClient(make_app(Service(Engine({}), data=workspace.root)), base_url="http://localhost")
    assert client.post("/api/training", json={"from": "model-1"}).status_code == 404
    assert client.post("/api/training", json={"from": None}).status_code == 400  # nothing is prepared


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"name": "../x"}', '{"name": "model-1", "budget": "--out=/"}', '{"name": "model-1", "pid": "1"}',
     '{"name": "model-1", "unknown": 1}', '{"name": "model-1", "pid": 99999999999999999999}', '{"name": "model-1\\n"}'],
)  # fmt: skip
def test_hostile_state_is_no_training(workspace: Workspace, content: str) -> None:
    workspace.hidden("training.json").write_text(content)
    assert state(workspace) in ("none", "stopped")
    with pytest.raises(TakenError):
        training.stop(workspace)


def test_no_other_process_is_stopped(workspace: Workspace) -> None:
    """The number of a process may belong to another program after a restart, or be written by a stranger."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        born = psutil.Process(other.pid).create_time()
        run = {"name": "model-1", "pid": other.pid, "born": born}
        workspace.hidden("training.json").write_text(json.dumps(run))
        assert state(workspace) == "stopped"
        with pytest.raises(TakenError):
            training.stop(workspace)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.slow
def test_training_is_stopped_continued_and_outlives_the_service(workspace: Workspace) -> None:
    (workspace.root / "numpy.py").write_text("raise SystemExit('a file of the folder was run')")
    assert material.prepare(workspace, ["."]).name == "model-1"
    program = (
        "from pathlib import Path; from asr.serving.workspace import training; "
        "from asr.serving.workspace.paths import Workspace; "
        f"training.begin(Workspace(Path({str(workspace.root)!r})), epochs=40)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)  # a service that ends at once
    assert state(workspace) == "running"
    with pytest.raises(TakenError, match="a training is running"):
        training.begin(workspace)
    with pytest.raises(TakenError, match="a training is running"):
        training.resume(workspace)
    row = wait_for(workspace, lambda row: row["epoch"] >= 2)
    assert row["epochs"] == 40 and row["eta"] > 0 and len(row["heard"]) == 3 and row["lines"]
    training.stop(workspace)
    row = wait_for(workspace, lambda row: row["state"] != "running")
    assert (row["state"], row["error"], row["model"]) == ("stopped", None, None) and row["epoch"] < 40
    run = training.last_run(workspace)
    assert run is not None
    training.resume(workspace)
    assert state(workspace) == "running"
    before = row["epoch"]
    wait_for(workspace, lambda row: row["epoch"] > before)
    now = training.last_run(workspace)
    assert now is not None and now.pid != run.pid
    os.killpg(now.pid, signal.SIGKILL)  # as if the machine lost power
    assert wait_for(workspace, lambda row: row["state"] != "running")["state"] == "stopped"
    training.resume(workspace)
    row = wait_for(workspace, lambda row: row["state"] != "running")
    assert (row["state"], row["model"], row["error"]) == ("finished", "model-1", None)
    assert [one["epoch"] for one in row["log"]] == list(range(1, row["epoch"] + 1)) and row["log"][-1]["stopped"]
    assert training.next_name(workspace) == "model-2"
    assert training.model_of(workspace, now).is_file()


@pytest.mark.slow
def test_training_that_fails_tells_why(workspace: Workspace) -> None:
    material.prepare(workspace, ["."])
    config = workspace.root / "training" / "model-1" / "config.yaml"
    config.write_text(config.read_text() + "nonsense: 1\n")
    training.begin(workspace, budget="1m")
    row = wait_for(workspace, lambda row: row["state"] != "running")
    assert row["state"] == "failed" and "nonsense" in row["error"] and str(workspace.root) not in row["error"]


def wait_over_http(client: TestClient, address: str, done: Callable[[Any], bool]) -> Any:
    limit = time.monotonic() + 240
    while not done(found := client.get(address).json()):
        assert time.monotonic() < limit, found
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_corrected_recording_trains_the_model_that_transcribes_the_next(workspace: Workspace) -> None:
    """The whole loop over HTTP, with a service that had no model, and once more after it was started again."""
    generator = np.random.default_rng(1)
    soundfile.write(workspace.root / "next.wav", spell("abcabc", generator), RATE)
    with TestClient(make_app(Service(Engine({}), data=workspace.root)), base_url="http://localhost") as client:
        assert client.get("/api/training").json()["state"] == "none"
        assert "no model" in client.post("/api/documents/next.wav/transcribe", json={}).json()["error"]["message"]
        assert client.post("/api/training/prepare", json={"sources": ["."]}).json()["next"] == "model-1"
        begun = client.post("/api/training", json={"budget": None, "epochs": 15, "from": None})
        assert begun.status_code == 201 and begun.json()["state"] == "running"
        assert client.post("/api/training", json={"epochs": 3}).status_code == 409
        assert client.post("/api/training/other").status_code == 400
    with TestClient(make_app(Service(Engine({}), data=workspace.root)), base_url="http://localhost") as client:
        models = wait_over_http(client, "/api/session", lambda found: found["models"])["models"]
        assert models == [{"id": "model-1", "streaming": False, "sample_rate": RATE}]
        row = client.get("/api/training").json()
        assert (row["state"], row["model"], row["error"]) == ("finished", "model-1", None)
        assert row["log"][-1]["cer"] < 30 and row["heard"]
        assert [one["id"] for one in client.get("/api/next").json()["recordings"]] == ["next.wav"]
        job = client.post("/api/documents/next.wav/transcribe", json={"model": "model-1"}).json()["job"]
        wait_over_http(client, f"/api/jobs/{job}", lambda found: found["state"] == "done")
        text = "".join(one["text"] for one in client.get("/api/documents/next.wav").json()["segments"])
        assert Levenshtein.distance(text, "abcabc") <= 2
        assert client.post("/api/training/prepare", json={}).json()["next"] == "model-2"


def test_what_is_next_and_why(workspace: Workspace) -> None:
    for name, seconds in (("b.wav", 20), ("c.wav", 5), ("d.wav", 9), ("e.wav", 9)):
        soundfile.write(workspace.root / name, np.zeros(seconds * RATE), RATE)
    (workspace.root / "f.wav").write_bytes(b"nothing")

    def draft(number: int, confidence: float, checked: bool = False) -> Segment:
        words = (Word("ora", number, number + 1.0, confidence),)
        return Segment(f"s{number}", number, number + 1.0, "ora", checked, words=words)

    save(workspace, "d.wav", "", [draft(1, 0.9), draft(3, 0.7)], seconds=1, typed=False)
    save(workspace, "e.wav", "", [draft(1, 0.2, True), draft(3, 0.4)], seconds=1, typed=False)
    found = ranked(workspace)
    assert [(one.id, one.confidence) for one in found] == [
        ("c.wav", None), ("b.wav", None), ("d.wav", 0.8), ("e.wav", 0.4)]  # fmt: skip
    assert [one.reason for one in found] == [
        "not transcribed yet",
        "not transcribed yet",
        "letters in doubt: 21%; 3.5 letters a second",  # its voice is not transcribed yet, and it has more letters
        "1 of 2 segments are checked; letters in doubt: 60%; 3.0 letters a second",
    ]


def test_what_a_minute_of_listening_teaches_decides(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first drafts are dense, doubtful, new and unlike each other; pauses cost nothing, silence comes last."""

    def draft(name: str, texts: Sequence[str], seconds: float, doubt: float = 0.4, pause: float = 0.0) -> None:
        soundfile.write(workspace.root / f"{name}.wav", np.zeros(90 * RATE), RATE)
        starts = [number * (seconds + pause) for number in range(len(texts))]
        segments = tuple(
            Segment(f"s{n}", at, at + seconds, text, words=(Word(text, at, at + seconds, 1 - doubt),))
            for n, (at, text) in enumerate(zip(starts, texts, strict=True))
        )
        update(workspace, f"{name}.wav", lambda opened: replace(opened.document, segments=segments, model="m"))

    draft("dense", ["pqrst", "uvwxy", "zpqrs"], 2.0)
    draft("pauses", ["HIJKL", "MNOHI", "JKLMN"], 2.0, pause=20.0)
    draft("same", ["pqrst", "uvwxy", "zpqrs"], 2.0)
    draft("slow", ["hijkl", "mnohi", "jklmn"], 4.0)
    draft("sure", ["PQRST", "UVWXY", "ZPQRS"], 2.0, doubt=0.05)
    draft("silence", [], 1.0)
    found = ranked(workspace)
    assert [one.id for one in found] == ["dense.wav", "pauses.wav", "same.wav", "slow.wav", "sure.wav", "silence.wav"]
    assert found[0].reason == "letters in doubt: 40%; 3 words never seen; 2.8 letters a second"
    assert found[2].reason == "letters in doubt: 40%; 2.8 letters a second"
    assert found[-1].reason == "the model found no speech"
    for name, text in (("typed", "abc"), ("empty", "")):  # such as of ELAN: text without doubts, segments without text
        soundfile.write(workspace.root / f"{name}.wav", np.zeros(90 * RATE), RATE)
        save(workspace, f"{name}.wav", "", [Segment("s1", 0.0, 2.0, text)], seconds=0, typed=False)
    soundfile.write(workspace.root / "new.wav", np.zeros(9 * RATE), RATE)
    found = ranked(workspace)
    assert [one.id for one in found[:3]] == ["new.wav", "empty.wav", "dense.wav"]
    assert [one.id for one in found[-2:]] == ["typed.wav", "silence.wav"]
    assert [one.reason for one in found[:2]] == ["not transcribed yet"] * 2
    monkeypatch.setattr(ranking, "_MOST", 1)  # all but one are ranked by their doubt alone
    ranking._places.cache_clear()
    again = ranked(workspace)
    assert [one.id for one in again] == [one.id for one in found]
    assert again[3].id == "pauses.wav" and again[3].reason == "letters in doubt: 40%; 2.8 letters a second"


def test_minutes_saved_are_measured_or_none() -> None:
    assert effort([]) == {
        "correcting": {"minutes": 0, "audio_minutes": 0},
        "typing": {"minutes": 0, "audio_minutes": 0},
        "saved_minutes": None,
    }
    assert effort([(Work(600, 60), Work())])["saved_minutes"] is None
    assert effort([(Work(600, 60), Work(9, 9))])["saved_minutes"] is None  # too little to say
    # Typed at 10 minutes a minute; 3 minutes corrected in 12 minutes instead of 30.
    assert effort([(Work(300, 30), Work(360, 90)), (Work(300, 30), Work(360, 90))])["saved_minutes"] == 18.0
    assert effort([(Work(60, 60), Work(180, 60))])["saved_minutes"] == -2.0  # a bad draft costs time, and that is said


def test_work_is_counted_by_its_kind(workspace: Workspace) -> None:
    soundfile.write(workspace.root / "b.wav", np.zeros(90 * RATE), RATE)
    segments = [Segment(f"s{n}", 10.0 * n, 10.0 * n + 10, "ora", n < 3) for n in range(6)]
    first = save(workspace, "b.wav", "", segments, seconds=120, typed=True)
    assert first.document.typed == Work(120, 30) and first.document.corrected == Work(0, 0)
    segments = [Segment(f"s{n}", 10.0 * n, 10.0 * n + 10, "ora", n < 5) for n in range(6)]
    second = save(workspace, "b.wav", first.version, segments, seconds=15, typed=False)
    assert first.document.is_typed and not replace(first.document, model="m").is_typed
    assert second.document.typed == Work(120, 30) and second.document.corrected == Work(15, 20)
