"""The service's own API, its OpenAPI document, keys and access, health and metrics, start and stop."""

import io
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
import schemathesis
import soundfile
from conftest import PATIENCE, Served, refuses, served, until
from processes import run_asr
from schemathesis.specs.openapi.checks import positive_data_acceptance
from typer.testing import CliRunner

import asr
from asr.cli import app
from asr.cli.serving import read_keys
from asr.errors import AsrError
from asr.serving.access import Access
from asr.serving.engine.engine import Engine
from asr.serving.errors import ServiceError
from asr.serving.requests.fields import glossary
from asr.serving.service import Service
from asr.writers import FORMATS

KEY = "a-key-of-more-than-16-letters"


@pytest.fixture(scope="module")
def server(serving_folder: Path) -> Iterator[Served]:
    with served(serving_folder / "two.onnx", serving_folder / "one.onnx", "--cors", "https://page.example") as running:
        yield running


def post(server: Served, path: Path, address: str = "transcribe", **fields: object) -> httpx.Response:
    data = {name: str(value) for name, value in fields.items()}
    return server.post(f"/v1/{address}", data=data, files={"file": path.open("rb")})


def test_json_has_all_that_the_library_has(server: Served, serving_folder: Path) -> None:
    path, model = serving_folder / "7.wav", asr.load(serving_folder / "two.onnx")
    assert post(server, path).json() == {"model": "two", **model.transcribe(path).to_dict()}
    assert post(server, path, nbest=4).json() == {"model": "two", **model.transcribe(path, nbest=4).to_dict()}
    phrases = model.transcribe(path, phrases=["ab", "cé"])
    found = post(server, path, phrases="ab\ncé\n").json()
    assert found["posterior"] == round(phrases.posterior, 4) and found["text"] == phrases.text
    assert ("nearest" in found) == (phrases.nearest is not None)
    found = post(server, path, hotwords="ab\t3\nba", model="two").json()
    assert found["text"] == model.transcribe(path, hotwords=["ab\t3", "ba"]).text and "unbiased" in found
    channels = post(server, serving_folder / "stereo.wav", channels="split").json()["channels"]
    expected = [model.transcribe(serving_folder / "stereo.wav", channel=number).to_dict() for number in (1, 2)]
    assert channels == expected
    raw = server.post("/v1/transcribe?channels=2", content=(serving_folder / "stereo.wav").read_bytes())
    assert raw.json() == {"model": "two", **expected[1]}


def test_remarks(server: Served, serving_folder: Path, tmp_path: Path) -> None:
    """What the command line logs while it reads is told to the one who sent the recording, and to nobody else."""
    samples, rate = soundfile.read(serving_folder / "7.wav")
    soundfile.write(tmp_path / "dead.wav", np.stack([samples, 0 * samples], axis=1), rate)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: post(server, path), [tmp_path / "dead.wav", serving_folder / "7.wav"] * 4))
    for one, other in zip(found[::2], found[1::2], strict=True):
        assert one.json()["remarks"] == [
            "2 channels averaged to one",
            "channel 2 of 2 is silent and weakens the average; choose `channels` 1",
        ]
        assert "remarks" not in other.json()


def test_formats_are_the_files_of_the_command_line(server: Served, serving_folder: Path, tmp_path: Path) -> None:
    transcript = asr.load(serving_folder / "two.onnx").transcribe(serving_folder / "7.wav")
    for name in FORMATS:
        found = post(server, serving_folder / "7.wav", format=name.lower())
        assert found.status_code == 200 and str(serving_folder) not in found.text and "/tmp" not in found.text
        if name not in ("json", "jsonl", "eaf"):  # which name the recording
            transcript.save(tmp_path / f"7.{name}")
            assert found.content == (tmp_path / f"7.{name}").read_bytes()
    root = ElementTree.fromstring(post(server, serving_folder / "7.wav", format="eaf").text)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None and media.get("RELATIVE_MEDIA_URL") == "./7.wav"
    assert post(server, serving_folder / "stereo.wav", format="srt", channels="split").status_code == 400


