"""Corpus readers: every layout is recognised and read to the row, faulty files are named, and the real corpora."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import LAYOUTS, Layout, elan, lhotse, read, touch, whole, write

from asr.corpus.prepare import prepare, recognise
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_layouts_are_recognised_and_read_to_the_row(
    make: Callable[[Path], Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(tmp_path / "corpus")
    assert read(tmp_path / "corpus", **LAYOUTS[make]) == expected
    monkeypatch.chdir(tmp_path)
    assert read(Path("corpus"), **LAYOUTS[make]) == expected


def test_a_reader_recognises_no_other_layout(tmp_path: Path) -> None:
    """Exceptions: every corpus is also a plain folder or a list, as a last resort, and two layouts are also tables."""
    tables = {"audiofolder": {"table", "json-list"}, "common-voice": {"table"}}
    last = {name for name, reader in READERS.items() if reader.is_fallback}
    for make in LAYOUTS:
        folder = tmp_path / make.__name__
        format, _ = make(folder)
        inner = recognise(folder)[0]
        found = {name for name, reader in READERS.items() if reader.recognises(inner)}
        assert format in found and found <= {format} | last | tables.get(format, set())


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


def test_annotations_without_time_are_left_out_by_name(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    slots = '<TIME_SLOT TIME_SLOT_ID="x" TIME_VALUE="500"/><TIME_SLOT TIME_SLOT_ID="y"/>'
    annotation = '<ALIGNABLE_ANNOTATION ANNOTATION_ID="{}" TIME_SLOT_REF1="x" TIME_SLOT_REF2="{}">'
    annotation = (
        f"<ANNOTATION>{annotation}<ANNOTATION_VALUE>{{}}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
    )
    tier = annotation.format("p", "y", "open") + annotation.format("q", "x", "short")
    write(tmp_path / "a.eaf", f"<A><TIME_ORDER>{slots}</TIME_ORDER><TIER TIER_ID='t'>{tier}</TIER></A>")
    with reading() as found:
        assert read(tmp_path) == ("eaf", {"": []})
    (note,) = found.notes
    assert note.startswith("left out 2 annotations that span no time, such as ") and note.endswith("t 'open'")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "c,d\n1,2\n", "x.csv:1: no column for the recordings and one for the texts in: c, d"),
        ("x.csv", ",".join(["y" * 60_000, "z"] * 2) + "\n1,2,3,4\n", "texts in: y{300}; the first line must name them"),
        ("x.csv", "path,text\na.wav,b,c\nb.wav,d\n", "x.csv:2: has 3 cells, but the first line has 2"),
        ("x.csv", "", "x.csv: is empty"),
        ("x.csv", 'path,text,x\na.wav,"b\n', "x.csv:2: "),
        ("x.csv", "path,text\n" + "a.wav," + "x" * 200_000, "field larger than field limit"),
        ("x.csv", "path,text,start\na.wav,b,far\n", "x.csv:2: offset is 'far', not a number of seconds"),
        ("x.csv", "path,text,start,end\na.wav,b,2,1\n", "duration is -1.0, not a number"),
        ("x.csv", "path,text,end\na.wav,b,x\n", "end is 'x', not a number"),
        ("x.csv", "path,text,split\na.wav,b,train\nb.wav,c,\n", "1 row names no split, the first is b"),
        ("x.csv", "path,text,split\na.wav,b,../../x\n", "a split cannot have the name '../../x'"),
        ("x.csv", "path,text,id\na.wav,b,1\nb.wav,c,1\n", "x.csv:3: has the id 1 of line 2; ids must differ"),
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


def test_two_recordings_with_one_name_are_an_error(tmp_path: Path) -> None:
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


def test_the_speaker_in_a_list_of_three_columns_is_not_the_text(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()

    def rows(*lines: str) -> tuple[list[tuple[str | None, str | None]], list[str]]:
        touch(*(tmp_path / "wavs" / f"{number}.wav" for number in range(len(lines))))
        write(tmp_path / "metadata.csv", "".join(f"{number}|{line}\n" for number, line in enumerate(lines)))
        with reading() as found:
            return [(text, speaker) for _, _, text, _, _, speaker in read(tmp_path)[1][""] if text], found.notes

    sentences = ["good morning all", "good night", "see you there", "see you", "be well", "all well"]
    for texts, speakers in ((sentences, "ababab"), (sentences[:2] * 3, "abcabc"), (sentences, "abcdef")):
        pairs = list(zip(texts, speakers, strict=True))
        for lines in ([f"{text}|{speaker}" for text, speaker in pairs], [f"{who}|{text}" for text, who in pairs]):
            found, notes = rows(*lines)
            assert found == pairs and "read as the speaker" in notes[0]
    assert rows("7|seven", "8|eight", "7|seven", "8|eight")[0] == [("seven", None), ("eight", None)] * 2
    assert rows(*(f"In {year}|in the year {year}" for year in range(6)))[0][0] == ("in the year 0", None)
    found, notes = rows("guten Morgen|good morning", "gute Nacht|good night")
    assert found[0] == ("good morning", None) and "column 3 is read as the text: 'guten Morgen'" in notes[0]
    with pytest.raises(SourceError, match=r"columns 2 and 3 both repeat a few values.*--columns file=1,text=2"):
        rows("yes|a", "no|b", "yes|b", "no|a")
