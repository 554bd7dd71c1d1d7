"""Recordings found by the names in tables and annotations: as they are, loosely, by their folders, and by `--pair`."""

import unicodedata
from pathlib import Path

import pytest
from layouts import touch

from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading
from asr.corpus.readers.recordings import Recordings


def find(folder: Path, *names: str) -> dict[str, str]:
    """Return the recording of each name, relative to `folder`; "?" for an error, "" if the file does not exist."""
    found = Recordings(folder).find_all(names)
    return {
        name: "?" if isinstance(path, ValueError) else path.relative_to(folder).as_posix() if path.exists() else ""
        for name, path in found.items()
    }


def pairs(folder: Path, *names: str) -> dict[str, str]:
    """Return the recording of each file with a text, relative to `folder`; "?" for an error, "" if there is none."""
    found = Recordings(folder).pair([folder / name for name in names])
    return {
        path.relative_to(folder).as_posix(): "?"
        if isinstance(match, ValueError)
        else match.relative_to(folder).as_posix()
        if match
        else ""
        for path, (match, _) in found.items()
    }


def test_names_are_compared_ever_more_loosely(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "été")
    touch(tmp_path / f"{decomposed}.wav", tmp_path / "B.WAV", tmp_path / "c.flac", tmp_path / "sub" / "d.wav")
    with reading() as found:
        assert find(tmp_path, "été.wav", "b.wav", "c.wav", "d.wav", "C.MP3", "x.wav") == {
            "été.wav": f"{decomposed}.wav",
            "b.wav": "B.WAV",
            "c.wav": "c.flac",
            "d.wav": "sub/d.wav",
            "C.MP3": "c.flac",
            "x.wav": "",
        }
    assert found.notes == [
        f"1 recording is found by its name composed otherwise in Unicode: été.wav is {decomposed}.wav",
        "1 recording is found by its name in other case: b.wav is B.WAV",
        "1 recording is found by its name with another suffix: c.wav is c.flac",
        "1 recording is found by its name with another suffix and in other case: C.MP3 is c.flac",
    ]


def test_the_closest_name_is_taken(tmp_path: Path) -> None:
    touch(tmp_path / "s1" / "a.flac", tmp_path / "s2" / "a.wav", tmp_path / "Q.wav", tmp_path / "q.mp3")
    assert find(tmp_path, "s1/a.wav", "/else/s2/A.wav", "a.wav", "q.wav") == {
        "s1/a.wav": "s1/a.flac",
        "/else/s2/A.wav": "s2/a.wav",
        "a.wav": "s2/a.wav",
        "q.wav": "Q.wav",
    }


@pytest.mark.parametrize("root", ["/home/x/corpus/", "C:\\data\\", "../elsewhere/", ""])
def test_paths_of_another_machine_are_found_by_their_end(tmp_path: Path, root: str) -> None:
    names = [f"s{speaker}/a{number}.wav" for speaker in range(2) for number in range(2)]
    touch(*(tmp_path / "audio" / name for name in names))
    slash = "\\" if "\\" in root else "/"
    stated = {root + name.replace("/", slash): f"audio/{name}" for name in names}
    assert find(tmp_path, *stated) == stated


def test_a_missing_recording_never_gets_that_of_another_folder(tmp_path: Path) -> None:
    touch(tmp_path / "s0" / "a.wav", tmp_path / "b.wav")
    assert find(tmp_path, "/x/s0/a.wav", "/x/s1/a.wav") == {"/x/s0/a.wav": "s0/a.wav", "/x/s1/a.wav": ""}
    assert find(tmp_path, "s0/a.wav", "s1/a.wav") == {"s0/a.wav": "s0/a.wav", "s1/a.wav": ""}
    assert find(tmp_path, "/x/s0/b.wav", "/x/s1/b.wav") == {"/x/s0/b.wav": "?", "/x/s1/b.wav": "?"}
    assert find(tmp_path, "s1/./a.wav", "s0/a.wav") == {"s1/./a.wav": "", "s0/a.wav": "s0/a.wav"}
    assert find(tmp_path, "a.wav", "x/s0/a.wav", "a") == dict.fromkeys(("a.wav", "x/s0/a.wav", "a"), "s0/a.wav")


def test_several_candidates_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "s1" / "a.wav", tmp_path / "s2" / "a.wav")
    with pytest.raises(ValueError, match=r"several recordings are called 'a': .*s1/a.wav, .*s2/a.wav; give the path"):
        Recordings(tmp_path).find("a")


def test_one_recording_in_several_formats(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp3", tmp_path / "a.wav", tmp_path / "a.mp4")
    with reading() as found:
        assert find(tmp_path, "a") == {"a": "a.wav"}
    assert found.notes == ["1 recording is there in several formats: a.wav is taken, not a.mp3"]


def test_files_with_texts_are_paired_by_their_folders(tmp_path: Path) -> None:
    touch(*(tmp_path / f"wav/s{number}/a.wav" for number in (1, 2)))
    assert pairs(tmp_path, "tg/s1/a.txt", "tg/s2/a.txt", "lab/s2/a.lab", "tg/s3/a.txt") == {
        "tg/s1/a.txt": "wav/s1/a.wav",
        "tg/s2/a.txt": "wav/s2/a.wav",
        "lab/s2/a.lab": "wav/s2/a.wav",
        "tg/s3/a.txt": "",
    }
    touch(*(tmp_path / f"t{number}/sound/b.wav" for number in (1, 2)))
    assert pairs(tmp_path, "t1/text/b.txt", "t2/text/b.txt") == {
        "t1/text/b.txt": "t1/sound/b.wav",
        "t2/text/b.txt": "t2/sound/b.wav",
    }
    assert pairs(tmp_path, "tg/s1/new/a.txt", "tg/s2/new/a.txt") == {
        "tg/s1/new/a.txt": "wav/s1/a.wav",
        "tg/s2/new/a.txt": "wav/s2/a.wav",
    }
    touch(tmp_path / "x.mb.wav", tmp_path / "y.wav")
    assert pairs(tmp_path, "x.mb.txt", "y.mb.cleaned") == {"x.mb.txt": "x.mb.wav", "y.mb.cleaned": "y.wav"}


def test_patterns_pair_names_that_differ(tmp_path: Path) -> None:
    touch(tmp_path / "a_mic1.flac", tmp_path / "a_mic2.flac", tmp_path / "s1" / "audio.wav")
    assert pairs(tmp_path, "a_JS.TextGrid", "s1/text.txt") == {"a_JS.TextGrid": "", "s1/text.txt": ""}
    with reading(pairs=["{id}_*.TextGrid", "{id}_mic1.FLAC", "{id}/audio.wav", "{id}/text.txt"]):
        assert pairs(tmp_path, "a_JS.TextGrid", "s1/text.txt") == {
            "a_JS.TextGrid": "a_mic1.flac",
            "s1/text.txt": "s1/audio.wav",
        }
    for pattern in ("x_mic1.flac", "{id}", "{id}_{id}.txt", "x.{id}"):
        with reading(pairs=[pattern]), pytest.raises(SourceError, match=r"must hold \{id\} once and end with a suffix"):
            Recordings(tmp_path)