def test_no_file_of_the_machine_is_read(server: Served, serving_folder: Path, tmp_path: Path) -> None:
    """Names of uploads are names only: an ELAN file that has the name beside it is not read."""
    eaf = tmp_path / "secret.eaf"
    asr.load(serving_folder / "two.onnx").transcribe(serving_folder / "0.wav").save(eaf)
    eaf.write_text(eaf.read_text().replace('TIER_ID="asr"', 'TIER_ID="secret"'))
    content = (serving_folder / "0.wav").read_bytes()
    for name in (str(tmp_path / "secret.wav"), f"../../../../..{tmp_path}/secret.wav", "..", ".", "", "a\\..\\b.wav"):
        for kind in ("eaf", "jsonl", "TextGrid"):
            files = {"file": (name, io.BytesIO(content))}
            found = server.post("/v1/transcribe", data={"format": kind}, files=files)
            assert found.status_code in (200, 400) and "secret" not in found.text.replace("secret.wav", "")
    for value in (str(serving_folder / "0.wav"), f"file://{serving_folder}/0.wav", "http://127.0.0.1:9/0.wav"):
        found = server.post("/v1/transcribe", data={"file": value, "url": value, "model": value})
        assert found.status_code == 400 and "is not a recording" in found.text


def test_alignment(server: Served, serving_folder: Path) -> None:
    path = serving_folder / "7.wav"
    expected = asr.align(serving_folder / "two.onnx", path, "ab cé xyz")
    found = post(server, path, "align", text="ab cé xyz").json()
    assert found["words"] == expected.transcript.to_dict()["words"] and found["unspoken"] == list(expected.unspoken)
    assert "TextGrid" in post(server, path, "align", text="ab", format="TextGrid").text
    for text in ("", " \n", "Дом"):
        assert post(server, path, "align", text=text).status_code == 400


@pytest.mark.parametrize(
    "fields", [{"nbest": "-1"}, {"nbest": "1" * 20}, {"nbest": "²"}, {"channels": "0"}, {"channels": "9" * 5000},
               {"salvage": "maybe"}, {"format": "srt,vtt"}, {"format": ","}, {"phrases": "a", "hotwords": "a"},
               {"hotwords": "a\tNaN"}, {"phrases": "{x}"}]
)  # fmt: skip
def test_wrong_fields_are_named(server: Served, serving_folder: Path, fields: dict[str, str]) -> None:
    found = post(server, serving_folder / "0.wav", **fields)
    assert found.status_code == 400, found.text
    assert any(name in found.json()["error"]["message"] for name in fields)


def test_health_and_metrics(server: Served, serving_folder: Path) -> None:
    assert server.get("/health").json() == {"status": "ok"}
    assert server.get("/ready").json() == {"status": "ready", "workers": 1, "queue": 0}
    post(server, serving_folder / "0.wav")
    text = server.get("/metrics").text
    for name in ("asr_requests_total", "asr_audio_seconds_total", "asr_latency_seconds_sum", "asr_batch_size_count",
                 "asr_queue_length 0.0", "asr_workers 1.0"):  # fmt: skip
        assert name in text
    server.get(f"/{'x' * 50}")  # an address that a client invents makes no metric of its own
    assert "xxx" not in server.get("/metrics").text


def test_the_openapi_document_is_true(server: Served) -> None:
    """Schemathesis makes requests of the document, right and wrong ones, and compares the answers with it."""
    document = server.get("/openapi.json").json()
    assert {"/v1/audio/transcriptions", "/v1/transcribe", "/v1/align", "/v1/models"} <= set(document["paths"])
    assert "HTTPValidationError" not in str(document)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.url)
    faults = []
    for operation in (found.ok() for found in schema.get_all_operations()):
        assert operation is not None
        if not operation.path.startswith("/api"):
            strategy = operation.as_strategy()
            faults += check(strategy, server)
    assert not faults


