"""Tables as people have them: units of times, columns by name and number, encodings, repeated rows, odd first lines."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from layouts import touch, write
from processes import run_asr

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import Prepared, prepare
from asr.corpus.readers.columns import fields, parse_columns
from asr.corpus.readers.files import SourceError
from asr.utterance import Utterance

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a folder with a recording of 30 seconds, `long.wav`, and two empty ones, `a.wav` and `b.wav`."""
    touch(tmp_path / "in" / "a.wav", tmp_path / "in" / "b.wav")
    soundfile.write(tmp_path / "in" / "long.wav", np.zeros(30 * RATE), RATE)
    return tmp_path / "in"


def prepared(folder: Path, table: str, written_as: str = "utf-8", **options: str) -> tuple[list[Utterance], Prepared]:
    write(folder / "data.csv", table, written_as)
    result = prepare(folder, folder.parent / "out", fractions=[1.0], **options)  # type: ignore[arg-type]
    return sorted(result.manifests["train"], key=lambda row: (row.audio, row.offset)), result


def spans(folder: Path, header: str, *rows: str, **options: str) -> list[tuple[float, float | None]]:
    table = f"file,text,{header}\n" + "".join(f"long.wav,text {n},{row}\n" for n, row in enumerate(rows))
    found, _ = prepared(folder, table.replace(",", ";") if ";" in header else table, **options)
    return [(row.offset, row.duration) for row in found]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("start,end", ("1,1.5", "20,28.25")),
        ("start,end", ("1000,1500", "20000,28250")),
        ("start,end", ("8000,12000", "160000,226000")),
        ("start_ms,end_ms", ("1000,1500", "20000,28250")),
        ("Start (ms),duration [ms]", ("1000,500", "20000,8250")),
        ("startMs,endMs", ("1000,1500", "20000,28250")),
        ("start_sample,end_sample", ("8000,12000", "160000,226000")),
        ("begin,stop", ("00:00:01.000,00:00:01.500", "00:00:20,00:00:28.250")),
        ("begin,stop", ("0:01,0:01.5", "0:20,0:28.25")),
        ("onset,offset", ("1,1.5", "20,28.25")),
        ("xmin,xmax", ("1,1.5", "20,28.25")),
        ("Begin Time - ss.msec,End Time - ss.msec", ("1.0,1.5", "20.0,28.25")),
        ("Begin Time - msec,Duration - msec", ("1000,500", "20000,8250")),
        ("start,end", ("1s,1500ms", "20 s,28.25 sec")),
    ],
)
def test_times_in_every_unit(folder: Path, header: str, rows: tuple[str, str]) -> None:
    assert spans(folder, header, *rows) == [(1.0, 0.5), (20.0, 8.25)]


def test_decimal_commas(folder: Path) -> None:
    write(folder / "data.csv", "file;text;start;end\nlong.wav;x;1,25;1,5\n")
    (row,) = prepare(folder, folder.parent / "out", fractions=[1.0]).manifests["train"]
    assert (row.offset, row.duration) == (1.25, 0.25)


def test_a_unit_that_was_guessed_is_said(folder: Path) -> None:
    _, result = prepared(folder, "file,text,start,end\nlong.wav,x,1000,1500\nlong.wav,y,28000,29500\n")
    assert "the times are read as milliseconds: start and end reach 29500, in a recording of 30.0 s" in result.notes
    _, result = prepared(folder, "file,text,start,end\nlong.wav,x,1,1.5\n")
    assert not any("the times" in note for note in result.notes)
    # Whole numbers that fit as seconds, but only as very long segments.
    soundfile.write(folder / "long.wav", np.zeros(3000 * 1000), 1000)
    assert spans(folder, "start,end", "0,800", "1000,1800", "2000,2800") == [(0.0, 0.8), (1.0, 0.8), (2.0, 0.8)]


