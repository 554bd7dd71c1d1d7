"""Corpora in every layout, made here, read to the row; splits that do not move; and the real corpora."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pympi
import pytest
from conftest import run_asr

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import Prepared, describe, divide, parse_fractions, prepare, recognise
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError
from asr.corpus.split import split
from asr.utterance import Utterance

Row = tuple[str, str, str | None, float, float | None, str | None]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(path: Path, content: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))


def row(utterance: Utterance, source: Path) -> Row:
    u = utterance
    return u.id, u.audio.absolute().relative_to(source.absolute()).as_posix(), u.text, u.offset, u.duration, u.speaker


def read(source: Path, **options: str) -> tuple[str, dict[str, list[Row]]]:
    """The format recognised, and all rows by split."""
    place, formats = recognise(source)
    splits = READERS[formats[0]].read(place, **options)
    return formats[0], {name: [row(u, source) for u in utterances] for name, utterances in splits.items()}


def whole(name: str, audio: str, text: str | None, speaker: str | None = None) -> Row:
    return name, audio, text, 0.0, None, speaker


# One maker a layout: writes it into a folder and returns the format and the rows that must be read.
Layout = tuple[str, dict[str, list[Row]]]


def text_files(folder: Path) -> Layout:
    touch(folder / "anna" / "a.b.wav", folder / "ben" / "1.MP3", folder / "ben" / "2.mp3")
    write(folder / "anna" / "a.b.txt", "\ufeffein \r\n Satz\r\n")
    write(folder / "ben" / "1.txt", "zwei", "utf-16")
    write(folder / "ben" / "3.txt", "drei")
    write(folder / "README.txt", "not a transcript")
    rows = [
        whole("anna/a.b", "anna/a.b.wav", "ein Satz"),
        whole("ben/1", "ben/1.MP3", "zwei"),
        whole("ben/2", "ben/2.mp3", None),
        whole("ben/3", "ben/3.wav", "drei"),
    ]
    return "folder", {"": rows}


def text_files_elsewhere(folder: Path) -> Layout:
    touch(folder / "train" / "wav" / "x.wav", folder / "dev" / "wav" / "y.wav")
    write(folder / "train" / "txt" / "x.lab", "eins")
    write(folder / "dev" / "txt" / "y.lab", "zwei")
    return "folder", {
        "validation": [whole("dev/wav/y", "dev/wav/y.wav", "zwei")],
        "train": [whole("train/wav/x", "train/wav/x.wav", "eins")],
    }


def comma_table(folder: Path) -> Layout:
    touch(folder / "audio" / "a.wav", folder / "b.wav")
    write(
        folder / "all.csv",
        '\ufeffPath,Speaker ID,Sentence,start,end,note\r\na.wav,anna,"Ja, ""ja""\r\nja",1.5,2.25,x\r\n'
        "/home/x/b.wav,,nein,,,\r\n\r\n",
    )
    return "table", {
        "": [
            ("audio/a@1.5", "audio/a.wav", 'Ja, "ja"\r\nja', 1.5, 0.75, "anna"),
            whole("b", "b.wav", "nein"),
        ]
    }


def semicolon_table_in_utf16(folder: Path) -> Layout:
    touch(folder / "a.wav")
    write(folder / "x.csv", 'file;"transcript, corrected";transcript;id\na.wav;x;ja, ja;u1\n', "utf-16")
    return "table", {"": [whole("u1", "a.wav", "ja, ja")]}


def tab_tables_of_splits(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav", folder / "c.wav")
    write(folder / "my_train.tsv", 'wav_filename\twav_filesize\ttranscript\na.wav\t4\t"ja" sagt er\nb.wav\t4\tdann "\n')
    write(folder / "my_dev.tsv", "wav_filename\twav_filesize\ttranscript\nc.wav\t4\tnein")
    return "table", {
        "validation": [whole("c", "c.wav", "nein")],
        "train": [whole("a", "a.wav", '"ja" sagt er'), whole("b", "b.wav", 'dann "')],
    }


def table_with_split_column(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav")
    write(folder / "x.csv", "audio,text,split\na,eins,TRAIN\nb,zwei,Valid\n")
    return "table", {"train": [whole("a", "a.wav", "eins")], "validation": [whole("b", "b.wav", "zwei")]}


def ljspeech(folder: Path) -> Layout:
    touch(*(folder / "LJ" / "wavs" / f"L-{number}.flac" for number in (1, 2)))
    write(folder / "LJ" / "metadata.csv", 'L-1|"In 1900, he|"In nineteen hundred, he\nL-2|b|b\nL-3|c|c\n')
    return "ljspeech", {
        "": [
            whole("L-1", "LJ/wavs/L-1.flac", '"In nineteen hundred, he'),
            whole("L-2", "LJ/wavs/L-2.flac", "b"),
            whole("L-3", "LJ/wavs/L-3.wav", "c"),
        ]
    }


def common_voice(folder: Path) -> Layout:
    touch(*(folder / "clips" / f"cv_{number}.mp3" for number in (1, 2, 3)))
    head = "client_id\tpath\tsentence\tup_votes\n"
    write(folder / "train.tsv", f'{head}anna\tcv_1.mp3\t"Ja\t2\n')
    write(folder / "dev.tsv", f"{head}ben\tcv_2\tNein\t2\n")
    write(folder / "validated.tsv", f"{head}cleo\tcv_3\tVielleicht\t2\n")
    return "common-voice", {
        "train": [whole("cv_1", "clips/cv_1.mp3", '"Ja', "anna")],
        "validation": [whole("cv_2", "clips/cv_2.mp3", "Nein", "ben")],
    }


def common_voice_validated(folder: Path) -> Layout:
    touch(folder / "clips" / "cv_3.mp3")
    write(folder / "validated.tsv", "client_id\tpath\tsentence\ncleo\tcv_3.mp3\tVielleicht\n")
    return "common-voice", {"": [whole("cv_3", "clips/cv_3.mp3", "Vielleicht", "cleo")]}


def librispeech(folder: Path) -> Layout:
    touch(folder / "train-clean-5" / "19" / "198" / "19-198-0001.flac", folder / "dev-clean" / "7" / "8" / "7-8-0.flac")
    write(folder / "train-clean-5" / "19" / "198" / "19-198.trans.txt", "19-198-0000 ONE\n19-198-0001 TWO THREE\n")
    write(folder / "dev-clean" / "7" / "8" / "7-8.trans.txt", "")
    return "librispeech", {
        "dev-clean": [whole("7-8-0", "dev-clean/7/8/7-8-0.flac", None, "7")],
        "train-clean-5": [
            whole("19-198-0000", "train-clean-5/19/198/19-198-0000.flac", "ONE", "19"),
            whole("19-198-0001", "train-clean-5/19/198/19-198-0001.flac", "TWO THREE", "19"),
        ],
    }


def librispeech_split(folder: Path) -> Layout:
    touch(folder / "19" / "198" / "19-198-0001.flac")
    write(folder / "19" / "198" / "19-198.trans.txt", "19-198-0001 TWO THREE\n")
    return "librispeech", {"": [whole("19-198-0001", "19/198/19-198-0001.flac", "TWO THREE", "19")]}


def kaldi(folder: Path) -> Layout:
    touch(folder / "wav" / "call one.wav", folder / "wav" / "2.wav")
    for name, scp, text in (
        ("train", "rec1 ../wav/call one.wav\n", "u1 ja ja\nu2 nein\nu4 nie\n"),
        ("dev", "rec2 wav/2.wav\n", "rec2 doch\n"),
    ):
        write(folder / name / "wav.scp", scp)
        write(folder / name / "text", text)
    write(folder / "train" / "segments", "u2 rec1 2.5 -1\nu1 rec1 0.25 2.5\nu3 rec1 1 2\n")
    write(folder / "train" / "utt2spk", "u1 anna\nu2 anna\nu3 u3\n")
    return "kaldi", {
        "validation": [whole("rec2", "wav/2.wav", "doch")],
        "train": [
            ("u1", "train/../wav/call one.wav", "ja ja", 0.25, 2.25, "anna"),
            ("u2", "train/../wav/call one.wav", "nein", 2.5, None, "anna"),
            ("u3", "train/../wav/call one.wav", None, 1.0, 1.0, None),
            whole("u4", "train/u4", "nie"),
        ],
    }


def nemo(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav")
    write(folder / "train_manifest.json", '{"audio_filepath": "a.wav", "text": "ja\u2028ja", "duration": 1.5}\n')
    write(folder / "test_manifest.json", '{"audio_filepath": "/data/b.wav", "text": "nein", "offset": 2}\n')
    return "json-list", {
        "test": [("b@2", "b.wav", "nein", 2.0, None, None)],
        "train": [("a", "a.wav", "ja\u2028ja", 0.0, 1.5, None)],
    }


def plain_json_list(folder: Path) -> Layout:
    touch(folder / "a.wav")
    write(folder / "x.json", json.dumps([{"path": "a", "sentence": "ja", "client_id": 7}], indent=1))
    return "json-list", {"": [whole("a", "a.wav", "ja", "7")]}


def audiofolder(folder: Path) -> Layout:
    touch(folder / "data" / "train" / "sub" / "a.wav", folder / "data" / "test" / "a.wav")
    write(folder / "data" / "train" / "metadata.csv", "file_name,transcription\nsub/a.wav,ja\n")
    write(folder / "data" / "test" / "metadata.csv", "file_name,transcription\na.wav,nein\n")
    return "audiofolder", {
        "test": [whole("data/test/a", "data/test/a.wav", "nein")],
        "train": [whole("data/train/sub/a", "data/train/sub/a.wav", "ja")],
    }


def audiofolder_jsonl(folder: Path) -> Layout:
    touch(folder / "data" / "a.wav")
    write(folder / "metadata.jsonl", '{"file_name": "data/a.wav", "text": "ja"}\n')
    return "audiofolder", {"": [whole("data/a", "data/a.wav", "ja")]}


def lhotse(folder: Path) -> Layout:
    touch(folder / "a.wav")
    source = {"type": "file", "channels": [0], "source": "a.wav"}
    supervisions = [
        {"id": "s1", "start": 0.5, "duration": 1.0, "text": "ja", "speaker": "anna", "language": "de"},
        {"id": "s2", "start": 2.0, "duration": 0.5, "text": "nein"},
    ]
    cut = {"id": "c", "start": 10.0, "duration": 3.0, "type": "MonoCut", "supervisions": supervisions}
    with gzip.open(folder / "x_cuts_train.jsonl.gz", "wt") as file:
        file.write(json.dumps(cut | {"recording": {"id": "r", "sources": [source]}}) + "\n")
    return "lhotse", {"train": [("s1", "a.wav", "ja", 10.5, 1.0, "anna"), ("s2", "a.wav", "nein", 12.0, 0.5, None)]}


def elan(folder: Path) -> Layout:
    """Written by pympi, an independent implementation: a time-aligned tier and one that refers to it."""
    touch(folder / "sound" / "rec 1.wav", folder / "rec 1.mp4")
    file = pympi.Elan.Eaf()
    file.add_linked_file("file:///C:/Users/x/rec%201.mp4", "./rec%201.mp4", mimetype="video/mp4")
    file.add_linked_file("file:///C:/Users/x/rec%201.wav", mimetype="audio/x-wav", time_origin=1000)
    file.add_linguistic_type("translation", "Symbolic_Association")
    file.add_tier("tx", part="anna")
    file.add_annotation("tx", 250, 1750, "ja & <ja>")
    file.add_annotation("tx", 2000, 3000, "  ")
    file.add_annotation("tx", 3000, 4500, "né\u0301")
    file.add_tier("ft", ling="translation", parent="tx", part="anna")
    file.add_ref_annotation("ft", "tx", 3500, "no")
    file.to_file(folder / "session.eaf")
    return "eaf", {
        "": [
            ("session@1.250", "sound/rec 1.wav", "ja & <ja>", 1.25, 1.5, "anna"),
            ("session@4.000", "sound/rec 1.wav", "né\u0301", 4.0, 1.5, "anna"),
        ]
    }


def praat(folder: Path) -> Layout:
    touch(folder / "a.wav", folder / "b.wav", folder / "c.wav")
    for name, mode, codec in (("a", "normal", "utf-8"), ("b", "short", "utf-16"), ("c", "normal", "utf-16")):
        grid = pympi.Praat.TextGrid(xmax=9.5)
        tier = grid.add_tier("words ä")
        tier.add_interval(0.00001, 1.5, f'{name} "ja"\n2 "')
        tier.add_interval(2, 9.5, " ")
        grid.add_tier("points", tier_type="TextTier").add_point(3, "x")
        grid.to_file(folder / f"{name}.TextGrid", codec, mode)
    return "textgrid", {
        "": [(f"{name}@0.000", f"{name}.wav", f'{name} "ja"\n2 "', 0.00001, 1.49999, None) for name in "abc"]
    }


LAYOUTS: dict[Callable[[Path], Layout], dict[str, str]] = {
    text_files: {},
    text_files_elsewhere: {},
    comma_table: {},
    semicolon_table_in_utf16: {},
    tab_tables_of_splits: {},
    table_with_split_column: {},
    ljspeech: {},
    common_voice: {},
    common_voice_validated: {},
    librispeech: {},
    librispeech_split: {},
    kaldi: {},
    nemo: {},
    plain_json_list: {},
    audiofolder: {},
    audiofolder_jsonl: {},
    lhotse: {},
    elan: {"tier": "tx"},
    praat: {},
}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_layouts_are_recognised_and_read_to_the_row(
    make: Callable[[Path], Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(tmp_path / "corpus")
    assert read(tmp_path / "corpus", **LAYOUTS[make]) == expected
    monkeypatch.chdir(tmp_path)
    assert read(Path("corpus"), **LAYOUTS[make]) == expected


def test_a_reader_recognises_no_other_layout(tmp_path: Path) -> None:
    """But for the plain folder, which any corpus is, and for tables with one more rule."""
    tables = {"audiofolder": {"table", "json-list"}, "common-voice": {"table"}}
    for make in LAYOUTS:
        folder = tmp_path / make.__name__
        format, _ = make(folder)
        inner = recognise(folder)[0]
        found = {name for name, reader in READERS.items() if reader.recognises(inner)}
        assert format in found and found <= {format, "folder"} | tables.get(format, set())


def make_corpus(folder: Path, count: int) -> None:
    for number in range(count):
        touch(folder / f"s{number % 30}_{number}.wav")
        write(folder / f"s{number % 30}_{number}.txt", f"text {number % 37}")


@pytest.mark.parametrize("by", ["id", "speaker", "text"])
def test_adding_data_moves_no_utterance(tmp_path: Path, by: str) -> None:
    source, pattern = tmp_path / "source", r"(?P<speaker>s\d+)_"
    make_corpus(source, 150)
    before = prepare(source, tmp_path / "before", by=by, pattern=pattern, fractions=[0.5, 0.25, 0.25]).manifests
    make_corpus(source, 300)
    after = prepare(source, tmp_path / "after", by=by, pattern=pattern, fractions=[0.5, 0.25, 0.25]).manifests
    assert list(before) == list(after) == ["train", "validation", "test"]
    for name, utterances in before.items():
        assert {u.id for u in utterances} < {u.id for u in after[name]}
    for key in ("speaker", "text"):
        seen = [{getattr(u, key) for u in utterances} for utterances in after.values()]
        assert (seen[0].isdisjoint(seen[1] | seen[2]) and seen[1].isdisjoint(seen[2])) is (by == key)


def test_manifests_are_what_was_read(tmp_path: Path) -> None:
    make_corpus(tmp_path / "source", 100)
    prepared = prepare(tmp_path / "source", tmp_path / "out" / "x")
    read_back = {name: read_manifest(tmp_path / "out" / "x" / f"{name}.jsonl") for name in prepared.manifests}
    assert read_back == prepared.manifests
    assert sum(map(len, read_back.values())) == 100
    expected = split([u for part in read_back.values() for u in part], (0.8, 0.1, 0.1))
    assert [{u.id for u in part} for part in expected] == [{u.id for u in part} for part in read_back.values()]


def utterances(count: int) -> list[Utterance]:
    return [Utterance(f"u{number}", Path("x.wav"), "x") for number in range(count)]


def test_given_splits_are_kept_and_fractions_take_from_train() -> None:
    given = {"train": utterances(200), "test": [Utterance("t", Path("t.wav"), "t")]}
    assert divide(given, None, "id") is given
    divided = divide(given, [0.9, 0.1], "id")
    assert list(divided) == ["test", "train", "validation"] and divided["test"] == given["test"]
    assert len(divided["train"]) + len(divided["validation"]) == 200
    with pytest.raises(SourceError, match="has its own test, which is kept"):
        divide(given, [0.8, 0.1, 0.1], "id")
    with pytest.raises(SourceError, match="but no train to divide"):
        divide({"test": given["test"]}, [0.9, 0.1], "id")
    with pytest.raises(SourceError, match="u0; use --by id or text"):
        divide({"": utterances(3)}, None, "speaker")
    with pytest.raises(SourceError, match=r"none of 2 utterances is in (validation|test)"):
        divide({"": utterances(2)}, None, "id")


def test_shares() -> None:
    assert parse_fractions("80,10,10") == [80, 10, 10] and parse_fractions("1") == [1]
    for wrong in ("", "0.8;0.2", "1,-1", "nan,1", "0,1", "1,1,1,1", "inf"):
        with pytest.raises(SourceError, match="must be shares of train"):
            parse_fractions(wrong)


def test_what_cannot_be_trained_on_is_set_aside_by_name(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 60)
    touch(tmp_path / "in" / "silent.wav", tmp_path / "in" / "empty.wav")
    write(tmp_path / "in" / "empty.txt", " \n")
    write(tmp_path / "in" / "lost.txt", "text")
    touch(tmp_path / "out" / "old.jsonl")
    done = run_asr("prepare", tmp_path / "in", "-o", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 texts have no recording" in done.stderr
    assert "recordings without a text: empty, silent" in done.stdout and "without a recording: lost" in done.stdout
    assert "old.jsonl not from this run" in done.stdout
    assert [u.id for u in read_manifest(tmp_path / "out" / "untranscribed.jsonl")] == ["empty", "silent"]
    assert [u.id for u in read_manifest(tmp_path / "out" / "missing.jsonl")] == ["lost"]


def test_description(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 60)
    prepared = prepare(tmp_path / "in", tmp_path / "out", pattern=r"(?P<speaker>s\d+)_")
    lines = list(describe(prepared, tmp_path / "out"))
    assert lines[0] == f"{tmp_path / 'in'}: folder of recordings with text files"
    assert lines[1] == "  s0_0.wav [s0]: text 0" and len([line for line in lines if ".wav" in line]) == 3
    assert sum(int(line.split()[1]) for line in lines if ".jsonl: " in line) == 60
    assert lines[-2].endswith("speakers are in more than one split; --by speaker keeps each in one")
    train = [Utterance(name, Path("x.wav"), name) for name in "abc"]
    given = Prepared(tmp_path, "folder", (), False, {"train": train, "test": train[:1]}, ())
    assert list(describe(given, tmp_path))[-2:] == [
        "1 of 3 texts are in more than one split",
        "there is no validation split, which training needs; --split 0.9,0.1 takes it out of train",
    ]


def test_kinds_of_text_are_listed_and_chosen(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "b.bin")
    for name in ("a.mb", "a.mb.cleaned", "b.mb.cleaned", "a.fr"):
        write(tmp_path / name, f"text of {name}")
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SourceError) as caught:
        read(tmp_path)
    assert [line.split() for line in str(caught.value).splitlines()[1:]] == [
        ["--text-suffix", kind, count, "of", "2", "recordings:", "text", "of", f"a{kind}"]
        for kind, count in ((".fr", "1"), (".mb", "1"), (".mb.cleaned", "2"))
    ]
    chosen = read(tmp_path, text_suffix=".mb.cleaned")[1][""]
    assert [text for _, _, text, *_ in chosen] == ["text of a.mb.cleaned", "text of b.mb.cleaned"]
    with pytest.raises(SourceError, match=r"no text file has the name of a recording and the suffix \.txt"):
        read(tmp_path, text_suffix=".txt")


def test_texts_speakers_and_splits_in_names(tmp_path: Path) -> None:
    touch(tmp_path / "seven_two" / "anna_dev_1.wav", tmp_path / "one" / "ben_train_1.wav")
    pattern = r"(?P<text>\w+)/(?P<speaker>[a-z]+)_(?P<split>[a-z]+)"
    assert read(tmp_path, pattern=pattern)[1] == {
        "train": [whole("one/ben_train_1", "one/ben_train_1.wav", "one", "ben")],
        "validation": [whole("seven_two/anna_dev_1", "seven_two/anna_dev_1.wav", "seven two", "anna")],
    }
    for wrong, message in (("(", "is not a regular expression"), ("x", "matches the start of none of 2 names")):
        with pytest.raises(SourceError, match=message):
            read(tmp_path, pattern=wrong)


def test_tiers_are_listed_and_chosen(tmp_path: Path) -> None:
    elan(tmp_path)
    with pytest.raises(SourceError) as caught:
        read(tmp_path)
    listed = [line.split() for line in str(caught.value).splitlines()[1:3]]
    assert listed[0] == ["--tier", "'tx'", "2", "annotations:", "ja", "&", "<ja>"]
    assert listed[1] == ["--tier", "'ft'", "1", "annotations:", "no"]
    assert read(tmp_path, tier="ft")[1][""] == [("session@4.000", "sound/rec 1.wav", "no", 4.0, 1.5, "anna")]
    assert [name for name, *_ in read(tmp_path, tier="*t*")[1][""]] == [
        "session@1.250@tx", "session@4.000@tx", "session@4.000@ft"
    ]  # fmt: skip
    with pytest.raises(SourceError, match="no tier 'tz' with text; choose"):
        read(tmp_path, tier="tz")


def test_annotations_without_time_are_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "a.wav")
    slots = '<TIME_SLOT TIME_SLOT_ID="x" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="y"/>'
    annotation = '<ALIGNABLE_ANNOTATION ANNOTATION_ID="{}" TIME_SLOT_REF1="x" TIME_SLOT_REF2="{}">'
    annotation = (
        f"<ANNOTATION>{annotation}<ANNOTATION_VALUE>{{}}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )
    tier = annotation.format("p", "y", "open") + annotation.format("q", "x", "short")
    write(tmp_path / "a.eaf", f"<A><TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID='t'>{tier}</TIER></A>")
    assert read(tmp_path) == ("eaf", {"": []})
    assert "left out 2 annotations that span no time" in caplog.text and "'open'" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "c,d\n1,2\n", "x.csv:1: no column for the recordings and one for the texts in: c, d"),
        ("x.csv", "path,text\na.wav,b,c\nb.wav,d\n", "x.csv:2: has 3 cells, but the first line has 2"),
        ("x.csv", "", "x.csv: is empty"),
        ("x.csv", 'path,text,x\na.wav,"b\n', "x.csv:2: "),
        ("x.csv", "path,text\n" + "a.wav," + "x" * 200_000, "field larger than field limit"),
        ("x.csv", "path,text,start\na.wav,b,far\n", "x.csv:2: offset is 'far', not a number of seconds"),
        ("x.csv", "path,text,start,end\na.wav,b,2,1\n", "duration is -1.0, not a number"),
        ("x.csv", "path,text,end\na.wav,b,x\n", "end is 'x', not a number"),
        ("x.csv", "path,text,split\na.wav,b,train\nb.wav,c,\n", "1 rows name no split, the first is b"),
        ("x.csv", "path,text,split\na.wav,b,../../x\n", "a split cannot have the name '../../x'"),
        ("x.csv", "path,text,id\na.wav,b,1\nb.wav,c,1\n", r"b.wav \(undivided\): has the id 1 of .*a.wav"),
        ("x.jsonl", '{"path": "a.wav", "text": "\\ud800"}', "x.jsonl:1: is not JSON"),
        ("x.jsonl", '{"path": "a.wav", "text": "a", "n": ' + "1" * 5000 + "}", "x.jsonl:1: is not JSON"),
        ("x.jsonl", '{"path": "a.wav", "start": 1' + "0" * 400 + "}", "not a number of seconds"),
        ("x.jsonl", '{"a.wav": "text"}', "names no recording; call that field audio or path; it has: a.wav"),
        ("x.json", '[["a.wav", "b"]]', "x.json:1: is a list"),
        ("x.json", "[" * 100_000, "begins like a JSON list, but is not JSON"),
        ("x.TextGrid", "", "it ends too early"),
        ("x.TextGrid", '"ooTextFile" "Collection"', "does not begin as a TextGrid"),
        ("x.TextGrid", "ooBinaryFile\x08TextGrid", "it is binary.*save it as a text file"),
        ("x.TextGrid", '"ooTextFile" "TextGrid" 0 1 <exists> "x"', "a number is expected where 'x' is"),
        ("x.eaf", "<A><TIER/></A", "cannot be read"),
        ("x.eaf", "<A><TIER><ANNOTATION><X/></ANNOTATION></TIER></A>", "lacks 'ANNOTATION_ID'"),
        ("x.eaf", "<A/>", "no tier has text"),
        ("x.jsonl.gz", "", "is not a format of corpora"),
        ("x.docx", "", "docx is not a format of corpora"),
    ],
)
def test_faulty_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    write(tmp_path / name, content)
    with pytest.raises(SourceError, match=message) as caught:
        prepare(tmp_path / name, tmp_path / "out")
    assert name in str(caught.value) or str(tmp_path) in str(caught.value)


def test_commands_and_archives_in_kaldi_directories_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "wav.scp", "r1 sph2pipe -f wav x.sph |\nr2 raw.ark:123\nr3 x.wav\nr4\n")
    write(tmp_path / "text", "r1 a\nr2 b\n")
    with pytest.raises(SourceError, match=r"r1 is a command, which is not run(.|\n)*r2 is raw.ark(.|\n)*r4 is empty"):
        read(tmp_path)
    write(tmp_path / "wav.scp", "r1 x.wav\n")
    write(tmp_path / "segments", "u1 r1 3 2\nu2 r1 x\n")
    with pytest.raises(SourceError, match=r"u1 is 'r1 3 2'(.|\n)*u2 is 'r1 x'"):
        read(tmp_path)
    write(tmp_path / "segments", "")
    write(tmp_path / "text", "r1 a\nr1 b\n")
    with pytest.raises(SourceError, match=r"text:2: r1 is in the file twice"):
        read(tmp_path)


def test_cuts_that_are_not_a_part_of_one_file_are_named(tmp_path: Path) -> None:
    lhotse(tmp_path)
    path = tmp_path / "cuts.jsonl"
    with gzip.open(tmp_path / "x_cuts_train.jsonl.gz", "rt") as file:
        good = json.load(file)
    recording = good["recording"]
    wrong = [
        {"id": "m", "type": "MixedCut", "supervisions": []},
        good | {"recording": recording | {"transforms": [{"name": "Speed"}]}},
        good | {"recording": recording | {"sources": [{"type": "url", "channels": [0], "source": "http://x"}]}},
        good | {"recording": recording | {"sources": [{"type": "file", "channels": [0, 1], "source": "a.wav"}]}},
        good | {"supervisions": [{"id": "s"}]},
        [],
    ]
    path.write_text("\n".join(json.dumps(cut) for cut in wrong).replace("}, {", "}, {") + "\n")
    with pytest.raises(SourceError) as caught:
        READERS["lhotse"].read(path)
    problems = ("m is a MixedCut", "has transforms", "a url", "one channel of several", "lacks 'start'", "is a list")
    for line, (found, problem) in enumerate(zip(str(caught.value).splitlines(), problems, strict=True), start=1):
        assert found.startswith(f"{path}:{line}: ") and problem in found


def test_refusals_of_the_whole(tmp_path: Path) -> None:
    make_corpus(tmp_path / "in", 3)
    touch(tmp_path / "file")
    for arguments, options, message in (
        (("nothing", "out"), {}, "no such file or folder"),
        (("in", "in"), {}, "that is not the source"),
        (("in", "file"), {}, "must be a folder"),
        (("in", "file/x"), {"fractions": [1.0]}, "cannot write the manifests"),
        (("in", "out"), {"by": "age"}, "must be one of id, speaker, text"),
        (("in", "out"), {"format": "age"}, "must be one of kaldi"),
        (("in", "out"), {"tier": "tx"}, "which has no option --tier; try another --format"),
        (("in", "out"), {"format": "eaf"}, "no tier has text"),
    ):
        with pytest.raises(SourceError, match=message):
            prepare(*(tmp_path / name for name in arguments), **options)
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"no recording \(found: nothing\)"):
        prepare(tmp_path / "empty", tmp_path / "out")
    touch(tmp_path / "audio" / "a.wav")
    with pytest.raises(SourceError, match=r"recordings without a text: 1 .*--pattern"):
        prepare(tmp_path / "audio", tmp_path / "out")
    make_corpus(tmp_path / "latin", 1)
    (tmp_path / "latin" / "\udcff.wav").touch()  # a name that is not UTF-8, as on old disks
    with pytest.raises(SourceError, match="is not a name in UTF-8; rename"):
        prepare(tmp_path / "latin", tmp_path / "out", fractions=[1.0])


def test_two_recordings_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav")
    write(tmp_path / "t.csv", "path,text\nx.wav,ja\n")
    with pytest.raises(SourceError, match=r"several recordings are called 'x.wav'"):
        read(tmp_path)
    write(tmp_path / "u.csv", "path,text\na/x.wav,ja\n")
    with pytest.raises(SourceError, match=r"t.csv, u.csv; give the one to read"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "format", "counts"),
    [
        ("ljspeech", {}, "ljspeech", {"": 385}),
        ("mboshi", {"text_suffix": ".mb.cleaned"}, "folder", {"validation": 462, "train": 4154}),
        ("fsdd", {"pattern": r"(?P<text>\d)_(?P<speaker>[a-z]+)"}, "folder", {"": 3000}),
        ("yesno", {"pattern": "(?P<text>[01_]+)"}, "folder", {"": 60}),
    ],
)
def test_real_corpora(corpora: Path, name: str, options: dict[str, str], format: str, counts: dict[str, int]) -> None:
    found, splits = read(corpora / name, **options)
    assert found == format and {split: len(rows) for split, rows in splits.items()} == counts
    assert all(text for rows in splits.values() for _, _, text, *_ in rows)
