"""Downloads from a local test server: interrupted, wrong, missing, damaged and malicious archives."""

import bz2
import gzip
import hashlib
import io
import lzma
import random
import shutil
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import largest_file
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.corpus import download
from asr.corpus.download import Archive, DamagedArchiveError, DownloadError, extract, fetch, obtain

CONTENT = random.Random(0).randbytes(50_000)


class Server(ThreadingHTTPServer):
    content = b""
    version: dict[str, str]  # header fields with the version of the content
    answers: list[int]  # status of each request in turn; after the last one, 200
    break_after: list[int]  # bytes after which each answer in turn is cut; after the last one, answers are whole
    ranges: bool = True  # False: the server ignores Range headers
    length: bool = True  # False: the server sends no Content-Length
    pause = 0.0  # seconds between pieces of 100 bytes
    shift = 0  # bytes by which the server's Content-Range is wrong
    requests: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted)
        if self.path != "/corpus.tar.gz":
            self.send_error(404)
            return
        if server.answers and (status := server.answers.pop(0)) != 200:
            self.send_error(status)
            return
        unchanged = self.headers.get("If-Range") in (None, *server.version.values())
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges and unchanged else 0
        whole = len(server.content)
        if start >= whole:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{whole}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        for name, value in server.version.items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start + server.shift}-{whole - 1}/{whole}")
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.pause:
            for place in range(0, len(body), 100):
                self.wfile.write(body[place : place + 100])
                threading.Event().wait(server.pause)  # time.sleep is replaced
            return
        self.wfile.write(body[: server.break_after.pop(0)] if server.break_after else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("ASR_CORPORA", raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    made = Server(("127.0.0.1", 0), Handler)
    made.break_after, made.requests, made.answers, made.version = [], [], [], {}
    made.content = tar({"corpus/a.txt": CONTENT})
    threading.Thread(target=made.serve_forever, args=[0.01], daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def archive(
    server: Server, path: str = "/corpus.tar.gz", checksum: str | None = "", size: int | None = None
) -> Archive:
    """Return the archive of the server, with its SHA-256 unless another checksum is given."""
    if checksum == "":
        checksum = "sha256:" + hashlib.sha256(server.content).hexdigest()
    return Archive(f"http://127.0.0.1:{server.server_address[1]}{path}", checksum, size)


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


def test_downloads_once_and_keeps_one_copy(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        folder = obtain("corpus", [archive(server)], tmp_path / "new")
        assert [path.read_bytes() for path in folder.glob("**/corpus/a.txt")] == [CONTENT]
    assert server.requests == [None]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["unpacked"]


def test_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.break_after = [300, 200]
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    assert server.requests == [None, "bytes=300-", "bytes=500-"]


@pytest.mark.parametrize("known", [True, False])
def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path, known: bool) -> None:
    server.break_after, server.ranges = [300], False
    fetch(archive(server, checksum="" if known else None), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content


def test_without_version_and_checksum_parts_are_not_pieced_together(server: Server, tmp_path: Path) -> None:
    server.break_after = [300]
    fetch(archive(server, checksum=None), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    assert server.requests == [None, None]


@pytest.mark.parametrize(
    "names",
    [("ETag", '"one"', '"two"'), ("Last-Modified", "Mon, 19 Feb 2018 00:00:00 GMT", "Tue, 20 Feb 2018 00:00:00 GMT")],
)
@pytest.mark.parametrize("changes", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    server: Server, tmp_path: Path, names: tuple[str, str, str], changes: bool
) -> None:
    field, first, second = names
    server.version, server.break_after = {field: first}, [300] * 5
    with pytest.raises(DownloadError, match="stopped after"):
        fetch(archive(server, checksum=None), tmp_path / "x")
    if changes:
        server.content, server.version = server.content[::-1], {field: second}
    fetch(archive(server, checksum=None), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    assert server.requests[:2] == [None, "bytes=300-"] and server.requests[-1] == "bytes=1500-"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_weak_etag_names_no_bytes(server: Server, tmp_path: Path) -> None:
    server.version, server.break_after = {"ETag": 'W/"one"'}, [300]
    fetch(archive(server, checksum=None), tmp_path / "x")
    assert server.requests == [None, None]


def test_another_part_than_asked_for_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.break_after, server.shift = [300], 1
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    assert server.requests == [None, "bytes=300-", None]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.answers = [503, 429]
    fetch(archive(server), tmp_path / "x")
    server.answers = [503] * 5
    with pytest.raises(DownloadError, match="the server answers 503"):
        fetch(archive(server), tmp_path / "y")


def test_a_new_run_goes_on_after_giving_up(server: Server, tmp_path: Path) -> None:
    server.break_after = [10] * 5
    with pytest.raises(DownloadError, match=r"stopped after 0\.0 MB .*run the same command"):
        fetch(archive(server), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    fetch(archive(server), tmp_path / "x")
    assert server.requests[-1] == "bytes=50-"
    fetch(archive(server), tmp_path / "x")


@pytest.mark.parametrize("checksum", ["", None])
def test_a_whole_draft_left_behind_is_used(server: Server, tmp_path: Path, checksum: str | None) -> None:
    server.version = {"ETag": '"one"'}
    (tmp_path / "x.part").write_bytes(server.content)
    (tmp_path / "x.part.version").write_text('"one"')
    fetch(archive(server, checksum=checksum), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content
    (tmp_path / "y.part").write_bytes(server.content)
    fetch(archive(server, size=len(server.content)), tmp_path / "y")
    assert server.requests == [f"bytes={len(server.content)}-"]


def test_a_draft_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.version = {"ETag": '"one"'}
    (tmp_path / "x.part").write_bytes(bytes(len(server.content) + 1))
    (tmp_path / "x.part.version").write_text('"one"')
    fetch(archive(server, checksum=None), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content


def test_wrong_checksum_or_size_leaves_nothing(server: Server, tmp_path: Path) -> None:
    md5 = "md5:" + hashlib.md5(server.content).hexdigest()
    fetch(archive(server, checksum=md5), tmp_path / "good")
    (tmp_path / "good").unlink()
    for wrong in ("sha256:" + "0" * 64, md5[:-1] + "g"):
        with pytest.raises(
            DownloadError, match=f"the {wrong[:3].upper()}.*, not {wrong.split(':')[1]}, and was deleted"
        ):
            fetch(archive(server, checksum=wrong), tmp_path / "x")
    with pytest.raises(DownloadError, match="is longer than the 7 bytes"):
        fetch(archive(server, checksum=None, size=7), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_an_end_that_no_length_announces_is_found_by_the_archive(server: Server, tmp_path: Path) -> None:
    server.break_after, server.length = [len(server.content) - 3], False
    with pytest.raises(DownloadError, match=r"cannot be extracted .*was deleted: run the command again"):
        obtain("corpus", [archive(server, checksum=None)], tmp_path)
    obtain("corpus", [archive(server, checksum=None)], tmp_path)


def test_missing_and_unreachable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"answers 404 .*--source or ASR_CORPORA"):
        fetch(archive(server, "/elsewhere"), tmp_path / "x")
    with pytest.raises(DownloadError, match="stopped after"):
        fetch(Archive("http://127.0.0.1:9/x"), tmp_path / "x")


def test_full_disk_while_downloading(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with largest_file(20_000), pytest.raises(DownloadError, match=r"x\.part: cannot be written .*make room"):
        fetch(archive(server), tmp_path / "x")
    assert len(server.requests) == 1 and not (tmp_path / "x").exists()
    fetch(archive(server), tmp_path / "x")
    assert server.requests[-1] == "bytes=20000-"

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadError, match=r"are missing, but .* has room for 0\.0 MB"):
        fetch(archive(server), tmp_path / "y")


def test_full_disk_while_extracting_keeps_the_archive(server: Server, tmp_path: Path) -> None:
    fetch(archive(server), tmp_path / "corpus.tar.gz")
    with largest_file(20_000), pytest.raises(DownloadError, match=r"cannot be written .*make room"):
        obtain("corpus", [archive(server)], tmp_path)
    assert [path.name for path in tmp_path.glob("**/*")] == ["corpus.tar.gz", "unpacked"]
    obtain("corpus", [archive(server)], tmp_path)
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_written_is_no_broken_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(archive(server), tmp_path / "file" / "x")
    assert server.requests == []


def test_local_copies_come_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror" / "corpus").mkdir(parents=True)
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "mirror"))
    official = [archive(server)]
    assert obtain("corpus", official, tmp_path / "new") == tmp_path / "mirror" / "corpus"
    assert obtain("corpus", official, tmp_path / "new", tmp_path) == tmp_path
    with pytest.raises(DownloadError, match="no such folder"):
        obtain("corpus", official, tmp_path / "new", tmp_path / "nothing")
    assert server.requests == []


def test_a_local_archive_is_extracted_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.tgz").write_bytes(tar({"a.txt": CONTENT}))
    for _ in range(2):
        folder = obtain("corpus", [], tmp_path / "new", tmp_path / "mine.tgz")
        assert (folder / "a.txt").read_bytes() == CONTENT
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4")
    with pytest.raises(DownloadError, match="cannot be extracted"):
        obtain("corpus", [], tmp_path / "new", tmp_path / "bad.zip")
    assert (tmp_path / "bad.zip").exists()


@pytest.mark.parametrize("name", ["data.tar", "data.tar.gz", "data.tar.xz"])
def test_the_files_of_a_debian_package(name: str, tmp_path: Path) -> None:
    """Its name has no suffix in the folder; members before the files have odd and even sizes."""
    files = gzip.decompress(tar({"./usr/share/doc/a.txt": CONTENT}))
    packed = {"data.tar": files, "data.tar.gz": gzip.compress(files), "data.tar.xz": lzma.compress(files)}[name]
    (tmp_path / "words_1.6.1-1_all.deb").write_bytes(deb(packed, name))
    folder = obtain("corpus", [], tmp_path / "new", tmp_path / "words_1.6.1-1_all.deb")
    assert folder.name == "words_1.6.1-1_all"
    assert [path.read_bytes() for path in folder.glob("**/*.txt")] == [CONTENT]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def far_future() -> bytes:
    member = tarfile.TarInfo("a")
    member.mtime = 10**20
    return member.tobuf() + bytes(1024)


SPEECH = {f"corpus/{number}.wav": random.Random(number).randbytes(3000) for number in range(10)}


def deb(files: bytes, name: str = "data.tar.gz", size: str | None = None) -> bytes:
    """A Debian package (deb(5)): an ar archive with a version, a tar of control files and a tar of files."""

    def member(name: str, content: bytes, size: str | None = None) -> bytes:
        fields = f"{name:<16}{'0':<12}{'0':<6}{'0':<6}{'100644':<8}{size or len(content):<10}`\n"
        return fields.encode() + content + b"\n" * (len(content) % 2)

    members = member("debian-binary", b"2.0\n"), member("control.tar.xz", b"odd"), member(name, files, size)
    return b"!<arch>\n" + b"".join(members)


BAD_ARCHIVES = {
    "package path out": deb(tar({"../evil.txt": b"x"})),
    "package link out": deb(tar({}, {"./link": "/etc"})),
    "package bomb": deb(tar({"a": bytes(10_000_000)})),
    "truncated package": deb(tar(SPEECH))[:-100],
    "package that ends in a header": deb(tar(SPEECH))[:100],
    "package of zstd": deb(b"\x28\xb5\x2f\xfd", "data.tar.zst"),
    "package without files": deb(tar(SPEECH), "other"),
    "package of a negative size": deb(tar(SPEECH), size="-1"),
    "package of an enormous size": deb(tar(SPEECH), size="9999999999"),
    "truncated tar": tar(SPEECH)[:-100],
    "truncated in its checksum": tar(SPEECH)[:-6],
    "truncated zip": zipped(SPEECH)[:-100],
    "no archive": b"<html>busy</html>",
    "empty": b"",
    "tar path out": tar({"../evil.txt": b"x"}),
    "tar link out": tar({}, {"link": "../../evil"}),
    "tar link inside, then through it": tar({"link/evil.txt": b"x"}, {"link": ".."}),
    "tar bomb": tar({"a": bytes(10_000_000)}),
    "tar bomb after its end": tar({"a": b"x"}) + gzip.compress(bytes(10_000_000)),
    "tar of the far future": far_future(),
    "tar name too long": tar({"x" * 300: b"x"}),
    "zip bomb": zipped({"a": bytes(10_000_000)}),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archives_leave_nothing(name: str, tmp_path: Path) -> None:
    packed = tmp_path / "inner" / "corpus.bin"
    packed.parent.mkdir()
    packed.write_bytes(BAD_ARCHIVES[name])
    with pytest.raises(DamagedArchiveError, match="cannot be extracted"):
        extract(packed, tmp_path / "inner" / "out")
    assert [path.name for path in tmp_path.glob("**/*")] == ["inner", "corpus.bin"]


def test_absolute_paths_land_inside(tmp_path: Path) -> None:
    (tmp_path / "corpus.tar").write_bytes(tar({f"{tmp_path}/evil.txt": b"x"}))
    extract(tmp_path / "corpus.tar", tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()
    assert [path.name for path in (tmp_path / "out").glob("**/*.txt")] == ["evil.txt"]


def test_zip_members_cannot_leave_the_folder(tmp_path: Path) -> None:
    packed = tmp_path / "corpus.zip"
    packed.write_bytes(zipped({"../evil.txt": b"x", "good.txt": b"y"}))
    extract(packed, tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()
    assert (tmp_path / "out" / "good.txt").read_bytes() == b"y"


def test_leavings_of_an_interrupted_run_are_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "old.txt").touch()
    (tmp_path / "corpus.tar").write_bytes(tar({"new.txt": b"x"}))
    extract(tmp_path / "corpus.tar", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new.txt"]


PACKERS = {
    "tar": lambda: gzip.decompress(tar(SPEECH)),
    "gz": lambda: tar(SPEECH),
    "bz2": lambda: bz2.compress(gzip.decompress(tar(SPEECH))),
    "xz": lambda: lzma.compress(gzip.decompress(tar(SPEECH))),
    "zip": lambda: zipped(SPEECH),
    "deb": lambda: deb(tar(SPEECH)),
}


@pytest.mark.parametrize("kind", PACKERS)
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4), end=st.floats(0, 1)
)
def test_damage_anywhere_is_an_error_or_harmless(
    kind: str, changes: list[tuple[float, int]], end: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(kind)
    content = bytearray(PACKERS[kind]())
    for position, value in changes:
        content[int(position * len(content))] = value
    (folder / "packed").write_bytes(content if end > 0.5 else content[: int(2 * end * len(content))])
    try:
        extract(folder / "packed", folder / "out")
    except DownloadError:
        assert not (folder / "out").exists()
    assert {path.name for path in folder.iterdir()} <= {"packed", "out"}


def test_a_download_stops_at_the_stated_size(server: Server, tmp_path: Path) -> None:
    """A server without a length could send for ever."""
    server.length, server.content = False, bytes(3_000_000)
    stated = archive(server, checksum=None, size=1000)
    with largest_file(1000 + 2 * download._CHUNK), pytest.raises(DownloadError, match="longer than the 1000 bytes"):
        fetch(stated, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_trickle_is_a_stall(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_STALL", 0.05)
    server.pause = 0.02
    with pytest.raises(DownloadError, match=r"stopped after .*fewer than 60000 bytes came in"):
        fetch(archive(server), tmp_path / "x")
    server.pause = 0.0
    fetch(archive(server), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == server.content


def header(kind: bytes, size: int) -> bytes:
    """The block of a tar archive before `size` bytes of another header."""
    block = tarfile.TarInfo("h")
    block.type, block.size = kind, size
    return block.tobuf(tarfile.GNU_FORMAT)


def test_headers_count_towards_the_limit(tmp_path: Path) -> None:
    """Extended headers (pax), GNU names and maps of sparse files are read into memory."""
    pieces = {
        "pax": header(tarfile.XHDTYPE, 300_000_000) + bytes(2_000_000),
        "global": header(tarfile.XGLTYPE, 300_000_000) + bytes(2_000_000),
        "name": header(tarfile.GNUTYPE_LONGNAME, 300_000_000) + bytes(2_000_000),
        "many": header(tarfile.GNUTYPE_LONGNAME, 1024) * 900_000,
    }
    for name, content in pieces.items():
        packed = tmp_path / f"{name}.tar.gz"
        packed.write_bytes(gzip.compress(content, 1))
        tracemalloc.start()
        with pytest.raises(DamagedArchiveError, match=r"headers of more than 1 MB|recursion"):
            extract(packed, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
    block = 10 * tarfile.BLOCKSIZE
    entries = b"".join(
        header(tarfile.XHDTYPE, block) + bytes(block) + tarfile.TarInfo(f"f{number}").tobuf() for number in range(1500)
    )
    packed = tmp_path / "between.tar.gz"
    packed.write_bytes(gzip.compress(entries))
    with pytest.raises(DamagedArchiveError, match="is larger than"):
        extract(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


APT = """#!/bin/sh
echo "$@" > called
[ "$3" = "tones=1.0-1" ] || { echo "W: old" >&2; echo "E: Version '1.0-2' for 'tones' was not found" >&2; exit 100; }
printf package > tones_1.0-1_all.deb
"""


def test_packages_are_downloaded_by_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for apt-get: the arguments it gets, a version it lacks, other bytes, and a system without it."""
    command = tmp_path / "bin" / "apt-get"
    command.parent.mkdir()
    command.write_text(APT)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    checksum = f"sha256:{hashlib.sha256(b'package').hexdigest()}"
    path = tmp_path / "download" / "tones_1.0-1_all.deb"
    fetch(Archive("apt:tones_1.0-1_all.deb", checksum, 7), path)
    assert path.read_bytes() == b"package"
    assert (path.parent / "called").read_text() == "--quiet download tones=1.0-1\n"
    with pytest.raises(DownloadError, match=r"apt-get says: E: Version '1.0-2' .* not found; try: apt-get update"):
        fetch(Archive("apt:tones_1.0-2_all.deb", checksum, 7), tmp_path / "download" / "tones_1.0-2_all.deb")
    path.unlink()
    with pytest.raises(DownloadError, match="is 7 bytes long, not 8, and was deleted"):
        fetch(Archive("apt:tones_1.0-1_all.deb", checksum, 8), path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match=r"has no apt-get; .* or download tones_1.0-1_all.deb by other means"):
        fetch(Archive("apt:tones_1.0-1_all.deb", checksum, 7), path)
    assert not path.exists()
