"""The routes of the page over HTTP: recordings, sound, documents, transcription, and their errors."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
import soundfile
from conftest import fresh_recognizer, largest_file
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from asr.exporting.onnx import to_onnx
from asr.serving.app import make_app
from asr.serving.engine.engine import Engine
from asr.serving.service import Service

RATE = 8000  # Hz


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Return three bursts of loud and varied noise between pauses: sound that is divided into segments."""
    generator = np.random.default_rng(0)
    loud = generator.standard_normal((3, 14 * RATE)) * np.abs(np.sin(np.arange(14 * RATE) / RATE * 20)) * 0.2
    pause = 0.0005 * generator.standard_normal((3, 2 * RATE))
    return np.concatenate([loud, pause], axis=1).ravel()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "data" / "ngā kōrero").mkdir(parents=True)
    soundfile.write(folder / "data" / "ngā kōrero" / "tahi & rua?.wav", speech, RATE)
    soundfile.write(folder / "outside.wav", speech, RATE)
    (folder / "demo.onnx").write_bytes(to_onnx(fresh_recognizer("abcé ")))
    service = Service(Engine({"demo": folder / "demo.onnx"}), data=folder / "data")
    with TestClient(make_app(service), base_url="http://localhost") as opened:
        yield opened


NAME = "ngā kōrero/tahi & rua?.wav"
QUOTED = "ng%C4%81%20k%C5%8Drero/tahi%20%26%20rua%3F.wav"


