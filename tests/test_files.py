"""Files are written whole or not at all, under draft names of their own; errors name the file and the cure."""

import errno
import os
import threading
from pathlib import Path

import pytest
from conftest import largest_file

from asr.corpus.manifest import manifest_in_parts, read_manifest
from asr.errors import AsrError, OutputError
from asr.files import require_file, require_folder, whole_file, write_whole
from asr.utterance import Utterance


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_folders_are_made_and_an_older_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    write_whole(path, b"one", memoryview(b" two"))
    write_whole(path, b"three")
    assert path.read_bytes() == b"three" and names(tmp_path) == ["a", "b", "x.txt"]


def test_a_disk_that_is_full_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write_whole(path, b"older")
    with (
        largest_file(20_000),
        pytest.raises(OutputError, match=r"x\.bin: cannot be written: File too large; the limit"),
    ):
        write_whole(path, b"x" * 30_000)
    assert path.read_bytes() == b"older" and names(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, FileNotFoundError])
def test_an_error_of_the_caller_is_not_taken_for_one_of_the_file(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error) as caught, whole_file(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    assert not isinstance(caught.value, AsrError) and names(tmp_path) == []


def test_programs_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    """Two writers have a draft each, and the file that is renamed last is whole."""
    path, start = tmp_path / "x", threading.Barrier(2)

    def write(letter: bytes) -> None:
        with whole_file(path) as file:
            for _ in range(100):
                file.write(letter * 1000)
                file.flush()
            start.wait(60)
            assert len(list(tmp_path.glob("x.*.part"))) == 2 or path.exists()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000) and names(tmp_path) == ["x"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "x")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "x").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="this system has no pipes with names")
def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(60)
    assert read == [b"through"] and pipe.is_fifo()


def test_the_longest_names_have_drafts_too(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".txt", "ŋ" * 125 + ".txt"):
        write_whole(tmp_path / name, b"")
        assert (tmp_path / name).is_file()


def test_what_cannot_be_written_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path, message in (
        (tmp_path / "file" / "x", "a part of this path is a file, not a folder"),
        (tmp_path / "file" / "y" / "x", "a part of this path is a file, not a folder"),
        (tmp_path / "folder", "this is a folder; name a file"),
        (tmp_path / ("x" * 256), "choose a shorter name"),
    ):
        for check in (write_whole, require_file):
            with pytest.raises(OutputError) as caught:
                check(path)
            assert "cannot be written: " in str(caught.value) and message in str(caught.value)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: (tmp_path / "gone" / "x").open("xb"))
    with pytest.raises(OutputError, match="folder: cannot be written: No such file"):
        require_folder(tmp_path / "folder")


def test_an_output_error_is_an_oserror_in_one_line() -> None:
    error = OutputError(errno.ENOSPC, "No space left on device", "out/\x1b[31m\nx")
    assert isinstance(error, OSError) and error.ends_all and error.errno == errno.ENOSPC
    assert str(error).startswith("out/\\x1b[31m\nx: cannot be written: No space left on device; make room")


def test_the_lines_of_a_manifest_are_kept_where_it_is_not_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("older")
    with largest_file(1000), pytest.raises(OutputError, match=r"rows\.jsonl: cannot be written"):  # noqa: SIM117
        with manifest_in_parts(path) as add:
            for number in range(100):
                add(Utterance(f"id {number}", tmp_path / "x.wav"))
    (draft,) = tmp_path.glob("rows.jsonl.*.part")
    assert path.read_text() == "older"
    assert f"{path}: was not completed; the lines so far are in {draft}" in capsys.readouterr().err
    kept = read_manifest(draft.rename(tmp_path / "kept.jsonl"))
    assert [row.id for row in kept] == [f"id {number}" for number in range(len(kept))] and 10 < len(kept) < 30


def test_a_manifest_without_a_line_leaves_no_draft(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), manifest_in_parts(tmp_path / "rows.jsonl"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_line_of_an_error_is_cut() -> None:
    """A damaged file can hold a name of any length; paths, at most 4,096 bytes, stay whole."""
    message = str(AsrError(f"{'p' * 4096}: no tier\n  {'x' * 100_000}"))
    assert len(message) < 10_000 and message.startswith("p" * 4096 + ": no tier\n  xxx") and message.endswith("x …")


def test_a_link_in_a_circle_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    require_file(tmp_path / "loop")
    write_whole(tmp_path / "loop", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"] and (tmp_path / "loop").read_bytes() == b"content"