def test_times_that_fit_in_no_unit_are_named(folder: Path) -> None:
    with pytest.raises(
        SourceError, match=r"data.csv: from_t and to_t reach 9e\+08, in a recording of 30.0 s: they fit"
    ):
        spans(folder, "from_t,to_t", "1e8,2e8", "8e8,9e8", columns="file=file,text=text,start=from_t,end=to_t")
    assert spans(folder, "a,b", "1000,1500", columns="file=file,text=text,start_ms=a,end_ms=b") == [(1.0, 0.5)]
    with pytest.raises(SourceError, match=r"data.csv:2: offset is '00:00:01:12', not a number of seconds"):
        spans(folder, "start,end", "00:00:01:12,00:00:02:00")
    with pytest.raises(SourceError, match=r"states samples, and the sample rate of .*a.wav cannot be read"):
        prepared(folder, "file,text,start_samples\na.wav,x,8000\n")


def test_repeated_rows(folder: Path) -> None:
    found, result = prepared(folder, "file,text\na.wav,x\nb.wav,y\na.wav,x\n")
    assert len(found) == 2
    assert f"1 row repeats an earlier row, and is left out: {folder / 'data.csv'}:4 repeats line 2" in result.notes
    with pytest.raises(SourceError, match=r"data.csv:3: repeats a.wav of line 2 with another text; keep one of these"):
        prepared(folder, "file,text\na.wav,x\na.wav,z\n")
    with pytest.raises(SourceError, match=r"--columns start=…,end=… \(not used: from_t, to_t\)"):
        prepared(folder, "file,text,from_t,to_t\nlong.wav,x,0,1\nlong.wav,z,1,2\n")
    with pytest.raises(SourceError, match=r"repeats long.wav at this start of line 2"):
        prepared(folder, "file,text,start\nlong.wav,x,1\nlong.wav,z,1\n")


def test_odd_first_lines_and_empty_cells(folder: Path) -> None:
    for table in (
        "sep=;\nfile;text\na.wav;x\nb.wav;y\n",
        '"sep=;"\r\nfile;text\r\na.wav;x\r\nb.wav;y\r\n',
        "file,text,\na.wav,x,\nb.wav,y,\n",
        "file,text\na.wav,x,,\nb.wav,y\n",
        ",file,text\n0,a.wav,x\n1,b.wav,y\n",
    ):
        found, _ = prepared(folder, table)
        assert [(row.audio.name, row.text, row.extra) for row in found] == [("a.wav", "x", {}), ("b.wav", "y", {})]
    with pytest.raises(SourceError, match=r"data.csv:3: has 3 cells"):
        prepared(folder, "sep=;\nfile;text\na.wav;x;y\n")
    with pytest.raises(SourceError, match=r"data.csv:2: names no recording: the cell of file is empty"):
        prepared(folder, "file,text\n,x\n")
    found, result = prepared(folder, "file,text,sentence\na.wav,x,\nb.wav,,y\n")
    assert [row.text for row in found] == ["x"] and len(result.manifests["untranscribed"]) == 1


def test_columns_are_named(folder: Path) -> None:
    table = "Sprecher,Datei,Wörter,Anmerkung\nanna,a.wav,ja gewiss,x\nben,b,nein doch,\n"
    with pytest.raises(SourceError, match=r"name them: --columns file=Datei,text=Wörter"):
        prepared(folder, table, format="table")
    found, _ = prepared(folder, table, columns="file=Datei, text=Wörter,speaker=Sprecher")
    assert [(row.audio.name, row.text, row.speaker, row.extra) for row in found] == [
        ("a.wav", "ja gewiss", "anna", {"Anmerkung": "x"}), ("b.wav", "nein doch", "ben", {})
    ]  # fmt: skip
    found, _ = prepared(folder, "a|x, y|anna\nb|z|ben\n", columns="file=1,text=2,speaker=3")
    assert [(row.text, row.speaker) for row in found] == [("x, y", "anna"), ("z", "ben")]
    # A column that is named comes before one with a usual name.
    found, _ = prepared(folder, "file,text,clean\na.wav,X!,x\nb.wav,Y,\n", columns="text=clean")
    assert [(row.text, row.extra) for row in found] == [("x", {"source_text": "X!"})]


def test_columns_that_are_not_there_are_refused(folder: Path) -> None:
    table = "Datei,Text\na.wav,ja\n"
    for columns, message in (
        ("file=Daten,text=Text", "no column for the recordings .* in: Datei, Text, as --columns audio_filepath=Daten"),
        ("file=1,text=9", "has 2 columns, but --columns names column 9"),
        ("Datei", "must name columns of the table, such as file=Filename"),
        ("words=Text", "must name columns of the table"),
    ):
        with pytest.raises(SourceError, match=message):
            prepared(folder, table, columns=columns)


