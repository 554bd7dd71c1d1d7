"""Models at addresses of the hub, with its real client and a stand-in for its server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import soundfile
from conftest import RATE, REPOSITORY, fresh_recognizer, spell
from hub_server import TOKEN, Hub, Repository, environment, running_hub, use
from typer.testing import CliRunner

import asr
from asr.cli import app
from asr.cli.serving import named_models
from asr.errors import AsrError, ModelFileError
from asr.exporting.onnx import to_onnx
from asr.hub import Address, HubError, address_of, is_address, local_file, parse_address, upload

SAMPLES = REPOSITORY / "tests" / "samples"
HASH = "a" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub with the public repository anna/tones: one model in two forms, and a card."""
    with running_hub() as server:
        use(server, tmp_path / "cache", monkeypatch)
        server.repositories["anna/tones"] = Repository()
        files = {f"model.{kind}": (SAMPLES / f"recogniser-0.1.{kind}").read_bytes() for kind in ("safetensors", "onnx")}
        server.repositories["anna/tones"].commit({**files, "README.md": b"---\nlibrary_name: asr\n---\n"})
        yield server


def newest(hub: Hub, name: str = "anna/tones") -> str:
    return next(reversed(hub.repositories[name].commits))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://anna/tones", Address("anna/tones")),
        ("hf:/anna/tones", Address("anna/tones")),  # what pathlib makes of it
        (f"hf://anna/tones@{HASH}", Address("anna/tones", HASH)),
        ("hf://anna/t.o-n_es@v1.0/sub/model.onnx", Address("anna/t.o-n_es", "v1.0", "sub/model.onnx")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert is_address(text) and parse_address(text) == address
    assert parse_address(str(address)) == address
    assert address.is_pinned == (address.revision == HASH)


def test_an_address_stays_one_as_a_path() -> None:
    for path in (Path("hf://anna/tones"), PureWindowsPath("hf://anna/tones")):
        assert is_address(path) and parse_address(path) == Address("anna/tones")


@pytest.mark.parametrize(
    "text",
    ["hf://", "hf://anna", "hf://../tones", "hf://anna/tones@", "hf://anna/tones@a/b@c", "hf://anna/tones/../x.onnx",
     "hf://anna/tones/README.md", "hf://anna/tones//model.onnx", "hf://anna/to nes", "hf://-a/b", "hf://datasets/a/b",
     "hf://anna/tones/.x.onnx", "hf://anna/tönes", "hf://anna/tones\n"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(HubError, match=r"is no address of a model|must end with a model file"):
        parse_address(text)


@pytest.mark.parametrize("path", ["model.safetensors", "/hf:/anna", "xhf://anna/tones", Path("hf/anna"), ""])
def test_paths_are_no_addresses(path: str | Path) -> None:
    assert not is_address(path)


def test_load_takes_the_file_that_is_needed_and_says_which_revision(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    model = asr.load("hf://anna/tones", "cpu")
    assert isinstance(model, asr.Recognizer)
    assert hub.downloads == ["model.safetensors"]
    assert f"revision {newest(hub)}; to get equal bytes every time, name hf://anna/tones@{newest(hub)}" in caplog.text
    expected = asr.load(SAMPLES / "recogniser-0.1.safetensors", "cpu")
    sound = spell("abc", np.random.default_rng(0)).astype(np.float32)
    assert model.transcribe(sound, RATE) == expected.transcribe(sound, RATE)


def test_a_cached_file_knows_its_address(hub: Hub, tmp_path: Path) -> None:
    """So the next command is short, and nothing is written into the cache."""
    soundfile.write(tmp_path / "x.wav", spell("abc", np.random.default_rng(0)), RATE)
    pinned = f"hf://anna/tones@{newest(hub)}"
    for address in (pinned, f"{pinned}/model.onnx"):
        assert str(address_of(local_file(address))) == address
        result = CliRunner().invoke(app, ["transcribe", address, str(tmp_path / "x.wav")])
        assert f"next: asr transcribe {address} {tmp_path / 'x.wav'}" in result.stderr
    assert address_of(tmp_path / "model.safetensors") is None
    for command in (["card", pinned], ["tune", pinned, "v.jsonl"]):
        with pytest.raises(
            AsrError, match=r"lies in a cache, beside which nothing is written; name the file .* with -o"
        ):
            raise CliRunner().invoke(app, command).exception or AssertionError
    assert CliRunner().invoke(app, ["card", pinned, "-o", str(tmp_path / "card.md")]).exit_code == 0


def test_the_service_names_models_by_their_repositories(hub: Hub) -> None:
    named = named_models([Path("hf://anna/tones/model.onnx")])
    assert list(named) == ["tones"] and named["tones"].name == "model.onnx"


def test_a_named_file(hub: Hub) -> None:
    assert isinstance(asr.load("hf://anna/tones/model.onnx"), asr.ExportedRecognizer)
    assert hub.downloads == ["model.onnx"]


def test_a_pinned_model_in_the_cache_needs_no_request(hub: Hub) -> None:
    address = f"hf://anna/tones@{newest(hub)}"
    first = local_file(address)
    hub.requests.clear()
    assert local_file(address) == first and hub.requests == []


def test_a_pinned_model_stays_and_an_unpinned_one_follows(hub: Hub) -> None:
    before = newest(hub)
    old = local_file(f"hf://anna/tones@{before}").read_bytes()
    hub.repositories["anna/tones"].commit({"model.safetensors": (SAMPLES / "classifier-0.1.safetensors").read_bytes()})
    assert local_file(f"hf://anna/tones@{before}").read_bytes() == old
    assert isinstance(asr.load("hf://anna/tones", "cpu"), asr.Classifier)


@pytest.mark.parametrize("fault", ["offline", "down", "gone"])
def test_what_is_cached_works_without_the_hub(
    hub: Hub, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    local_file("hf://anna/tones")
    if fault == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    elif fault == "down":
        hub.status = 503
    else:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    caplog.clear()
    assert local_file("hf://anna/tones").name == "model.safetensors"
    assert f"the hub cannot be reached; the copy of {newest(hub)} is taken" in caplog.text


@pytest.mark.parametrize(
    ("address", "prepare", "message"),
    [
        ("hf://anna/none", {}, "hf://anna/none: no such repository, or it is private; check the name, or log in"),
        ("hf://anna/tones", {"private": True}, "no such repository, or it is private"),
        ("hf://anna/tones", {"gated": True}, "its owner asks for consent; agree on the page of the repository"),
        (f"hf://anna/tones@{HASH}", {}, f"the repository has no revision {HASH}; leave it out for the newest"),
        ("hf://anna/tones/other.onnx", {}, "the repository has no such file; it has model.safetensors, model.onnx"),
        ("hf://anna/empty", {}, "has no model of asr (.safetensors or .onnx); it has README.md"),
        ("hf://anna/two", {}, "has several models, a.onnx, b.onnx; name one: hf://anna/two/a.onnx"),
        ("hf://anna/foreign", {}, "model.safetensors is safetensors of another program; asr cannot use it"),
        ("hf://anna/large", {}, "large.onnx has 5000000000 bytes, and a model has at most 4000000000"),
        ("hf://anna/damaged", {}, "hf://anna/damaged (model.onnx): is damaged or no ONNX file; copy it again"),
        ("hf://anna/tones", {"status": 500}, "the hub answers 500 Internal Server Error; try later"),
        ("hf://anna/tones", {"status": 429}, "the hub answers no more requests for now; try again in some minutes"),
        ("hf://anna/tones", {"offline": True}, "is not in the cache, and HF_HUB_OFFLINE forbids to download it"),
        ("hf://anna/tones", {"endpoint": "http://127.0.0.1:9"}, "the hub cannot be reached ("),
    ],
)  # fmt: skip
def test_errors_of_loading(
    hub: Hub, address: str, prepare: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = b'{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    foreign = len(foreign).to_bytes(8, "little") + foreign + bytes(4)
    hub.sizes["large.onnx"] = 5_000_000_000
    for name, files in {
        "empty": {"README.md": b""},
        "two": {"a.onnx": b"", "b.onnx": b"", "README.md": b""},
        "foreign": {"model.safetensors": foreign},
        "large": {"large.onnx": b"1"},
        "damaged": {"model.onnx": b"not an exported model"},
    }.items():
        hub.repositories[f"anna/{name}"] = Repository()
        hub.repositories[f"anna/{name}"].commit(files)
    repository = hub.repositories["anna/tones"]
    repository.private, repository.gated = bool(prepare.get("private")), bool(prepare.get("gated"))
    if isinstance(status := prepare.get("status"), int):
        hub.status = status
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", bool(prepare.get("offline")))
    if "endpoint" in prepare:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", prepare["endpoint"])
    result = CliRunner().invoke(app, ["info", address])
    assert isinstance(result.exception, AsrError)
    assert message in str(result.exception) and "\n" not in str(result.exception)
    if "damaged" not in address:
        assert hub.downloads == []  # nothing is downloaded that cannot be used


def test_without_torch_the_exported_model_is_taken(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.hub.find_spec", lambda name: None)
    assert local_file("hf://anna/tones").name == "model.onnx"
    del hub.repositories["anna/tones"].commits[newest(hub)]["model.onnx"]
    hub.repositories["anna/only"] = Repository()
    hub.repositories["anna/only"].commit({"model.safetensors": b""})
    with pytest.raises(
        HubError, match=r"has no exported model \(\.onnx\), and model.safetensors needs PyTorch: pip inst"
    ):
        local_file("hf://anna/only")


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(AsrError, match=r"hf://anna/tones needs the client of the Hugging Face hub, .*own-asr\[hub\]"):
        local_file("hf://anna/tones")


def test_a_token_opens_a_private_model_and_a_wrong_one_is_named_but_not_shown(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["anna/tones"].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="the hub does not accept the token, or there is none; log in") as caught:
        local_file("hf://anna/tones")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert local_file("hf://anna/tones").is_file()


def test_the_command_line_without_torch(hub: Hub, tmp_path: Path) -> None:
    """A process of its own: the environment leads the client to the hub, and PyTorch is never imported."""
    soundfile.write(tmp_path / "x.wav", spell("abc", np.random.default_rng(0)), RATE)
    hub.repositories["anna/small"] = Repository()
    hub.repositories["anna/small"].commit({"model.onnx": to_onnx(fresh_recognizer("abc "))})
    program = "import sys; sys.modules['torch'] = None; from asr.cli import main; main()"
    command = [sys.executable, "-c", program, "transcribe", f"hf://anna/small@{newest(hub, 'anna/small')}", "x.wav"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environment(hub, tmp_path / "home")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "small.onnx").write_bytes(hub.repositories["anna/small"].files("main")[1]["model.onnx"])  # type: ignore[index]
    assert done.stdout == asr.load(tmp_path / "small.onnx").transcribe(tmp_path / "x.wav").text + "\n"


def test_nobody_who_loads_a_file_imports_the_client(tmp_path: Path) -> None:
    program = (
        "import sys, asr; asr.load(sys.argv[1]); "
        "assert not {'huggingface_hub', 'torch', 'httpx'} & sys.modules.keys(), 'imported'"
    )
    (tmp_path / "small.onnx").write_bytes(to_onnx(fresh_recognizer("abc ")))
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "small.onnx"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_upload_is_one_commit_in_a_private_repository(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    files = {"README.md": b"# A model\n", "model.safetensors": b"weights"}
    address = upload("anna/new", files, public=False, message="one")
    made = hub.repositories["anna/new"]
    assert made.private and list(made.commits.values()) == [files]
    assert address == Address("anna/new", newest(hub, "anna/new"))
    assert "hf://anna/new: Warnings while validating metadata in README.md: - no license is stated" in caplog.text
    upload("hf://anna/new", {"README.md": b"# Another\n"}, public=False, message="two")
    assert len(made.commits) == 2 and made.files("main")[1]["model.safetensors"] == b"weights"  # type: ignore[index]


def test_upload_makes_nothing_public_by_accident(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    commits = dict(hub.repositories["anna/tones"].commits)
    with pytest.raises(HubError, match="hf://anna/tones: is public: all can read what is written there; add --public"):
        upload("anna/tones", {"README.md": b"secret"}, public=False, message="no")
    assert hub.repositories["anna/tones"].commits == commits
    upload("anna/tones", {"README.md": b"# For all\n"}, public=True, message="yes")
    upload("anna/open", {"README.md": b"# For all\n"}, public=True, message="yes")
    assert not hub.repositories["anna/open"].private
    hub.repositories["anna/open"].private = True
    upload("anna/open", {"README.md": b"# Not for all\n"}, public=True, message="yes")
    assert "hf://anna/open: is private, and stays so" in caplog.text


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        (
            None,
            "anna/new",
            "the hub does not accept the token, or there is none; log in with `hf auth login`, or set HF_",
        ),
        ("hf_wrong", "anna/new", "the hub does not accept the token"),
        (TOKEN, "others/new", "the token does not allow this; make one that may write there"),
        (TOKEN, "new", "is no address of a model; write hf://USER/NAME"),
        (TOKEN, "anna/new@main", "is no name of a repository; write USER/NAME"),
        (TOKEN, "hf://anna/new/model.onnx", "is no name of a repository; write USER/NAME"),
    ],
)
def test_errors_of_upload(
    hub: Hub, token: str | None, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as caught:
        upload(name, {"README.md": b"x"}, public=False, message="no")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert set(hub.repositories) == {"anna/tones"}


def test_what_the_hub_refuses_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for files, message in (
        ({"README.md": b"---\nlicense: none\n---\n"}, '"license" must be one of [apache-2.0, …]; correct it, and try'),
        ({"model.onnx": b"1"}, "the hub answers 507 Insufficient Storage; try later"),
    ):
        hub.full = "model.onnx" in files
        with pytest.raises(HubError) as caught:
            upload("anna/new", files, public=False, message="no")
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert hub.repositories["anna/new"].commits == {}


def test_the_page_of_a_proxy_is_no_hub(hub: Hub) -> None:
    hub.page = b"<html>Please log in to this network</html>"
    with pytest.raises(HubError, match="the answer is none of a hub; check HF_ENDPOINT, proxies and the network"):
        local_file("hf://anna/tones")


def test_a_hostile_file_is_refused_as_any_model_file(hub: Hub) -> None:
    content = bytearray((SAMPLES / "recogniser-0.1.safetensors").read_bytes())
    hub.repositories["anna/hostile"] = Repository()
    hub.repositories["anna/hostile"].commit({"model.safetensors": bytes(content[:-4])})
    with pytest.raises(ModelFileError, match=r"hf://anna/hostile \(model.safetensors\): is damaged"):
        asr.load("hf://anna/hostile")
