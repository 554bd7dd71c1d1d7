"""Clients that do not mean well, and accidents: the service stays, answers others, and keeps nothing."""

import io
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile
from conftest import PATIENCE, Served, served, until

import asr

IDLE = 2  # seconds
LIMIT = 2_000_000  # bytes


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the temporary files of the server."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def server(serving_folder: Path, uploads: Path) -> Iterator[Served]:
    with served(serving_folder / "two.onnx", "--idle", IDLE, "--max-upload", LIMIT, TMPDIR=str(uploads)) as running:
        yield running
        assert "Traceback" not in running.said


@pytest.fixture(autouse=True)
def nothing_is_kept(server: Served, uploads: Path, serving_folder: Path) -> Iterator[None]:
    """After each test the service answers, and the folder of uploads is empty."""
    yield
    assert transcribe(server, (serving_folder / "0.wav").read_bytes()).status_code == 200
    until(lambda: not list(uploads.glob("asr-upload-*")))


def transcribe(server: Served, content: bytes, **fields: str) -> httpx.Response:
    return server.post("/v1/transcribe", files={"file": ("x.wav", content)}, data=fields)


def connect(server: Served) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), PATIENCE)


def head(length: int | str) -> bytes:
    return (
        "POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    ).encode()


def sends(connection: socket.socket, content: bytes) -> bool:
    """Send bytes; return False if the other side has closed the connection."""
    try:
        connection.sendall(content)
    except OSError:
        return False
    return True


def rest_of(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_slow_heads_and_silent_sockets_are_closed(server: Served, serving_folder: Path) -> None:
    """Two hundred sockets that say nothing, and one that sends a head byte by byte; others are answered meanwhile."""
    silent = [connect(server) for _ in range(200)]
    slow = connect(server)
    slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    assert transcribe(server, (serving_folder / "1.wav").read_bytes()).status_code == 200
    until(lambda: not sends(slow, b"x"), "a head may come in byte by byte, for ever")
    assert all(rest_of(one) == b"" for one in silent)
    kept = connect(server)  # after an answer, the next request has no more time
    kept.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += kept.recv(65536)
    kept.sendall(b"GET /hea")
    assert rest_of(kept) == b""


def test_uploads_that_stop(server: Served) -> None:
    """A body that does not come on, and one whose sender is gone."""
    stalled = connect(server)
    stalled.sendall(head(1_000_000) + b"x" * 1000)
    answer = rest_of(stalled)
    assert b"408" in answer.splitlines()[0] and b'"code":"timeout"' in answer
    for _ in range(20):
        gone = connect(server)
        gone.sendall(head(1_000_000) + b"x" * 300_000)
        gone.close()
    form = head(0).partition(b"\r\n\r\n")[2]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    cut = server.post("/v1/transcribe", content=form, headers=headers)
    assert cut.status_code == 400 and "cut short" in cut.text


def test_uploads_that_are_too_large(server: Served) -> None:
    """By the stated length, by the bytes that come, and by fields."""

    def chunks() -> Iterator[bytes]:
        yield head(0).partition(b"\r\n\r\n")[2]
        for _ in range(LIMIT // 100_000 + 5):
            yield bytes(100_000)

    path, headers = "/v1/transcribe", {"Content-Type": "multipart/form-data; boundary=b"}
    for found in (transcribe(server, bytes(LIMIT)), server.post(path, content=chunks(), headers=headers)):
        assert found.status_code == 413 and str(LIMIT) in found.json()["error"]["message"]
    assert transcribe(server, b"", text="x" * 1_100_000).status_code == 413
    assert server.post(path, files=[("other", ("a", b"1"))] * 1500).status_code == 413


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--b\r\n"),
        ("multipart/form-data; boundary=", b"--b\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--c\r\n\r\nx\r\n--c--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A: b\r\n" * 5000 + b"\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A" * 100_000 + b": b\r\n\r\nx\r\n--b--\r\n"),
        ("application/json", b'{"file": "/etc/passwd"}'),
        ("application/x-www-form-urlencoded", b"file=/etc/passwd"),
        ("", b""),
        ("audio/wav", b"/etc/passwd"),
        ("audio/x-mpegurl", b"#EXTM3U\nfile:///etc/passwd\n"),
        ("\xff/\xfe", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ],
)
def test_bodies_that_are_no_forms(server: Served, kind: str, body: bytes) -> None:
    headers = {"Content-Type": kind.encode("latin-1")} if kind else {}
    found = server.post("/v1/transcribe", content=body, headers=headers)  # type: ignore[arg-type]
    assert found.status_code in (400, 413, 415) and set(found.json()) == {"error"}
    assert "root:" not in found.text


def test_damaged_forms(server: Served, serving_folder: Path) -> None:
    """A form with some bytes changed is answered, and never with an error of the server."""
    content = (serving_folder / "0.wav").read_bytes()[:3000]
    request = httpx.Request("POST", server.url, files={"file": ("a.wav", content)}, data={"nbest": "2", "model": "two"})
    body, draw = request.read(), random.Random(0)
    with httpx.Client(timeout=PATIENCE) as client:
        for _ in range(150):
            damaged = bytearray(body)
            for _ in range(draw.choice([1, 5, 50])):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            del damaged[draw.choice([len(damaged), draw.randrange(len(damaged))]) :]
            headers = {"Content-Type": request.headers["Content-Type"]}
            found = client.post(f"{server.url}/v1/transcribe", content=bytes(damaged), headers=headers)
            assert found.status_code < 500, found.text


def test_recordings_that_promise_much(server: Served, serving_folder: Path) -> None:
    """Ten hours in the header; an hour of silence in few bytes; many channels at a high rate."""
    wave = bytearray((serving_folder / "0.wav").read_bytes())
    wave[40:44] = (36_000 * 8000 * 2).to_bytes(4, "little")
    found = transcribe(server, bytes(wave))
    assert found.status_code == 400 and found.json()["error"]["code"] == "truncated"
    assert "x.wav: truncated" in found.json()["error"]["message"] and "`salvage`" in found.json()["error"]["message"]
    assert transcribe(server, bytes(wave), salvage="true").status_code == 200
    (worker,) = server.workers
    before = worker.memory_info().rss
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(3600 * 8000, np.int16), 8000, format="FLAC")
    assert len(silence.getvalue()) < 200_000
    found = transcribe(server, silence.getvalue())
    assert found.status_code == 200 and found.json()["duration"] == 3600 and found.json()["text"] == ""
    assert worker.memory_info().rss - before < 400e6
    dense = io.BytesIO()
    soundfile.write(dense, np.zeros((100_000, 8), np.int16), 655_350, format="FLAC")
    found = transcribe(server, dense.getvalue())
    assert found.status_code == 400 and "8 channels at 655350 Hz" in found.json()["error"]["message"]


def test_what_is_no_http(server: Served) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"A" * 100_000 + b"\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"):  # fmt: skip
        connection = connect(server)
        try:
            connection.sendall(garbage)
            assert b"400" in rest_of(connection)[:20]
        except ConnectionError:  # closed before all was sent
            pass


