"""Corpus readers of lists without a header, VCTK, fairseq, and lhotse's recordings and supervisions."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from layouts import notes, read, touch, whole, write

from asr.corpus.prepare import prepare
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading

TEXTS = ["the cat sat", "on the mat", "where is it", "it is there", "a dog barks", "no one came"]
NAMES = [f"u_{number:03}" for number in range(6)]


def recordings(folder: Path, names: list[str] = NAMES) -> None:
    touch(*(folder / f"{name}.wav" for name in names))


def listed(folder: Path, **options: str) -> list[tuple[str, str | None, str | None]]:
    """Return recording, text and speaker of all utterances without a split."""
    format, splits = read(folder, **options)
    assert format == "id-list"
    return [(Path(audio).stem, text, speaker) for _, audio, text, _, _, speaker in splits[""]]


PLAIN = [(name, text, None) for name, text in zip(NAMES, TEXTS, strict=True)]
SPOKEN = [(name, text, f"s{place % 2}") for place, (name, text) in enumerate(zip(NAMES, TEXTS, strict=True))]

NAMED = [(name, text, ("Anna Smith", "Ben Ray")[place % 2]) for place, (name, text, _) in enumerate(PLAIN)]


def lines(*columns: list[str], mark: str = "\t") -> str:
    return "".join(mark.join(cells) + "\n" for cells in zip(*columns, strict=True))


SPEAKERS = ["s0", "s1"] * 3
SECONDS = [f"{number}.5" for number in range(6)]
PATHS = [f"./wavs/{name}.wav" for name in NAMES]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("line_index.tsv", lines(NAMES, [f" {text}" for text in TEXTS]), PLAIN),  # OpenSLR
        ("utt_spk_text.tsv", lines(NAMES, SPEAKERS, TEXTS), SPOKEN),  # OpenSLR
        ("list", lines(NAMES, TEXTS, SPEAKERS), SPOKEN),
        ("list.txt", lines(["1", "2", "3"] * 2, NAMES, ["Anna Smith", "Ben Ray"] * 3, TEXTS), NAMED),
        ("transcript.txt", lines(NAMES, TEXTS, mark=" "), PLAIN),  # AISHELL
        ("transcript.txt", lines(PATHS, [t.title() for t in TEXTS], TEXTS, SECONDS, mark="|"), PLAIN),  # CSS10
        ("PROMPTS", lines([f"x/mfc/{name}" for name in NAMES], TEXTS, mark=" "), PLAIN),  # VoxForge
        ("txt.done.data", lines([f'( {n} "{t}" )' for n, t in zip(NAMES, TEXTS, strict=True)]), PLAIN),  # Festvox
        ("all.trn", lines([f"{t} ({n})" for n, t in zip(NAMES, TEXTS, strict=True)]), PLAIN),
        ("all.csv", lines([f"{n}.wav" for n in NAMES], TEXTS, mark=","), PLAIN),
        ("all.csv", lines(NAMES, [f'"{t}"' for t in TEXTS], mark=";"), PLAIN),
        ("data.txt", "speaker\tid\ttext\n" + lines(SPEAKERS, NAMES, TEXTS), SPOKEN),
    ],
)
def test_lists(tmp_path: Path, name: str, content: str, expected: list[tuple[str, str, str | None]]) -> None:
    recordings(tmp_path / "wavs")
    write(tmp_path / name, content)
    write(tmp_path / "README.txt", "u_000 is the first recording of this corpus\nmade by many people\nin one year\n")
    assert listed(tmp_path) == expected


def test_the_printed_text_of_a_list_is_kept(tmp_path: Path) -> None:
    recordings(tmp_path)
    write(tmp_path / "transcript.txt", lines(NAMES, [text.upper() for text in TEXTS], TEXTS, mark="|"))
    (first, *_) = READERS["id-list"].read(tmp_path)[""]
    assert "column 3 is read as the text, and column 2 is kept as raw_text" in notes(tmp_path)[0]
    assert first.text == "the cat sat" and first.extra == {"raw_text": "THE CAT SAT"}


def test_fleurs(tmp_path: Path) -> None:
    """Rows of FLEURS: number, recording, printed text, text, letters, samples, gender."""
    for split, number in (("train", 0), ("dev", 3), ("test", 5)):
        names = NAMES[number : number + 3] if split == "train" else NAMES[number : number + 1]
        recordings(tmp_path / "audio" / split, names)
        texts = TEXTS[number : number + len(names)]
        letters = ["".join(f"{' '.join(word)} | " for word in text.split()) for text in texts]
        columns = [["7"] * len(names), [f"{n}.wav" for n in names], [f"{t.title()}." for t in texts], texts, letters]
        write(tmp_path / f"{split}.tsv", lines(*columns, ["123456"] * len(names), ["FEMALE"] * len(names)))
    format, splits = read(tmp_path)
    assert format == "id-list" and {split: len(rows) for split, rows in splits.items()} == {
        "validation": 1,
        "test": 1,
        "train": 3,
    }
    assert splits["train"][0] == whole("audio/train/u_000", "audio/train/u_000.wav", "the cat sat")
    assert splits["validation"][0] == whole("audio/dev/u_003", "audio/dev/u_003.wav", "it is there")


def test_splits_are_the_folders_of_the_lists(tmp_path: Path) -> None:
    """MLS has one list for each split, beside the folders of its speakers."""
    for split, part in (("train", NAMES[:4]), ("dev", NAMES[4:])):
        recordings(tmp_path / split / "audio" / "12", part)
        texts = TEXTS[:4] if split == "train" else TEXTS[4:]
        write(tmp_path / split / "transcripts.txt", lines(part, texts))
        write(tmp_path / split / "handles.txt", "\n".join(part))
    assert {split: len(rows) for split, rows in read(tmp_path)[1].items()} == {"validation": 2, "train": 4}


def test_splits_are_the_folders_of_the_recordings(tmp_path: Path) -> None:
    """AISHELL has one list for all splits, and lists more texts than recordings."""
    for split, part in (("train", NAMES[:3]), ("dev", NAMES[3:4]), ("test", NAMES[4:5])):
        recordings(tmp_path / "wav" / split / "S0002", part)
    write(tmp_path / "transcript" / "aishell.txt", lines(NAMES, TEXTS, mark=" "))
    prepared = prepare(tmp_path, tmp_path / "out")
    assert {name: len(rows) for name, rows in prepared.manifests.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
        "missing": 1,
    }


def test_recordings_that_no_list_names_have_no_text_and_texts_may_lack_a_recording(tmp_path: Path) -> None:
    recordings(tmp_path, [*NAMES[:5], "extra"])
    write(tmp_path / "list.txt", lines(NAMES, TEXTS))
    prepared = prepare(tmp_path, tmp_path / "out", fractions=[1.0])
    assert {name: len(rows) for name, rows in prepared.manifests.items()} == {
        "train": 5,
        "untranscribed": 1,
        "missing": 1,
    }


def test_two_lists_with_other_texts_are_named(tmp_path: Path) -> None:
    recordings(tmp_path)
    write(tmp_path / "a.txt", lines(NAMES, TEXTS))
    write(tmp_path / "b.txt", lines(NAMES, TEXTS))
    assert listed(tmp_path) == PLAIN and "6 lines repeat a recording" in notes(tmp_path)[0]
    write(tmp_path / "b.txt", lines(NAMES, TEXTS).replace("barks", "bites"))
    with pytest.raises(SourceError, match=r"b.txt:5: gives u_004.wav another text than .*a.txt:5; give one"):
        read(tmp_path)
    (rows,) = READERS["id-list"].read(tmp_path / "a.txt").values()
    assert [row.text for row in rows] == TEXTS


def test_a_list_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    recordings(tmp_path)
    write(tmp_path / "a.txt", lines(NAMES[:4], TEXTS[:4]))
    write(tmp_path / "b.txt", lines(NAMES[4:], ["é", "è"]), "latin-1")
    with reading() as said:
        assert listed(tmp_path)[:4] == PLAIN[:4]
    assert len(said.faults) == 1 and "b.txt:1: is not UTF-8" in said.faults[0]


def test_an_unclear_column_and_a_short_line_are_named(tmp_path: Path) -> None:
    recordings(tmp_path)
    others = [f"word{number} other text" for number in range(6)]
    write(tmp_path / "list.txt", lines(NAMES, TEXTS, others))
    with pytest.raises(SourceError, match=r"not clear .* such as --columns file=1,text=2:(.|\n)*column 3: word0"):
        read(tmp_path)
    chosen = prepare(tmp_path, tmp_path / "out", columns="file=1,text=3", fractions=[1.0])
    assert chosen.manifests["train"][0].text == "word0 other text"
    write(tmp_path / "list.txt", lines(NAMES, TEXTS) + "u_000\n")
    with pytest.raises(SourceError, match=r"list.txt:7: has 1 columns, but the other lines have more"):
        read(tmp_path)


def test_lists_of_speakers_and_of_paths_are_no_texts(tmp_path: Path) -> None:
    names = [f"u_{number:03}" for number in range(40)]
    recordings(tmp_path, names)
    write(tmp_path / "utt2spk", lines(names, ["s0", "s1"] * 20, mark=" "))
    write(tmp_path / "paths.txt", lines(names, [f"wav/{name}.wav" for name in names], mark=" "))
    write(tmp_path / "list.txt", lines(names, [f"text number {number}" for number in range(40)]))
    assert [text for _, text, _ in listed(tmp_path)] == [f"text number {number}" for number in range(40)]
    assert "1 list has few values for recordings of another list" in notes(tmp_path)[0]


def test_a_list_of_recordings_that_are_mostly_missing(tmp_path: Path) -> None:
    recordings(tmp_path, ["u_007", "u_019"])
    names = [f"u_{number:03}" for number in range(20)]
    write(tmp_path / "list.tsv", lines(names, [f"text number {number}" for number in range(20)]))
    prepared = prepare(tmp_path, tmp_path / "out", fractions=[1.0])
    assert len(prepared.manifests["train"]) == 2 and prepared.missing == 18


def test_a_text_that_begins_with_the_name_of_a_recording_is_no_list(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        touch(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", f"{name} apple")
    assert read(tmp_path)[0] == "folder"


def test_vctk(tmp_path: Path) -> None:
    base = tmp_path / "VCTK-Corpus-0.92"
    for microphone in (1, 2):
        touch(base / "wav48_silence_trimmed" / "p225" / f"p225_001_mic{microphone}.flac")
    touch(base / "wav48_silence_trimmed" / "p315" / "p315_001_mic2.flac")
    write(base / "txt" / "p225" / "p225_001.txt", "Please call Stella.\n")
    write(base / "txt" / "p225" / "p225_002.txt", "Ask her.\n")
    write(base / "speaker-info.txt", "ID  AGE  GENDER\np225  23  F\n")
    format, splits = read(base)
    folder = "wav48_silence_trimmed"
    assert format == "vctk" and splits[""] == [
        whole(f"{folder}/p225/p225_001_mic1", f"{folder}/p225/p225_001_mic1.flac", "Please call Stella.", "p225"),
        whole(f"{folder}/p315/p315_001_mic2", f"{folder}/p315/p315_001_mic2.flac", None),
        whole("txt/p225/p225_002", "txt/p225/p225_002.wav", "Ask her.", "p225"),
    ]
    assert "1 recording of a second microphone is left out" in notes(base)[0]


def test_texts_of_vctk_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for number, text in enumerate([b"good", b"caf\xe9", b"1\n00:00:01,000 --> 00:00:02,000\nx\n"]):
        touch(tmp_path / f"{number}_mic1.wav")
        (tmp_path / f"{number}.txt").write_bytes(text)
    with reading() as said:
        splits = READERS["vctk"].read(tmp_path)
    assert [row.text for row in splits[""]] == ["good"]
    assert "1.txt:1: is not UTF-8" in said.faults[0] and "2.txt: is subtitles, not a plain" in said.faults[1]


def test_vctk_without_microphones_in_the_names(tmp_path: Path) -> None:
    touch(tmp_path / "wav48" / "p225" / "p225_001.wav")
    write(tmp_path / "txt" / "p225" / "p225_001.txt", "Please call Stella.\n")
    assert read(tmp_path) == (
        "vctk",
        {"": [whole("wav48/p225/p225_001", "wav48/p225/p225_001.wav", "Please call Stella.", "p225")]},
    )


def fairseq(folder: Path, root: str) -> None:
    for split, names, texts in (("train", NAMES[:4], TEXTS[:4]), ("valid", NAMES[4:], TEXTS[4:])):
        recordings(folder / "audio", names)
        write(
            folder / f"{split}.tsv", f"{root}\n" + lines([f"audio/{name}.wav" for name in names], ["2400"] * len(names))
        )
        write(folder / f"{split}.wrd", "".join(f"{text}\n" for text in texts))
        write(folder / f"{split}.ltr", "".join(" ".join(text.replace(" ", "|")) + " |\n" for text in texts))


@pytest.mark.parametrize("root", ["here", "/data/of/another/machine"])
@pytest.mark.parametrize("labels", [".wrd", ".ltr"])
def test_fairseq(tmp_path: Path, root: str, labels: str) -> None:
    fairseq(tmp_path, str(tmp_path) if root == "here" else root)
    for path in tmp_path.glob("*.???"):
        if path.suffix not in (labels, ".tsv"):
            path.unlink()
    format, splits = read(tmp_path)
    assert format == "fairseq" and {split: len(rows) for split, rows in splits.items()} == {"validation": 2, "train": 4}
    assert splits["train"][0] == whole("audio/u_000", "audio/u_000.wav", "the cat sat")
    alone = READERS["fairseq"].read(tmp_path / "train.tsv")["train"]
    assert [row.text for row in alone] == TEXTS[:4] and READERS["fairseq"].recognises(tmp_path / "train.tsv")


def test_faulty_fairseq_lists_are_named(tmp_path: Path) -> None:
    fairseq(tmp_path, str(tmp_path))
    write(tmp_path / "valid.wrd", "one\n")
    with pytest.raises(SourceError, match=r"valid.wrd: has 1 line, but valid.tsv lists 2 recordings"):
        read(tmp_path)
    write(tmp_path / "valid.tsv", f"{tmp_path}\naudio/u_004.wav\t12\naudio/u_005.wav\n")
    with pytest.raises(SourceError, match=r"valid.tsv:3: 'audio/u_005.wav' is not a path, a tab and a count"):
        (tmp_path / "valid.wrd").write_text("one\ntwo\n")
        read(tmp_path)


def recording(name: str, **changes: Any) -> dict[str, Any]:
    sources = [{"type": "file", "channels": [0], "source": f"/data/{name}.wav"}]
    return {"id": name, "sources": sources, "sampling_rate": 8000, "num_samples": 8, "duration": 0.001} | changes


def supervision(name: str, of: str, **changes: Any) -> dict[str, Any]:
    row = {"id": name, "recording_id": of, "start": 0.5, "duration": 1.5, "channel": 0, "text": "ja", "speaker": "anna"}
    return row | changes


def put(path: Path, rows: list[Any]) -> None:
    content = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl", ".json"])
def test_lhotse_recordings_and_supervisions(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "wav" / "a.wav", tmp_path / "wav" / "b.wav")
    put(tmp_path / f"x_recordings_train{suffix}", [recording("a"), recording("c")])
    put(tmp_path / f"x_recordings_dev{suffix}", [recording("b")])
    put(
        tmp_path / f"x_supervisions_train{suffix}",
        [supervision("s1", "a", language="de"), supervision("s2", "a", start=2)],
    )
    put(tmp_path / f"x_supervisions_dev{suffix}", [supervision("s3", "b", speaker=None)])
    assert read(tmp_path) == (
        "lhotse",
        {
            "validation": [("s3", "wav/b.wav", "ja", 0.5, 1.5, None)],
            "train": [("s1", "wav/a.wav", "ja", 0.5, 1.5, "anna"), ("s2", "wav/a.wav", "ja", 2.0, 1.5, "anna")],
        },
    )
    assert READERS["lhotse"].read(tmp_path)["train"][0].extra == {"language": "de"}
    assert notes(tmp_path) == ["1 recording has no supervision, and is left out: c"]
    (tmp_path / "manifests").mkdir()
    for path in tmp_path.glob(f"x_*{suffix}"):
        path.rename(tmp_path / "manifests" / path.name)
    if suffix != ".json":
        assert {split: len(found) for split, found in read(tmp_path)[1].items()} == {"validation": 1, "train": 2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (supervision("s", "a", start="9" * 400), r"x.jsonl:2: '9+' is not a number of seconds"),
        (supervision("s", "a", text=7), r"x.jsonl:2: text is 7, not a string"),
        ({"id": "s", "recording_id": "a"}, r"x.jsonl:2: lacks 'start'"),
        ([], r"x.jsonl:2: is a list; each line must be one object of lhotse"),
        ("[" * 3, r"x.jsonl:2: is a str"),
    ],
)
def test_faulty_lines_of_lhotse_are_named(tmp_path: Path, row: Any, message: str) -> None:
    touch(tmp_path / "a.wav")
    put(tmp_path / "x.jsonl", [supervision("s1", "a"), row])
    with pytest.raises(SourceError, match=message):
        read(tmp_path)
    put(tmp_path / "r.jsonl", [recording("a", sources=[{"type": "file", "channels": [0, 1], "source": "a.wav"}])])
    put(tmp_path / "x.jsonl", [supervision("s1", "a")])
    with pytest.raises(SourceError, match=r"r.jsonl:1: a is one channel of several; write each recording"):
        read(tmp_path)
