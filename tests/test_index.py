"""The index of a manifest: equal to a plain count of its lines, rebuilt when it must be, and hostile manifests."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.corpus import index as index_module
from asr.corpus.index import LineRules, open_index
from asr.corpus.streamed import StreamedCorpus
from asr.errors import ManifestError
from asr.lengths import num_frames, required_frames, subsampled_length
from asr.text import Normalizer, Units

RATE, HOP = 8000, 80


def rules(**changes: Any) -> LineRules:
    settings = {
        "text_field": "text",
        "normalizer": Normalizer(lower=True),
        "units": Units(()),
        "sample_rate": RATE,
        "hop": HOP,
        "subsampling": 2,
        "allow_empty": False,
    }
    return LineRules(**{**settings, **changes})


def write(path: Path, rows: Iterable[Any], end: str = "\n") -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(end.join([*lines, ""]).encode("utf-8", "surrogatepass"))
    return path


def rows(count: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    return [
        {
            "id": f"u{number}",
            "audio_filepath": f"{number}.wav",
            "text": "".join(generator.choice(list("ABc dé"), generator.integers(1, 30))).strip() or "b",
            "duration": float(generator.integers(8000, 80_000)) / RATE,
            "speaker": f"s{number % 3}",
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("piece", [300, 1000, 8_000_000])
def test_the_columns_are_those_of_a_plain_reading(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces smaller than a line, in several, and in one; the oracle reads the file as text."""
    monkeypatch.setattr(index_module, "_PIECE", piece)
    monkeypatch.setattr(index_module, "cpu_count", lambda: 1)  # other processes would not see the small pieces
    listed = rows(50)
    path = write(
        tmp_path / "train.jsonl", [*listed[:20], "", "   ", *listed[20:]], end="\r\n" if piece == 1000 else "\n"
    )
    found, its_rules = open_index(path, rules()), rules()
    texts = [Normalizer(lower=True)(row["text"]) for row in listed]
    columns, header = found.columns, found.header
    assert columns["samples"].tolist() == [round(row["duration"] * RATE) for row in listed]
    assert columns["units"].tolist() == list(map(len, texts))
    assert columns["frames"].tolist() == list(map(required_frames, texts))
    assert len(set(columns["speaker"].tolist())) == 3
    assert header.symbols == dict(sorted(Counter("".join(texts)).items())) and header.num_faults == 0
    assert header.samples == sum(columns["samples"].tolist()) and header.units == len("".join(texts))
    frames = [num_frames(samples, HOP) for samples in columns["samples"].tolist()]
    assert header.encoder_frames == [
        sum(subsampled_length(count, factor) for count in frames) for factor in (1, 2, 3, 4)
    ]
    corpus = StreamedCorpus([str(path)], its_rules)
    assert [utterance.text for utterance in corpus.utterances] == texts
    assert [utterance.id for utterance in corpus.utterances[10:12]] == ["u10", "u11"]
    assert corpus.utterances[-1].audio == tmp_path / "49.wav"
    lines = path.read_text().split("\n")
    for symbol, line in header.first.items():
        assert symbol in json.loads(lines[line - 1])["text"].lower()
        assert not any(symbol in json.loads(text)["text"].lower() for text in lines[: line - 1] if text.strip())


def test_several_processes_give_the_bytes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "train.jsonl", [*rows(3000), "broken", *rows(20)])
    found = open_index(path, rules())
    whole = found.path.read_bytes()
    monkeypatch.setattr(index_module, "_PIECE", 50_000)
    found.path.unlink()
    monkeypatch.setattr(index_module, "cpu_count", lambda: 1)
    pieces = open_index(path, rules())
    columns = len(pieces) * 28
    assert pieces.path.read_bytes()[:columns] == whole[:columns]
    assert pieces.header.faults == found.header.faults
    assert f"{path}:3001: is not JSON" in found.header.faults[0]


HOSTILE = {
    "is not JSON": ["{", '{"audio_filepath": "a.wav", "text": "a", "duration": 1'],
    "each line must be one JSON object": ["[]", "3", "null", '"text"'],
    "has no audio_filepath": [{"text": "a", "duration": 1}, {"audio_filepath": "", "text": "a", "duration": 1}],
    "has no duration, which streamed data needs": [{"audio_filepath": "a.wav", "text": "a"}],
    "duration is 0 s": [{"audio_filepath": "a.wav", "text": "a", "duration": 0}],
    "not a number of seconds": [
        '{"audio_filepath": "a.wav", "text": "a", "duration": NaN}',
        '{"audio_filepath": "a.wav", "text": "a", "duration": Infinity}',
        {"audio_filepath": "a.wav", "text": "a", "duration": -1},
        {"audio_filepath": "a.wav", "text": "a", "duration": "long"},
        {"audio_filepath": "a.wav", "text": "a", "duration": [1]},
    ],
    "which nothing can be learned from": [
        {"audio_filepath": "a.wav", "text": "a", "duration": 9e6},
        {"audio_filepath": "a.wav", "text": "a", "duration": 1e-9},
    ],
    "the text is": [
        {"audio_filepath": "a.wav", "text": " ", "duration": 1},
        {"audio_filepath": "a.wav", "duration": 1},
    ],
    "not a string": [{"audio_filepath": "a.wav", "text": 3, "duration": 1}],
    "need 9 encoder frames, its 0.1 s give 6": [{"audio_filepath": "a.wav", "text": "aaaaa", "duration": 0.1}],
}  # fmt: skip


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_bad_line_is_named_and_left_out(fault: str, tmp_path: Path) -> None:
    good = rows(2)
    path = write(tmp_path / "train.jsonl", [good[0], *HOSTILE[fault], good[1]])
    found = open_index(path, rules())
    assert len(found) == 2 and found.header.num_faults == len(HOSTILE[fault])
    for line, said in enumerate(found.header.faults, start=2):
        assert said.startswith(f"{path}:{line}: ") and fault in said