def test_choices_of_columns() -> None:
    assert parse_columns("file=Audio, take 1,text=Text, corrected,start_ms=t (ms)") == {
        "audio_filepath": "Audio, take 1",
        "text": "Text, corrected",
        "offset_ms": "t (ms)",
    }
    assert fields(["onset", "offset", "file"]) == {"audio_filepath": "file", "offset": "onset", "end": "offset"}
    assert fields(["Speaker-ID", "clientId", "Path"]) == {"audio_filepath": "Path", "speaker": "Speaker-ID"}


def test_encodings(folder: Path) -> None:
    table = "file;text\na.wav;é\nb.wav;straße\n"
    with pytest.raises(SourceError, match=r"data.csv:2: is not UTF-8 \(byte 16\).*--encoding cp1252 \(byte E9 is é"):
        prepared(folder, table, "cp1252")
    for encoding in ("cp1252", "latin-1", "mac-roman", "utf-16-le"):
        found, _ = prepared(folder, table, encoding, encoding=encoding)
        assert [row.text for row in found] == ["é", "straße"]
    found, result = prepared(folder, table, "utf-8", encoding="cp1252")
    assert [row.text for row in found] == ["é", "straße"]
    assert any("1 text is read as UTF-8, which it is, and not as cp1252" in note for note in result.notes)
    with pytest.raises(SourceError, match=r"data.csv: it holds zero bytes.*--encoding utf-16-le"):
        prepared(folder, table, "utf-16-le", format="table")
    for name in ("klingon", "hex", "x\0"):
        with pytest.raises(SourceError, match=r"--encoding .*: is not the name of an encoding"):
            prepared(folder, table, encoding=name)
    with pytest.raises(SourceError, match=r"data.csv:2: is not SHIFT-JIS .*, or correct --encoding"):
        prepared(folder, "file;text\na.wav;\xff\xff\n", "latin-1", encoding="shift-jis")


def test_options_of_the_command_line(folder: Path) -> None:
    write(folder / "data.csv", "Datei;Wörter\na_x.wav;é\nb;sil\n", "cp1252")
    (folder / "a.wav").rename(folder / "a_mic.wav")
    arguments = [
        "--encoding",
        "cp1252",
        "--columns",
        "file=Datei,text=Wörter",
        "--pair",
        "{id}_mic.wav",
        "--drop",
        "sil",
    ]
    done = run_asr("prepare", folder, "-o", folder.parent / "out", "--split", "1", *arguments, "--pair", "{id}_x.wav")
    assert done.returncode == 0 and "--drop sil: 1 utterance has this text" in done.stdout
    assert [row.text for row in read_manifest(folder.parent / "out" / "train.jsonl")] == ["é"]


def test_a_table_with_the_name_of_a_recording_holds_its_segments(folder: Path) -> None:
    """Whisper writes such tables, in milliseconds."""
    (folder / "long.wav").rename(folder / "talk.wav")
    write(folder / "talk.tsv", "start\tend\ttext\n0\t1500\thello\n1500\t2900\tworld\n")
    write(folder / "a.tsv", "start\tend\ttext\n0\tx\thello\n")
    write(folder / "b.tsv", "start\tend\ttext\n0\t1\tyes\n")
    result = prepare(folder, folder.parent / "out", fractions=[1.0])
    rows = sorted(result.manifests["train"], key=lambda row: row.id)
    assert [(row.id, row.audio, row.text, row.offset, row.duration) for row in rows] == [
        ("b@0", folder / "b.wav", "yes", 0.0, 1.0),
        ("talk@0", folder / "talk.wav", "hello", 0.0, 1.5),
        ("talk@1.500", folder / "talk.wav", "world", 1.5, 1.4),
    ]
    assert len(result.faults) == 1 and "a.tsv:2: end is 'x', not a number" in result.faults[0]
    (row,) = prepare(folder / "b.tsv", folder.parent / "out", fractions=[1.0]).manifests["train"]
    assert row.text == "yes"
