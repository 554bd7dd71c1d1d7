"""The kind of a text by its content: markup, subtitles, labels and tables are found, plain transcripts never are."""

from pathlib import Path

import pytest
from layouts import read, touch, write

from asr.corpus.prepare import prepare
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.kinds import kind_of

PLAIN = [
    "hello", "1 2 3", "0 0 1 1", "1 0 1 0 1 1 0", "<noise> hello", "<noise>", "[noise] hello", "[1] hello", "12:30",
    "the train leaves at 10:30", "it is 12:30:15 now", "A: hello\nB: hi there\nA: good", "{laugh} hello", "1900",
    "3.5 4.5", "1 2 3\n2 3 4", "5", "hello\tworld", "first line\nsecond line\nthird", "10 20 thirty", "1,5 2,5",
    "\\noise hello", '"quoted"', '["x', "<unk>", "1 2\n3 4", "# hello", "@home hello", "1500 2000 was the year", "",
    "one two (a)", "he said: {yes}", "[text] [more]", "a --> b", "20 000 leagues", "3.14 2.72 and other numbers",
]  # fmt: skip
STRUCTURED = {
    "1\n00:00:00,000 --> 00:00:01,000\nhello": "subtitles",
    "WEBVTT\n\n00:00.000 --> 00:01.000\nhi": "subtitles",
    "[Script Info]\nTitle: x\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,x,hello": "subtitles",
    "0:00:00.000,0:00:01.000\nhi": "subtitles (SBV)",
    "{0}{25}hi\n{25}{50}ho": "subtitles (MicroDVD)",
    "[00:12.00]hi\n[00:14.00]ho": "lyrics with times",
    "0.5\t1.0\thello\n1.0\t2.0\tworld": "labels with times",
    "0.500000\t1.000000\thello": "labels with times",
    "0 2400 h#\n2400 3000 sh": "labels with times",
    "0 10000000 hello": "labels with times",
    "signal x\ntype 0\n#\n 0.25 121 h#\n 0.5 121 a": "labels with times (ESPS)",
    "rec 1 0.00 0.30 hello\nrec 1 0.30 0.2 x": "a list with times",
    "SPEAKER rec 1 0.0 1.5 <NA> <NA> anna <NA> <NA>": "a list with times",
    ";; comment\nrec 1 anna 0.00 1.00 <o> hello": "a list with times",
    "tx@A\tA\t00:00:00.000\t0.0\t00:00:01.000\t1.0\thello": "a table",
    "start\tend\ttext\n0\t1000\thi": "a table",
    "\\ref 1\n\\tx hello\n\\ge hi": "a Toolbox file",
    "@UTF8\n@Begin\n*CHI:\thello .\n@End": "a CHAT transcript",
    "{\\rtf1\\ansi hello}": "rich text (RTF)",
    '<?xml version="1.0"?><a>x</a>': "XML",
    "<Trans><Episode/></Trans>": "XML",
    "<html><body>hello</body></html>": "XML",
    '[{"a": 1}]': "JSON",
    '{"text": "a': "JSON",
    "text: hello\nspeaker: anna": "fields with names (YAML)",
    "---\ntext: hello": "fields with names (YAML)",
    "transcript = hello": "fields with names (YAML)",
    "segments:\n  - start: 0\n    text: hello": "fields with names (YAML)",
    '["hello"]': "JSON",
    'File type = "ooTextFile"\nObject class = "TextGrid"\n': "a Praat file",
    "Speaker 1  00:00\nhello\nSpeaker 2  00:05\nhi": "a text with times",
    "(00:01:02) hello there": "a text with times",
    "[00:00.000 --> 00:02.000]  hello": "a text with times",
}


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_transcript_is_of_no_kind(text: str) -> None:
    assert kind_of(text) is None


@pytest.mark.parametrize("text", STRUCTURED)
def test_a_structured_text_has_a_kind(text: str) -> None:
    assert kind_of(text) == STRUCTURED[text] == kind_of("\ufeff" + text.replace("\n", "\r\n") + "\n")


def test_a_structured_text_among_plain_ones_is_named_and_not_read(tmp_path: Path) -> None:
    touch(*(tmp_path / "in" / f"{name}.wav" for name in "abc"))
    write(tmp_path / "in" / "a.txt", "hello")
    write(tmp_path / "in" / "b.txt", '{"text": "hello"}')
    write(tmp_path / "in" / "c.txt", "world")
    prepared = prepare(tmp_path / "in", tmp_path / "out", format="folder", fractions=[1.0])
    assert [row.text for row in prepared.manifests["train"]] == ["hello", "world"]
    assert list(prepared.manifests) == ["train"]
    assert len(prepared.faults) == 1 and "b.txt: holds JSON, not a plain transcript" in prepared.faults[0]


def test_plain_text_is_chosen_beside_structured_texts(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.wav")
    write(tmp_path / "in" / "a.txt", "hello")
    write(tmp_path / "in" / "a.json", '{"text": "hello"}')
    prepared = prepare(tmp_path / "in", tmp_path / "out", format="folder")
    assert [row.text for row in prepared.manifests["train"]] == ["hello"]
    assert "not used: a.json: it holds JSON, which is not read in this layout" in prepared.notes
    with pytest.raises(SourceError, match=r"a.json: holds JSON, not a plain transcript"):
        prepare(tmp_path / "in", tmp_path / "out", format="folder", text_suffix=".json")


def test_suffixes_in_any_case_are_one_kind(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    write(tmp_path / "a.txt", "eins")
    write(tmp_path / "b.TXT", "zwei")
    assert [text for _, _, text, *_ in read(tmp_path)[1][""]] == ["eins", "zwei"]


def test_the_reason_for_each_kind_of_file_that_was_not_used(tmp_path: Path) -> None:
    source = tmp_path / "in"
    touch(source / "a.wav", source / "b.wav")
    write(source / "names.csv", "Recordist;Words\na;hello\nb;world\n")
    write(source / "old.tab", "Größe\tWort\n", "cp1252")
    (source / "notes.docx").write_bytes(b"PK\x03\x04\0\0")
    (source / "sheet.xlsx").write_bytes(b"PK\x03\x04\0\0")
    write(source / "plain.txt", "a story")
    write(source / "README.md", "read me")
    with pytest.raises(SourceError) as caught:
        prepare(source, tmp_path / "out", format="folder")
    reasons = {Path(line.split(": ")[1]).name: line for line in str(caught.value).splitlines()[1:]}
    assert reasons.keys() == {"names.csv", "old.tab", "notes.docx", "sheet.xlsx", "plain.txt"}
    assert "Recordist, Words; name them: --columns file=Recordist,text=Words" in reasons["names.csv"]
    assert "line 1 is not UTF-8 (byte 2); save it as UTF-8, or name its encoding with --encoding" in reasons["old.tab"]
    assert "save it as CSV" in reasons["sheet.xlsx"] and "save its text" in reasons["notes.docx"]
    assert reasons["plain.txt"].endswith("no recording has its name")
