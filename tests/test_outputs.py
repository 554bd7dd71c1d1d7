"""The outputs of many transcriptions: names of files, one file, existing files, full disks, what is told of them."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asr.cli import app
from asr.cli.inputs import find_recordings, require_no_input
from asr.corpus.manifest import read_manifest
from asr.decoders import open_recording
from asr.errors import AsrError, AudioError, OutputError
from asr.transcript import Transcript, Word
from asr.utterance import Utterance
from asr.writers.names import Source, distinct_names, safe_name
from asr.writers.outputs import Outputs
from asr.writers.whole import is_whole

SAID = Transcript("one two", 1.0, (Word("one", 0.1, 0.3, 0.9), Word("two", 0.4, 0.7, 0.9)))


def sources(*names: str) -> list[Source]:
    return [Source(Utterance(name, Path(name)), str(Path(name).with_suffix("")), Path(name).suffix) for name in names]


def results(outputs: Outputs, channels: int | None = None) -> Iterator[tuple[Utterance, Transcript | AudioError]]:
    for utterance in outputs.utterances:
        for channel in [None] if channels is None else range(1, channels + 1):
            yield utterance, Transcript(SAID.text, SAID.duration, SAID.words, channel)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@given(st.text(st.one_of(st.sampled_from("/.\0\n\x1b\ud800ŋa"), st.characters()), max_size=300))
def test_any_id_names_a_file_inside_the_folder(name: str) -> None:
    found = safe_name(name)
    assert found.parts and not found.is_absolute() and not set(found.parts) & {"", ".", ".."}
    for part in found.parts:
        assert len(part.encode()) <= 240 and not re.search("[\x00-\x1f\x7f-\x9f]", part)


def test_safe_names_stay_as_they_are_and_others_stay_different() -> None:
    for name in ("talk", "day 1/talk", "c:d", "-x", "ŋwɛ̂", "a.b", "x" * 200):
        assert safe_name(name) == Path(name)
    assert safe_name("/a//./b/") == Path("a/b")
    odd = ["", ".", "/", "..", "../x", "a/../x", "a\nb", "a\0b", "a\tb", "x" * 300, "x" * 301, "a/" * 1500 + "b"]
    found = list(map(safe_name, odd))
    assert len(set(found)) == len(odd) and ".." not in {part for path in found for part in path.parts}
    assert all(len(str(path)) < 2100 for path in found)


def test_names_that_are_equal_keep_the_suffix_of_the_recording(capsys: pytest.CaptureFixture[str]) -> None:
    found = distinct_names(sources("d/a.wav", "d/a.mp3", "d/A.WAV", "d/b.wav", "a.wav.flac", "d/a.wav.ogg"))
    assert list(map(str, found)) == ["d/a.wav", "d/a.mp3", "d/A", "d/b", "a.wav", "d/a.wav.ogg"]
    told = capsys.readouterr().err
    assert "their files keep the suffix: 3, 'd/a.wav' -> d/a.wav, 'd/a.mp3' -> d/a.mp3" in told
    distinct_names([Source(Utterance("a\nb", Path("x")), "a\nb")])
    assert "not safe for files were changed: 1, 'a\\nb' -> a_b~" in capsys.readouterr().err
    with pytest.raises(AsrError, match=r"d/a.wav: is named twice"):
        distinct_names(sources("d/a.wav", "d/a.wav"))
    with pytest.raises(AsrError, match=r"e/a.wav and f/a.wav would both be written to a.wav"):
        distinct_names([Source(Utterance(f"{name}/a.wav", Path(f"{name}/a.wav")), "a", ".wav") for name in "ef"])


def test_written_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, told in (
        ({"formats": "txt,srt"}, "written: a.txt, a.srt"),
        ({"formats": "txt,json"}, "written: a.txt, a.json; 1 of them replaced older files"),
        ({"output": Path("o.vtt")}, "written: o.vtt"),
        ({"output": Path("o.txt"), "formats": "TXT"}, "written: o.txt"),
        ({"output": Path("rows.jsonl")}, "written: rows.jsonl"),
        ({"output": Path("out")}, "written: out/a.txt"),
    ):
        outputs = Outputs(sources("a.wav"), **arguments)
        assert [outcome.result for outcome in outputs.write(results(outputs))] == [SAID]
        assert str(outputs.written) == told
    outputs = Outputs(sources("x/a.wav", "x/b.wav"), output=Path("many"), formats="txt,srt,vtt")
    list(outputs.write(results(outputs)))
    assert str(outputs.written) == "written: 6 files in many/x"
    outputs.written.add(tmp_path / "elsewhere" / "a.txt", replaced=False)
    assert str(outputs.written) == f"written: 7 files in many/x and {tmp_path / 'elsewhere'}"
    assert Path("o.vtt").read_text().startswith("WEBVTT") and Path("o.txt").read_text() == "one two\n"


def test_an_own_elan_file_is_not_called_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, told in (
        (".", "written: a.eaf"),
        (".", "written: a.eaf; 1 of them are older ELAN files with one more tier"),
        ("out", "written: out/a.eaf"),
        ("out", "written: out/a.eaf; 1 of them replaced older files"),
    ):
        outputs = Outputs(sources("a.wav"), output=Path(folder), formats="eaf")
        assert [outcome.result for outcome in outputs.write(results(outputs))] == [SAID]
        assert str(outputs.written) == told


def test_a_name_that_cannot_be_written_concerns_one_recording(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    outputs = Outputs(sources("a.wav", "b.wav"), output=tmp_path)
    first, second = outputs.write(results(outputs))
    assert isinstance(first.result, OutputError) and "a.txt: cannot be written: Is a directory" in str(first.result)
    assert second.result == SAID and files(tmp_path) == ["b.txt"]


def test_a_full_disk_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asr.files import write_whole

    def write(path: Path, *parts: bytes) -> None:
        if path.name == "b.srt":
            raise OutputError(errno.ENOSPC, "No space left on device", str(path))
        write_whole(path, *parts)

    monkeypatch.setattr("asr.writers.write_whole", write)
    outputs = Outputs(sources("a.wav", "b.wav", "c.wav"), output=tmp_path, formats="txt,srt")
    with pytest.raises(AsrError, match=r"b\.srt: cannot be written: .*make room.* --skip-existing goes on after it"):
        list(outputs.write(results(outputs)))
    assert files(tmp_path) == ["a.srt", "a.txt", "b.txt"]
    again = Outputs(sources("a.wav", "b.wav", "c.wav"), output=tmp_path, formats="txt,srt", skip_existing=True)
    assert [one.id for one in again.utterances] == ["b.wav", "c.wav"] and again.skipped == 1


def test_an_error_of_the_system_concerns_one_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for memory and for nesting that is too deep; a bug of a writer is not hidden."""
    outputs = Outputs(sources("a.wav", "b.wav", "c.wav", "d.wav"), output=tmp_path)
    faults = iter([MemoryError(), RecursionError(), OSError(errno.EIO, "Input/output error"), KeyError("bug")])

    def write(*arguments: object, **options: object) -> None:
        raise next(faults)

    monkeypatch.setattr("asr.writers.outputs.write", write)
    outcomes = outputs.write(results(outputs))
    for message in ("a.wav: there is not enough memory", "b.wav: is nested too deeply", "c.wav: Input/output error"):
        assert message in str(next(outcomes).result)
    with pytest.raises(KeyError):
        next(outcomes)


