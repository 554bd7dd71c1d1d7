"""Downloads against a server made here: broken off, wrong, missing, damaged, malicious."""

import hashlib
import io
import random
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from asr.corpus import download
from asr.corpus.download import Archive, DownloadError, extract, fetch, obtain

CONTENT = random.Random(0).randbytes(50_000)


class Server(ThreadingHTTPServer):
    content = b""
    break_after: list[int]  # for each answer in turn, the bytes after which it is cut; then whole answers
    ranges: bool = True
    requests: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.path != "/corpus.tar.gz":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.break_after.pop(0)] if self.server.break_after else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("ASR_CORPORA", raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    made = Server(("127.0.0.1", 0), Handler)
    made.break_after, made.requests = [], []
    made.content = tar({"corpus/a.txt": CONTENT})
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def archive(server: Server, path: str = "/corpus.tar.gz", sha256: str | None = None) -> Archive:
    digest = sha256 or hashlib.sha256(server.content).hexdigest()
    return Archive("corpus", f"http://127.0.0.1:{server.server_address[1]}{path}", digest)


def tar(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            file.addfile(member)
    return buffer.getvalue()


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        folder = obtain(archive(server), tmp_path / "new")
        assert (folder / "corpus" / "a.txt").read_bytes() == CONTENT
    assert server.requests == [None]


def test_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.break_after = [300, 200]
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    assert server.requests == [None, "bytes=300-", "bytes=500-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.break_after, server.ranges = [300], False
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content


def test_a_new_run_goes_on_after_giving_up(server: Server, tmp_path: Path) -> None:
    server.break_after = [10] * 5
    with pytest.raises(DownloadError, match=r"broke off after 0\.0 MB .*run the same command"):
        fetch(archive(server), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    fetch(archive(server), tmp_path / "x")
    assert server.requests[-1] == "bytes=50-"
    fetch(archive(server), tmp_path / "x")


def test_a_whole_draft_left_behind_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(server.content)
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content


def test_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="another SHA-256"):
        fetch(archive(server, sha256="0" * 64), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_missing_and_unreachable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"answers 404 .*--source DIR or ASR_CORPORA"):
        fetch(archive(server, "/elsewhere"), tmp_path / "x")
    with pytest.raises(DownloadError, match="broke off after"):
        fetch(Archive("corpus", "http://127.0.0.1:9/x"), tmp_path / "x")


def test_local_copies_come_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror" / "corpus").mkdir(parents=True)
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "mirror"))
    assert obtain(archive(server), tmp_path / "new") == tmp_path / "mirror" / "corpus"
    assert obtain(archive(server), tmp_path / "new", tmp_path) == tmp_path
    with pytest.raises(DownloadError, match="no such folder"):
        obtain(archive(server), tmp_path / "new", tmp_path / "nothing")
    assert server.requests == []


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


BAD_ARCHIVES = {
    "truncated tar": tar({"a": bytes(range(256)) * 999})[:-100],
    "truncated zip": zipped({"a": bytes(range(256)) * 999})[:-100],
    "no archive": b"<html>busy</html>",
    "tar path out": tar({"../evil.txt": b"x"}),
    "tar link out": tar({}, {"link": "../../evil"}),
    "tar bomb": tar({"a": bytes(10_000_000)}),
    "zip bomb": zipped({"a": bytes(10_000_000)}),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archives_are_refused_and_deleted(name: str, tmp_path: Path) -> None:
    packed = tmp_path / "inner" / "corpus.bin"
    packed.parent.mkdir()
    packed.write_bytes(BAD_ARCHIVES[name])
    with pytest.raises(DownloadError, match="cannot be extracted"):
        extract(packed, tmp_path / "inner" / "out")
    assert not packed.exists() and not (tmp_path / "inner" / "out").exists()
    assert not (tmp_path / "evil.txt").exists() and not (tmp_path / "inner" / "evil.txt").exists()


def test_zip_members_cannot_leave_the_folder(tmp_path: Path) -> None:
    packed = tmp_path / "corpus.zip"
    packed.write_bytes(zipped({"../evil.txt": b"x", "good.txt": b"y"}))
    extract(packed, tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()
    assert (tmp_path / "out" / "good.txt").read_bytes() == b"y"