def check(strategy: object, server: Served) -> list[str]:
    from hypothesis import HealthCheck, Phase, given, settings

    faults: list[str] = []

    @settings(
        max_examples=20, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)  # type: ignore[arg-type]
    def run(case: object) -> None:
        response = case.call(base_url=server.url)  # type: ignore[attr-defined]
        if response.status_code >= 500:
            faults.append(f"{response.status_code} {response.text}")
        # A document cannot say which bytes are a recording, so a right request can be refused.
        case.validate_response(response, excluded_checks=[positive_data_acceptance])  # type: ignore[attr-defined]

    run()
    return faults


def test_pages_of_other_sites_are_refused(server: Served, serving_folder: Path) -> None:
    """Neither by a form of another site, nor under a name that leads to this machine."""
    path, files = "/v1/transcribe", {"file": (serving_folder / "0.wav").read_bytes()}
    assert server.post(path, files=files, headers={"Origin": "https://evil.example"}).status_code == 403
    assert server.post(path, files=files, headers={"Origin": "null"}).status_code == 403
    assert server.post(path, files=files, headers={"Origin": server.url}).status_code == 200
    allowed = server.post(path, files=files, headers={"Origin": "https://page.example"})
    assert allowed.status_code == 200 and allowed.headers["access-control-allow-origin"] == "https://page.example"
    plain = server.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in plain.headers
    for host, status in (
        ("evil.example", 403),
        ("page.example", 200),
        ("localhost:1", 200),
        ("[::1]:80", 200),
        ("", 403),
    ):
        assert server.get("/v1/models", headers={"Host": host}).status_code == status


