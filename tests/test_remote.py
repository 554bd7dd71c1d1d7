"""Files at addresses: S3, HTTP with and without ranges, connections that break, and errors in one clear line."""

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from file_server import FileServer, file_server
from object_storage import s3_bucket

from asr.corpus import remote
from asr.corpus.remote import StorageError, is_url, join, local_copy, open_file, read_file, read_range, send, shown

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote, "_whole_only", set())
    monkeypatch.setenv("ASR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    made.mkdir()
    (made / "a.bin").write_bytes(CONTENT)
    return made


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_bucket() as address:
        yield address


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    with file_server(folder) as found:
        yield found


def test_local_paths(folder: Path) -> None:
    path = folder / "a.bin"
    assert read_range(path, 10, 5) == CONTENT[10:15] and read_range(str(path), 0, 0) == b""
    assert read_file(path) == CONTENT and local_copy(path) == path
    with open_file(path) as file:
        assert file.read(3) == CONTENT[:3]
    for offset, length in ((-1, 5), (0, -1), (len(CONTENT) - 1, 2), (10**18, 1), (0, 10**18)):
        with pytest.raises(
            StorageError, match=r"a\.bin: bytes .* are asked for, but it has 10240 bytes; the file is t"
        ):
            read_range(path, offset, length)
    for missing in (folder / "none", folder, "\0"):
        with pytest.raises(StorageError, match="cannot be read: "):
            read_range(missing, 0, 1)


def test_many_local_files_keep_few_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_files", files := remote._Files())
    for number in range(200):
        (tmp_path / str(number)).write_bytes(bytes([number]))
    for _ in range(2):
        assert [read_range(tmp_path / str(number), 0, 1)[0] for number in range(200)] == list(range(200))
    assert len(files._open) == remote._MOST_OPEN


def test_addresses_are_shown_without_secrets() -> None:
    assert is_url("s3://a/b") and is_url("file:///a") and not is_url("a/b") and not is_url("C:/a")
    assert shown("https://user:word@host/a/b.tar?X-Amz-Signature=abc#x") == "https://host/a/b.tar"
    assert shown(Path("a?b")) == "a?b" and shown("a@b") == "a@b"
    assert join("s3://a/b/", "c.tar") == "s3://a/b/c.tar" and join("a", "c") == os.path.join("a", "c")  # noqa: PTH118
    text = "GET 'https://me:pw@host/x?sig=secret' failed"
    assert remote._without_secrets(text) == "GET 'https://host/x' failed"


def test_http_with_ranges(server: FileServer) -> None:
    url = f"{server.url}/a.bin"
    assert read_range(url, 300, 100) == CONTENT[300:400] and read_file(url) == CONTENT
    assert server.requests == [("/a.bin", "bytes=300-399"), ("/a.bin", None)]
    with pytest.raises(StorageError, match="the server sent 10 bytes; the file is truncated or does not belong"):
        read_range(url, len(CONTENT) - 10, 20)
    with pytest.raises(StorageError, match="the server sent 0 bytes"):
        read_range(url, len(CONTENT) + 10, 20)
    with pytest.raises(StorageError, match=r"none\.bin: no such file or bucket; check the address"):
        read_range(f"{server.url}/none.bin?key=secret", 0, 1)


@pytest.mark.parametrize("breaks", [1, 3, 4])
def test_a_body_that_breaks_off_is_asked_for_again_and_never_short(server: FileServer, breaks: int) -> None:
    for read in (lambda url: read_range(url, 0, 5000), read_file, lambda url: local_copy(url).read_bytes()):
        server.breaks = breaks
        if breaks < 4:
            assert read(f"{server.url}/a.bin") in (CONTENT[:5000], CONTENT)
        else:
            with pytest.raises(StorageError, match=r"a\.bin: cannot be reached .*; check the address and the network"):
                read(f"{server.url}/a.bin")
    assert not list(Path(os.environ["ASR_CACHE"]).glob("*.part"))


def test_a_server_without_ranges_is_copied_once_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file_server(folder, ranges=False) as server:
        url = f"{server.url}/a.bin"
        assert [read_range(url, start, 7) for start in (0, 500, 900)] == [CONTENT[s : s + 7] for s in (0, 500, 900)]
        assert caplog.text.count("the server sends whole files only; they are copied to the cache") == 1
        assert [path for path, _ in server.requests] == ["/a.bin", "/a.bin"]  # asked for a range, then copied


def test_local_copies_are_renewed_when_the_file_changes(server: FileServer, folder: Path) -> None:
    url = f"{server.url}/a.bin"
    first = local_copy(url)
    assert local_copy(url) == first and len(server.requests) == 1
    (folder / "a.bin").write_bytes(CONTENT[::-1])
    assert local_copy(url).read_bytes() == CONTENT[::-1]
    first.write_bytes(b"cut")  # the version is stated beside the copy; a copy of another size is not taken
    assert local_copy(url).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    ("status", "message", "requests"),
    [(403, "access is denied", 1), (503, "the server answers 503", 4), (410, "the server answers 410", 1)],
)
def test_answers_that_are_errors(server: FileServer, status: int, message: str, requests: int) -> None:
    server.status = status
    with pytest.raises(StorageError, match=message):
        read_range(f"{server.url}/a.bin", 0, 5)
    assert len(server.requests) == requests


def test_s3(s3: str, folder: Path) -> None:
    url = f"{s3}/data/a.bin"
    send(folder / "a.bin", url)
    assert read_range(url, 250, 10) == CONTENT[250:260] and read_file(url) == CONTENT
    assert local_copy(url).read_bytes() == CONTENT and not remote.is_missing(url)
    with pytest.raises(StorageError, match="the server sent 10 bytes"):
        read_range(url, len(CONTENT) - 10, 20)
    with pytest.raises(StorageError, match="the server sent 0 bytes"):
        read_range(url, len(CONTENT) + 10, 20)
    for missing in (f"{s3}/none", "s3://no-such-bucket/a"):
        assert remote.is_missing(missing)
        for read in (read_file, lambda url: read_range(url, 0, 4)):
            with pytest.raises(StorageError, match=f"^{missing}: no such file or bucket; check the address$"):
                read(missing)
    with pytest.raises(StorageError, match="no such file or bucket"):
        send(folder / "a.bin", "s3://no-such-bucket/a")
    remote.remove(url)
    assert remote.is_missing(url)


def test_s3_without_credentials(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    system = fsspec.filesystem("s3")
    system.clear_instance_cache()
    try:
        with pytest.raises(StorageError, match=r"access is denied .* the credentials, such as AWS_ACCESS_KEY_ID"):
            read_file(f"{s3}/a")
    finally:
        system.clear_instance_cache()


def test_addresses_that_nothing_opens() -> None:
    with pytest.raises(StorageError, match=r"^foo://a/b: Protocol not known: foo; use s3://, https:// or a path$"):
        read_file("foo://a/b")
    with pytest.raises(StorageError, match="cannot be reached") as error:
        read_range("http://me:word@nowhere.invalid/a?sig=abc", 0, 4)
    assert "word" not in str(error.value) and "abc" not in str(error.value)


def test_memory_of_fsspec() -> None:
    fsspec.filesystem("memory").pipe_file("/d/a", CONTENT)
    assert read_range("memory://d/a", 5, 5) == CONTENT[5:10] and read_file("memory://d/a") == CONTENT