def error_of(response: Any, status: int) -> str:
    """Return the message of an error, which has the one shape of the service."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and "/serve" not in error["message"]
    message: str = error["message"]
    return message


def finished(client: TestClient, job: str) -> dict[str, Any]:
    """Wait for a job; its progress never falls."""
    progress = 0.0
    for _ in range(3000):
        row: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
        assert progress <= row["progress"] <= 1.0
        progress = row["progress"]
        if row["state"] in ("done", "failed"):
            return row
        time.sleep(0.05)
    raise AssertionError(row)


def test_session_and_list(client: TestClient) -> None:
    session = client.get("/api/session").json()
    assert session["models"] == [{"id": "demo", "streaming": False, "sample_rate": RATE}]
    assert (session["folder"], session["formats"], session["train"]) == (
        "data",
        ["eaf", "TextGrid", "srt", "txt"],
        True,
    )
    (row,) = [one for one in client.get("/api/recordings").json()["recordings"] if one["id"] == NAME]
    assert row["duration"] == 48.0 and row["error"] is None and row["modified"].endswith("+00:00")


def test_without_a_folder_there_is_only_the_session() -> None:
    client = TestClient(make_app(Service(Engine({}))), base_url="http://localhost")  # its engine is not started
    assert client.get("/api/session").json()["folder"] is None and client.get("/api/session").json()["train"] is False
    for address in ("/api/recordings", "/api/documents/a.wav", "/api/jobs/1"):
        error_of(client.get(address), 404)


def test_upload_lands_and_is_heard_in_parts(client: TestClient, speech: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", speech, RATE)
    content = (tmp_path / "x.wav").read_bytes()
    files = [("file", ("toru.wav", content)), ("file", ("C:\\fakepath\\whā.wav", content))]
    response = client.post("/api/recordings", files=files, data={"folder": "new/day 1"})
    assert response.status_code == 201
    assert [row["id"] for row in response.json()["recordings"]] == ["new/day 1/toru.wav", "new/day 1/whā.wav"]
    assert client.post("/api/recordings", files=files, data={"folder": "new/day 1"}).status_code == 201  # once more
    soundfile.write(tmp_path / "x.wav", 0.5 * speech, RATE)
    other = [("file", ("toru.wav", (tmp_path / "x.wav").read_bytes()))]
    assert "another recording" in error_of(
        client.post("/api/recordings", files=other, data={"folder": "new/day 1"}), 409
    )
    whole = client.get("/api/recordings/new/day%201/toru.wav/audio")
    assert whole.content == content and whole.headers["content-type"] == "audio/wav"
    ranged = client.get("/api/recordings/new/day%201/toru.wav/audio", headers={"Range": "bytes=100-199"})
    assert ranged.status_code == 206 and ranged.content == content[100:200]
    beyond = client.get("/api/recordings/new/day%201/toru.wav/audio", headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    wav = client.get("/api/recordings/new/day%201/toru.wav/samples?start=1&end=2.5").content
    (tmp_path / "part.wav").write_bytes(wav)
    assert soundfile.info(tmp_path / "part.wav").duration == 1.5
    peaks = client.get("/api/recordings/new/day%201/toru.wav/peaks?count=24").json()
    assert [round(high, 1) > 0.05 for high in peaks["max"]] == ([True] * 7 + [False]) * 3


@pytest.mark.parametrize(
    "files",
    [[("file", ("a.wav", b"<html>"))], [("file", ("a.exe", b"MZ"))], [("file", ("a.wav", b""))],
     [("other", ("a.wav", b"RIFF"))], [("file", ("good.wav", None)), ("file", ("bad.wav", b"not audio at all"))]],
)  # fmt: skip
def test_what_is_no_recording_does_not_land(client: TestClient, files: Any, speech: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", speech, RATE)
    files = [(field, (name, content if content is not None else (tmp_path / "good.wav").read_bytes()))
             for field, (name, content) in files]  # fmt: skip
    before = client.get("/api/recordings").json()
    error_of(client.post("/api/recordings", files=files), 400)
    assert client.get("/api/recordings").json() == before


@pytest.mark.parametrize(
    "name",
    ["../outside.wav", "%2e%2e/outside.wav", "..%2foutside.wav", "%2fetc%2fpasswd", "ng%C4%81/../../outside.wav",
     "a%00.wav", "%ff.wav", "a.wav", ".asr/lock", "x" * 5000],
)  # fmt: skip
def test_no_address_leads_out_of_the_folder(client: TestClient, name: str) -> None:
    for address in ("documents/{}", "documents/{}/export?format=txt", "recordings/{}/audio", "recordings/{}/peaks"):
        error_of(client.get("/api/" + address.format(name)), 404)
    error_of(client.put(f"/api/documents/{name}", json={"version": "", "segments": []}), 404)
    error_of(client.post(f"/api/documents/{name}/transcribe", json={}), 404)


def test_document_is_transcribed_corrected_and_transcribed_again(client: TestClient) -> None:
    address = f"/api/documents/{QUOTED}"
    empty = client.get(address).json()
    assert (empty["recording"], empty["version"], empty["segments"], empty["saved"]) == (NAME, "", [], None)
    first, again = (client.post(f"{address}/transcribe", json={"model": "demo"}).json()["job"] for _ in range(2))
    assert first == again  # one at a time
    assert finished(client, first) | {"id": ""} == {
        "id": "", "name": NAME, "state": "done", "progress": 1.0, "message": None}  # fmt: skip
    draft = client.get(address).json()
    assert draft["model"] == "demo" and len(draft["segments"]) == 3 and draft["version"]
    for segment in draft["segments"]:
        assert not segment["checked"] and len(segment["nbest"]) >= 2
        assert segment["text"] in [one["text"] for one in segment["nbest"]]
        assert " ".join(word["text"] for word in segment["words"]) == segment["text"]
    bounds = [(round(one["start"]), round(one["end"])) for one in draft["segments"]]
    assert bounds == [(0, 14), (16, 30), (32, 46)]
    segments = [*draft["segments"]]
    segments[1] = segments[1] | {"text": "e\u0301 corrected", "checked": True, "speaker": "Mere"}
    saved = client.put(
        address, json={"version": draft["version"], "segments": segments, "seconds": 12.5, "typed": False}
    )
    assert saved.status_code == 200 and saved.json()["notes"] == []
    body = saved.json()
    late = client.put(address, json={"version": draft["version"], "segments": []})
    assert "someone else" in error_of_conflict(late) and late.json()["current"] == body
    finished(client, client.post(f"{address}/transcribe", json={"start": 0.5, "end": 15.0}).json()["job"])
    after = client.get(address).json()
    assert [one["text"] for one in after["segments"]][1:] == [one["text"] for one in body["segments"]][1:]
    assert after["segments"][1] == body["segments"][1] and after["segments"][0]["id"] not in ("s1", "s2", "s3")
    export = client.get(f"{address}/export?format=TextGrid")
    assert "e\u0301 corrected" in export.text and "filename*=UTF-8''tahi%20%26" in export.headers["content-disposition"]
    assert "is not offered" in error_of(client.get(f"{address}/export?format=exe"), 400)
    (row,) = [one for one in client.get("/api/recordings").json()["recordings"] if one["id"] == NAME]
    assert (row["state"], row["segments"], row["checked"]) == ("partly", 3, 1)


def error_of_conflict(response: Any) -> str:
    assert response.status_code == 409
    message: str = response.json()["error"]["message"]
    return message


def test_recording_that_is_cut_short_is_transcribed_as_far_as_it_goes(
    client: TestClient, speech: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "cut.wav", speech, RATE)
    content = (tmp_path / "cut.wav").read_bytes()
    client.post("/api/recordings", files=[("file", ("cut.wav", content[: len(content) // 2]))])
    row = finished(client, client.post("/api/documents/cut.wav/transcribe", json={}).json()["job"])
    assert row["state"] == "done" and "truncated" in row["message"]
    assert client.get("/api/documents/cut.wav").json()["segments"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"version": ""}', b'{"version": "", "segments": [{"id": "s1"}]}',
     b'{"version": "", "segments": [{"id": "s1", "start": NaN, "end": 1}]}',
     b'{"version": "", "segments": [{"id": "s1", "start": 0, "end": 1e999}]}',
     b'{"version": "", "segments": [], "seconds": -1}', b'{"version": 1, "segments": []}', b"\xff" * 100],
)  # fmt: skip
def test_what_is_no_document_is_refused(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    error_of(client.put(f"/api/documents/{QUOTED}", content=body, headers=headers), 400)


def test_too_long_a_document_is_refused_before_it_is_read(client: TestClient) -> None:
    chunks = (b" " * 2**20 for _ in range(70))
    response = client.put(f"/api/documents/{QUOTED}", content=chunks, headers={"Content-Type": "application/json"})
    assert "67108864 bytes" in error_of(response, 413)


def test_unknown_models_and_jobs_are_named(client: TestClient) -> None:
    assert "demo" in error_of(client.post(f"/api/documents/{QUOTED}/transcribe", json={"model": "x"}), 404)
    assert "no job" in error_of(client.get("/api/jobs/77"), 404)


def test_folder_that_is_full_is_an_error_with_a_cure(client: TestClient, tmp_path: Path, speech: np.ndarray) -> None:
    soundfile.write(tmp_path / "big.wav", speech, RATE)
    files = [("file", ("big.wav", (tmp_path / "big.wav").read_bytes()))]
    with largest_file(10_000):
        response = client.post("/api/recordings", files=files)
    assert "ulimit" in error_of(response, 507)
    assert not [row for row in client.get("/api/recordings").json()["recordings"] if row["id"] == "big.wav"]


@schemathesis.serializer("audio/wav")
def sound(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else getattr(value, "data", str(value).encode())


def test_openapi_document_of_the_page_is_true(tmp_path: Path, speech: np.ndarray) -> None:
    """Schemathesis makes right and wrong requests of the document, and compares the answers with it."""
    soundfile.write(tmp_path / "a.wav", speech, RATE)
    app = make_app(Service(Engine({}), data=tmp_path))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.update(base_url="http://localhost")
    paths = []
    for operation in (found.ok() for found in schema.include(path_regex="^/api/").get_all_operations()):
        paths.append(f"{operation.method.upper()} {operation.path}")

        @given(case=operation.as_strategy())
        @settings(
            max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        def run(case: Any) -> None:
            if len(case.path_parameters.get("name", "")) % 2:  # about half of the requests are of a recording
                case.path_parameters["name"] = "a.wav"
            response = case.call()
            assert response.status_code < 500, response.text
            case.validate_response(response, excluded_checks=[positive_data_acceptance])

        run()
    assert len(paths) >= 20 and "PUT /api/documents/{name}" in paths
