"""Manifests: reading, writing, faulty lines by number; splits by hash that do not move."""

import json
from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest, with_hypothesis, write_manifest
from asr.corpus.split import split
from asr.errors import ManifestError
from asr.utterance import Utterance


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    utterances = [
        Utterance("a", tmp_path / "audio" / "a.wav", "ein \u2028 text", speaker="anna", extra={"lang": "de", "n": [1]}),
        Utterance("b", tmp_path / "b.wav", "", offset=1.5, duration=2.25),
    ]
    path = tmp_path / "deep" / "manifest.jsonl"
    write_manifest(path, utterances)
    assert read_manifest(path) == utterances
    assert json.loads(path.read_text().split("\n")[0])["audio_filepath"] == "../audio/a.wav"


def test_audio_on_another_drive_has_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, os.path.relpath raises ValueError for paths on different drives."""

    def no_relative_path(path: Path, start: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", no_relative_path)
    write_manifest(tmp_path / "m.jsonl", [Utterance("a", tmp_path / "a.wav")])
    assert json.loads((tmp_path / "m.jsonl").read_text())["audio_filepath"] == (tmp_path / "a.wav").as_posix()
    assert read_manifest(tmp_path / "m.jsonl")[0].audio == tmp_path / "a.wav"


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    write_manifest(path, [Utterance("a", tmp_path / "a.wav")])
    before = path.read_bytes()
    with pytest.raises(ManifestError, match=r"b.wav: b has a name or a field that is not UTF-8"):
        write_manifest(path, [Utterance("a", tmp_path / "a.wav"), Utterance("b", tmp_path / "b.wav", "\ud800")])
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


def test_nemo_names_crlf_bom_and_default_ids(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"audio_filepath": "x.wav", "text": "a"}\r\n\r\n'
        b'{"audio_filepath": "x.wav", "text": "b", "offset": 2, "duration": "1.5"}\r\n'
    )
    first, second = read_manifest(path)
    assert first.id == "x.wav" and second.id == "x.wav@2" and second.duration == 1.5
    assert first.audio == tmp_path / "x.wav"


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_csv_and_tsv(tmp_path: Path, suffix: str, delimiter: str) -> None:
    path = tmp_path / f"m{suffix}"
    lines = ["audio_filepath,text,speaker", "a.wav,hello world,anna", "b.wav,,"]
    path.write_text("\r\n".join(line.replace(",", delimiter) for line in lines))
    first, second = read_manifest(path)
    assert (first.text, first.speaker, second.text) == ("hello world", "anna", None)


def test_every_faulty_line_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = ['{"audio_filepath": "a.wav"}', "{oops", "[]", '{"text": "x"}', '{"audio_filepath": "b", "offset": "far"}',
            '{"audio_filepath": "c", "text": 3}', '{"audio_filepath": "a.wav"}', '{"audio_filepath":"d","duration":-1}',
            '{"audio_filepath": "e", "duration": NaN}', "[" * 100_000]  # fmt: skip
    path.write_text("\n".join(rows))
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    message = str(caught.value)
    for line in range(2, 11):
        assert f"{path}:{line}: " in message
    assert f"{path}:1: " not in message


def test_missing_empty_and_foreign_manifests(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "nothing.jsonl")
    with pytest.raises(ManifestError, match="is a folder, not a manifest; asr prepare writes manifests"):
        read_manifest(tmp_path)
    path = tmp_path / "m.jsonl"
    path.write_text("\n")
    with pytest.raises(ManifestError, match="no utterances"):
        read_manifest(path)
    path.write_bytes(b'{"audio_filepath": "\xe4.wav"}')
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(path)
    path.write_text('{"audio_filepath": "a.wav", "text": " "}')
    with pytest.raises(ManifestError, match="no text"):
        read_manifest(path, require_text=True)


def test_hypothesis_is_one_more_field() -> None:
    utterance = Utterance("a", Path("a.wav"), "x", extra={"k": 1})
    assert with_hypothesis(utterance, "y").extra == {"k": 1, "hypothesis": "y"}
    assert utterance.extra == {"k": 1}


def test_split_does_not_move_when_data_is_added() -> None:
    utterances = [Utterance(f"u{i}", Path("x"), speaker=f"s{i % 20}") for i in range(2000)]
    before = split(utterances[:500], (0.8, 0.1, 0.1))
    after = split(utterances, (0.8, 0.1, 0.1))
    for small, large in zip(before, after, strict=True):
        assert {u.id for u in small} <= {u.id for u in large}
    assert [round(len(part) / 2000, 1) for part in after] == [0.8, 0.1, 0.1]
    by_speaker = split(utterances, (0.5, 0.5), by=lambda u: str(u.speaker))
    assert not {u.speaker for u in by_speaker[0]} & {u.speaker for u in by_speaker[1]}