@pytest.mark.parametrize(
    ("name", "whole", "cut"),
    [
        ("json", '{"a": 1}\n', '{"a": 1'),
        ("jsonl", '{"a": 1}\n{"a": 2}', '{"a": 1}\n{"a"'),
        ("eaf", "<a><b/></a>", "<a><b/>"),
        ("vtt", "WEBVTT\n\n", ""),
        ("TextGrid", "File type", ""),
        ("txt", "mine", "min\0"),
        ("srt", "", "1\n\0\0"),
    ],
)
def test_existing_files_are_skipped_only_if_they_are_whole(
    tmp_path: Path, name: str, whole: str, cut: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a.{name}"
    for content, left in ((whole, 0), (cut, 1)):
        path.write_text(content)
        outputs = Outputs(sources("a.wav"), output=tmp_path, formats=name, skip_existing=True)
        assert len(outputs.utterances) == left and outputs.skipped == 1 - left
    assert f"{path}: is not whole, and is written again" in capsys.readouterr().err
    list(outputs.write(results(outputs)))
    assert is_whole(path, name)


def test_a_textgrid_that_praat_saved_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text("File type", encoding="utf-16")
    assert is_whole(tmp_path / "a.TextGrid", "TextGrid") and not is_whole(tmp_path / "gone.txt", "txt")


def test_all_channels_must_be_there_to_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", np.zeros((800, 2)), 8000)

    def planned() -> Outputs:
        return Outputs(sources("a.wav"), output=Path("out"), split_channels=True, skip_existing=True)

    outputs = planned()
    list(outputs.write(results(outputs, channels=2)))
    assert files(Path("out")) == ["a-1.txt", "a-2.txt"] and planned().skipped == 1
    Path("out/a-2.txt").unlink()
    assert planned().skipped == 0
    Path("a.wav").write_bytes(b"")
    assert planned().skipped == 0


def test_an_input_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav"}\n')
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "m.jsonl")
    for output in ("m.jsonl", "link.jsonl"):
        with pytest.raises(AsrError, match=r"is also an input, which would be replaced"):
            require_no_input(tmp_path / output, ["x.wav", str(tmp_path / "m.jsonl")])
    require_no_input(tmp_path / "new.jsonl", [str(tmp_path / "m.jsonl"), "x" * 5000])
    require_no_input(None, [str(tmp_path / "m.jsonl")])