def test_keys(serving_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# ours\n{KEY}\nanother-key-0123456789\n")
    with served(serving_folder / "two.onnx", "--api-key-file", tmp_path / "keys") as server:
        models = "/v1/models"
        refused = server.get(models)
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        for given in ("Bearer", "Bearer wrong", f"Bearer {KEY}x", KEY, "Basic !!!", "Bearer \xe9"):
            assert server.get(models, headers={"Authorization": given.encode("latin-1")}).status_code == 401
        assert server.get(models, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        assert server.get(models, auth=("anybody", KEY)).status_code == 200  # as browsers do
        assert server.get("/metrics").status_code == 401
        assert server.get("/openapi.json").status_code == 401
        assert server.get("/health").status_code == 200
        assert KEY not in server.said
    for content, message in (("", "holds no key"), ("short\n", "16 characters")):
        (tmp_path / "keys").write_text(content)
        with pytest.raises(AsrError, match=message):
            read_keys(tmp_path / "keys")


def test_websockets_are_guarded() -> None:
    """Keys and origins hold for sockets, which browsers open for pages of any site."""

    def fault(service: Service, **headers: str) -> ServiceError | None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/v1/stream", "headers": raw}
        return Access(None, service)._fault(scope)  # type: ignore[arg-type]

    service = Service(Engine({}), keys=(KEY,))
    assert fault(service, host="a") is not None
    assert fault(service, host="a", authorization=f"Bearer {KEY}") is None
    crossing = fault(service, host="a", origin="https://b", authorization=f"Bearer {KEY}")
    assert crossing is not None and crossing.code == "wrong_origin"


def test_phrases_of_a_house(serving_folder: Path, tmp_path: Path) -> None:
    """`--phrases` hold for requests without words of their own."""
    (tmp_path / "commands.txt").write_text("ab\ncé\n")
    with served(serving_folder / "two.onnx", "--phrases", tmp_path / "commands.txt") as server:
        path, model = serving_folder / "7.wav", asr.load(serving_folder / "two.onnx")
        expected = model.transcribe(path, phrases=["ab", "cé"])
        assert post(server, path).json()["posterior"] == round(expected.posterior, 4)
        assert post(server, path, "audio/transcriptions", prompt="ab, cé").json()["text"] == expected.text
        assert "posterior" not in post(server, path, hotwords="ab").json()
    (tmp_path / "commands.txt").write_text("Дом\n")
    result = run_asr("serve", serving_folder / "two.onnx", "--phrases", tmp_path / "commands.txt", "--port", "0")
    assert result.returncode == 1 and "U+0414" in result.stderr and "Traceback" not in result.stderr


def test_a_stop_finishes_what_was_taken(serving_folder: Path) -> None:
    with served(serving_folder / "two.onnx") as server, ThreadPoolExecutor(4) as pool:
        (worker,) = server.workers
        worker.suspend()
        calls = [pool.submit(post, server, serving_folder / f"{number}.wav") for number in range(4)]
        until(lambda: server.taken() == 4)
        server.process.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGTERM)  # as systemd does, to all processes of a service
        until(lambda: refuses(server.url))
        worker.resume()
        assert [call.result().status_code for call in calls] == [200] * 4
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.said


def test_ctrl_c_is_quiet(serving_folder: Path) -> None:
    """A terminal sends SIGINT to all processes."""
    with served(serving_folder / "two.onnx") as server:
        lines = len(server.lines)
        for process in (*server.workers, server.process):
            process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert server.lines[lines:] == []


def test_wrong_calls(serving_folder: Path, tmp_path: Path) -> None:
    model = serving_folder / "two.onnx"
    classifier = Path(__file__).parent / "samples" / "classifier-0.1.safetensors"
    for arguments, message in (
        ([model, model], "has the name 'two'"),
        ([tmp_path / "nothing.onnx"], "no such model file"),
        ([classifier], "asr classify"),
        ([serving_folder / "0.wav"], "0.wav"),
        ([model, "--max-upload", "much"], "--max-upload much"),
        ([model, "--cors", "*"], "--cors *"),
        ([model, "--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
        ([model, "--tls-cert", "x"], "--tls-key"),
        ([model, "--tls-cert", model, "--tls-key", model], "PEM"),
        (["--data", tmp_path / "nothing"], "--data"),
    ):
        result = CliRunner().invoke(app, ["serve", *map(str, arguments)])
        assert isinstance(result.exception, AsrError) and message in str(result.exception)
    assert CliRunner().invoke(app, ["serve"]).exit_code == 2


def test_tls_and_other_computers(serving_folder: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )  # fmt: skip
    model = serving_folder / "two.onnx"
    with served(model, "--host", "0.0.0.0", "--tls-cert", certificate, "--tls-key", key) as server:
        url = server.url.replace("0.0.0.0", "localhost")
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{url}/ready", verify=context, timeout=PATIENCE).status_code == 200
        until(lambda: "whoever reaches this address can use it" in server.said)
        assert "without TLS" not in server.said
    with served(model, "--host", "0.0.0.0") as server:
        until(lambda: "browsers give the microphone only to https and localhost" in server.said)


def test_a_list_of_terms_is_told_from_a_sentence() -> None:
    assert glossary("Okondzi, mwána wó, Brazzaville.") == ("Okondzi", "mwána wó", "Brazzaville")
    assert glossary("one\ntwo\n") == ("one", "two")
    for text in ("", "one", "This is a talk about Mboshi, which people speak in Congo.", "a, " * 60):
        assert glossary(text) == ()


def test_no_torch_and_no_numba(serving_folder: Path) -> None:
    """An exported model by best path loads neither, in the web process and in the model process."""
    model, recording = str(serving_folder / "two.onnx"), str(serving_folder / "0.wav")
    program = (
        "import sys, asr.cli.serving, asr.serving.server, asr.serving.engine.worker\n"
        "from pathlib import Path\n"
        "from asr.serving.engine.messages import Load, Options\n"
        "worker = asr.serving.engine.worker._Worker(None, 1)\n"
        f"worker._load(Load(1, 'two', Path({model!r}), Options()))\n"
        f"worker._models['two'].transcribe({recording!r})\n"
        "print([name for name in ('torch', 'numba', 'scipy', 'matplotlib') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