def test_other_hostile_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not UTF-8, a byte order mark, a file cut in a line, no file, an empty file, a table, a line without an end."""
    good = rows(2)
    line = json.dumps(good[0]).encode()
    (tmp_path / "latin.jsonl").write_bytes(line + b"\n" + line.replace(b"u0", b"\xe9") + b"\n")
    assert (
        open_index(tmp_path / "latin.jsonl", rules())
        .header.faults[0]
        .endswith(":2: is not UTF-8; save the manifest as UTF-8")
    )
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + line)
    assert StreamedCorpus([str(tmp_path / "marked.jsonl")], rules()).utterances[0].id == "u0"
    (tmp_path / "cut.jsonl").write_bytes(line + b"\n" + line[:-5])
    assert len(open_index(tmp_path / "cut.jsonl", rules())) == 1
    (tmp_path / "empty.jsonl").touch()
    assert len(open_index(tmp_path / "empty.jsonl", rules())) == 0
    monkeypatch.setattr(index_module, "_LONGEST_LINE", 1000)
    (tmp_path / "endless.jsonl").write_bytes(line + b"\n" + b"x" * 5000 + b"\n" + line)
    found = open_index(tmp_path / "endless.jsonl", rules())
    assert len(found) == 2 and "has more than 0 MB" in found.header.faults[0]
    for name, message in (("no.jsonl", "no such manifest"), ("table.csv", "is a table, and streamed data needs")):
        with pytest.raises(ManifestError, match=message):
            open_index(tmp_path / name, rules())


def test_repeated_ids_are_not_compared(tmp_path: Path) -> None:
    assert len(open_index(write(tmp_path / "train.jsonl", rows(1) * 3), rules())) == 3


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-60] ^= 1
    path.write_bytes(content)


def _grow(path: Path) -> None:
    path.write_bytes(b"\0" * 28 + path.read_bytes())


@pytest.mark.parametrize("damage", [_cut, _flip, _grow, lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_index_is_built_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    manifest = write(tmp_path / "train.jsonl", rows(9))
    found = open_index(manifest, rules())
    before = found.path.read_bytes()
    damage(found.path)
    assert open_index(manifest, rules()).path.read_bytes() == before


def test_an_index_is_opened_again_until_manifest_or_rules_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write(tmp_path / "train.jsonl", rows(9))
    first = open_index(manifest, rules())
    built: list[Path] = []
    real = index_module._build

    def build(path: Path, *arguments: Any) -> None:
        built.append(path)
        real(path, *arguments)

    monkeypatch.setattr(index_module, "_build", build)
    os.utime(manifest, ns=(1, 1))  # a copy: another time, equal content
    assert open_index(manifest, rules()).header == first.header and not built
    other = open_index(manifest, rules(subsampling=4))
    assert other.path != first.path and len(built) == 1
    changed = rows(9)
    changed[3]["text"] = changed[3]["text"][::-1] + "z"
    write(manifest, changed)
    assert open_index(manifest, rules()).header.symbols["z"] == 1 and len(built) == 2


def test_a_line_that_moved_is_an_error(tmp_path: Path) -> None:
    manifest = write(tmp_path / "train.jsonl", rows(9))
    corpus = StreamedCorpus([str(manifest)], rules())
    manifest.write_bytes(b"x" * manifest.stat().st_size)  # in place
    with pytest.raises(ManifestError, match=r"train.jsonl: has changed: no line begins at byte \d+"):
        corpus.utterance(3)


def test_manifests_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    paths = [write(tmp_path / "a.jsonl", rows(3)), write(tmp_path / "shards" / "manifest.jsonl", rows(5)[3:])]
    corpus = StreamedCorpus([str(paths[0]), str(tmp_path / "shards")], rules())
    assert [utterance.id for utterance in corpus.utterances] == ["u0", "u1", "u2", "u3", "u4"]
    assert corpus.sizes == [3, 2] and corpus.total_samples == int(corpus.num_samples.sum())
    assert corpus.place(["é"]).startswith(str(tmp_path))
    with pytest.raises(IndexError):
        corpus.utterance(5)


def test_classes_are_whole_texts(tmp_path: Path) -> None:
    listed = [{**row, "language": name} for row, name in zip(rows(3), ["mb", "chr", "mb"], strict=True)]
    corpus = StreamedCorpus(
        [str(write(tmp_path / "train.jsonl", [*listed, rows(1)[0]]))], rules(units=None, text_field="language")
    )
    assert corpus.symbols == {"mb": 2, "chr": 1}
    assert "has no language" in corpus.indices[0].header.faults[0]