def test_folders_that_are_not_searched_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "other").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.zeros(800), 8000)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "other")
    found = find_recordings([str(tmp_path / "in"), "x" * 5000], tmp_path)
    assert [source.name for source in found] == ["a", "x" * 5000]
    assert "in/link: is a link to a folder, which is not searched" in capsys.readouterr().err


def test_a_folder_that_cannot_be_read_is_a_failed_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", scandir)
    assert [source.name for source in find_recordings([str(tmp_path)], tmp_path)] == ["closed", "a"]
    with pytest.raises(AudioError, match=r"closed: cannot be opened: Permission denied"):  # noqa: SIM117
        with open_recording(tmp_path / "closed"):
            pass
    assert [source.name for source in find_recordings([str(tmp_path / "closed")], tmp_path)] == ["closed"]


def test_ids_of_a_manifest_are_names(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "/etc/x", "audio_filepath": "a.wav"}\n')
    (source,) = find_recordings([str(tmp_path / "m.jsonl")], tmp_path)
    assert source.utterance.id == "/etc/x" and distinct_names([source]) == [Path("etc/x")]
    outputs = Outputs([source], output=tmp_path / "rows.jsonl")
    list(outputs.write(results(outputs)))
    assert [(row.id, row.extra["hypothesis"]) for row in read_manifest(tmp_path / "rows.jsonl")] == [
        ("/etc/x", "one two")
    ]


@pytest.mark.parametrize(
    "command",
    [
        ["score", "a.jsonl", "b.jsonl", "-o", "a.jsonl"],
        ["score", "a.jsonl", "b.jsonl", "--html", "b.jsonl"],
        ["tune", "model", "a.jsonl", "-o", "a.jsonl"],
        ["tune", "model", "a.jsonl", "--lm-text", "text.txt", "--plot", "text.txt"],
        ["lm", "text.txt", "-o", "text.txt"],
        ["lm", "train-rnn", "text.txt", "--validation", "a.jsonl", "-o", "a.jsonl"],
        ["report", "robustness", "model", "clean.jsonl", "--conditions", "clean", "-o", "."],
    ],
)
def test_no_command_replaces_an_input(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fresh_recognizer().save("model")
    for name in ("a.jsonl", "b.jsonl", "clean.jsonl"):
        Path(name).write_text('{"audio_filepath": "a.wav", "text": "ab", "hypothesis": "ab"}\n')
    Path("text.txt").write_text("ab\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = CliRunner().invoke(app, command)
    assert "is also an input, which would be replaced" in str(done.exception), done.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        (["score", "a.jsonl", "b.jsonl", "--html", "mine.txt"], ".html"),
        (["compare", "run", "--html", "mine.txt"], ".html"),
        (["compare", "run", "--png", "mine.txt"], ".png"),
        (["report", "run", "-o", "mine.txt"], ".html"),
        (["export", "model", "-o", "mine.txt"], ".onnx"),
    ],
)
def test_a_file_of_another_kind_is_not_replaced(
    command: list[str], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    fresh_recognizer().save("model")
    Path("mine.txt").write_text("mine")
    done = CliRunner().invoke(app, command)
    assert str(done.exception).endswith(f"name it NAME{suffix}") and Path("mine.txt").read_text() == "mine"