def test_clients_that_do_not_wait(server: Served, serving_folder: Path) -> None:
    """Their recordings are not computed, and hold no place in the queue."""
    (worker,) = server.workers
    worker.suspend()
    try:
        for _ in range(10):
            with pytest.raises(httpx.ReadTimeout):
                server.post(
                    "/v1/transcribe",
                    files={"file": (serving_folder / "0.wav").read_bytes()},
                    timeout=httpx.Timeout(PATIENCE, read=0.3),
                )
        until(lambda: server.get("/ready").json()["queue"] == 0)
    finally:
        worker.resume()


def test_a_killed_process_costs_no_answer(server: Served, serving_folder: Path) -> None:
    """Sixty clients at once, and the model process is killed among them: each gets the text of its own recording."""
    model = asr.load(serving_folder / "two.onnx")
    expected = [model.transcribe(serving_folder / f"{number}.wav").to_dict() for number in range(40)]
    contents = [(serving_folder / f"{number}.wav").read_bytes() for number in range(40)]
    (worker,) = server.workers
    with ThreadPoolExecutor(60) as pool:
        calls = [pool.submit(transcribe, server, contents[number % 40]) for number in range(120)]
        until(lambda: sum(call.done() for call in calls) > 10)
        worker.kill()
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [200] * 120
    assert [answer.json() for answer in answers] == [{"model": "two", **expected[n % 40]} for n in range(120)]
    assert [one.pid for one in server.workers] != [worker.pid]


def test_a_full_queue_says_when_to_come_again(serving_folder: Path) -> None:
    with served(serving_folder / "two.onnx", "--queue", 2) as small, ThreadPoolExecutor(8) as pool:
        content = (serving_folder / "0.wav").read_bytes()
        (worker,) = small.workers
        worker.suspend()
        calls = [pool.submit(transcribe, small, content)]
        until(lambda: small.taken() == 1 and small.get("/ready").json()["queue"] == 0)  # it is a batch of its own
        calls += [pool.submit(transcribe, small, content) for _ in range(7)]
        until(lambda: sum(call.done() for call in calls) >= 5)
        worker.resume()
        answers = [call.result() for call in calls]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == 5 and all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert refused[0].json()["error"]["code"] == "busy"
    assert sum(answer.status_code == 200 for answer in answers) == 3
