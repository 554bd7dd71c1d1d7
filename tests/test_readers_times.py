"""Corpus readers of texts with times: labels, ELAN's text export and STM, as their programs write them."""

from pathlib import Path

import pytest
from layouts import notes, read, rows, sound, touch, write

from asr.corpus.prepare import prepare
from asr.corpus.readers import READERS
from asr.corpus.readers.files import SourceError


def test_audacity_labels(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.wav")
    write(
        tmp_path / "a.txt", "1.000000\t2.500000\tgood morning\n\\\t100.000000\t4000.000000\n3.000000\t3.000000\tpoint\n"
    )
    write(tmp_path / "b.txt", "0,500000\t1,250000\tGrüß Gott\r\n2,000000\t3,000000\t\r\n")
    write(tmp_path / "README.txt", "about this corpus")
    assert read(tmp_path) == (
        "labels",
        {
            "": [
                ("a@1.000", "a.wav", "good morning", 1.0, 1.5, None),
                ("b@0.500", "b.wav", "Grüß Gott", 0.5, 0.75, None),
            ]
        },
    )


def test_wavesurfer_labels(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    write(tmp_path / "a.lab", "0.000 0.500 good\n0.500 1 morning all\n1 1.5\n")
    assert rows(tmp_path) == [("good", 0.0, 0.5, None), ("morning all", 0.5, 0.5, None)]


def test_labels_of_another_name_belong_to_the_only_recording(tmp_path: Path) -> None:
    touch(tmp_path / "interview.wav")
    write(tmp_path / "Label Track.txt", "1.000000\t2.500000\tgood morning\n")
    assert rows(tmp_path) == [("good morning", 1.0, 1.5, None)]
    assert "another name than the only recording" in notes(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.lab", "0 10000000 hello\n10000000 20000000 world\n"),  # HTK: 100 ns
        ("a.wrd", "0 8000 hello\n8000 16000 world\n"),  # TIMIT: samples at 8 kHz
    ],
)
def test_the_length_of_the_recording_tells_the_unit_of_whole_numbers(tmp_path: Path, name: str, content: str) -> None:
    sound(tmp_path / "a.wav", 2.1)
    write(tmp_path / name, content)
    assert rows(tmp_path) == [("hello", 0.0, 1.0, None), ("world", 1.0, 1.0, None)]
    sound(tmp_path / "long" / "b.wav", 400)
    (tmp_path / name).rename(tmp_path / "long" / name.replace("a", "b", 1))
    with pytest.raises(SourceError, match=r"but b.wav lasts 400.00 s; write seconds with a decimal point"):
        read(tmp_path / "long")


def test_files_of_several_kinds_of_labels_are_chosen(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 2)
    write(tmp_path / "a.wrd", "0 8000 hello\n8000 16000 world\n")
    write(tmp_path / "a.phn", "0 4000 h\n4000 16000 e\n")
    with pytest.raises(SourceError, match="several tiers"):
        read(tmp_path)
    assert [text for text, *_ in rows(tmp_path, tier="wrd")] == ["hello", "world"]


def test_a_faulty_line_of_labels_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    good = "".join(f"{number}.000000\t{number}.500000\tyes\n" for number in range(9))
    write(tmp_path / "a.txt", good + "and so on\n")
    with pytest.raises(SourceError, match=r"a.txt:10: 'and so on' is no label; write start, end and text"):
        read(tmp_path)


def test_labels_beside_plain_transcripts_are_an_alignment(tmp_path: Path) -> None:
    for name in "ab":
        sound(tmp_path / f"{name}.wav", 1)
        write(tmp_path / f"{name}.lab", "0 5000000 g\n5000000 9000000 uh\n")
        write(tmp_path / f"{name}.txt", "good morning")
    assert read(tmp_path)[0] == "folder" and [text for text, *_ in rows(tmp_path)] == ["good morning"] * 2
    assert len(READERS["labels"].read(tmp_path)[""]) == 4


def test_spoken_numbers_are_no_labels(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    write(tmp_path / "a.txt", "0 1 2")
    write(tmp_path / "b.txt", "7 3 9 one")
    assert read(tmp_path)[0] == "folder"


HMS, SEC, MSEC = ("00:00:01.250", "00:00:02.500"), ("1.25", "2.5"), ("1250", "2500")
DURATIONS = ("00:00:01.250", "1.25", "1250")


def elan_line(units: list[tuple[str, str]], durations: list[str], text: str = "hé ŋa", tier: str = "tx@A\tAnna") -> str:
    cells = [tier, *(begin for begin, _ in units), *(end for _, end in units), *durations, text]
    return "\t".join(cells) + "\n"


@pytest.mark.parametrize(
    ("units", "durations"),
    [
        ([HMS, SEC, MSEC], list(DURATIONS)),
        ([HMS, SEC], list(DURATIONS[:2])),
        ([HMS], []),
        ([SEC], [DURATIONS[1]]),
        ([MSEC], [DURATIONS[2]]),
        ([HMS, MSEC], []),
    ],
)
@pytest.mark.parametrize("with_header", [False, True])
@pytest.mark.parametrize("text", ["hé ŋa", "7"])
def test_elan_text_export(
    tmp_path: Path, units: list[tuple[str, str]], durations: list[str], with_header: bool, text: str
) -> None:
    touch(tmp_path / "a.wav")
    names = {id(HMS): "hh:mm:ss.ms", id(SEC): "ss.msec", id(MSEC): "msec"}
    header = ["Tier", "Participant"]
    header += [f"{what} Time - {names[id(unit)]}" for what in ("Begin", "End") for unit in units]
    header += [f"Duration - {names[id(unit)]}" for unit in units][: len(durations)]
    content = "\t".join([*header, "Annotation"]) + "\n" if with_header else ""
    write(tmp_path / "a.txt", content + elan_line(units, durations, text) + elan_line(units, durations, tier="tx@A\t"))
    assert read(tmp_path)[0] == "elan-text"
    assert rows(tmp_path) == [(text, 1.25, 1.25, "Anna"), ("hé ŋa", 1.25, 1.25, None)]


def test_elan_text_export_with_a_column_for_each_tier(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    header = "Begin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\ttx@A\tft@A\n"
    write(tmp_path / "a.txt", header + "00:00:01.000\t00:00:02.000\tŋa\tyes\n00:00:03.000\t00:00:04.000\tmba\t\n")
    with pytest.raises(SourceError, match="several tiers"):
        read(tmp_path)
    assert rows(tmp_path, tier="tx@A") == [("ŋa", 1.0, 1.0, None), ("mba", 3.0, 1.0, None)]


def test_elan_export_as_csv_and_in_another_language(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    header = "Acteur,Temps de départ - ss.msec,Durée - ss.msec,default\n"
    write(tmp_path / "a.csv", header + 'tx,5.5,12.25,"oui, oui"\ntx,20.0,1.5,non\n')
    assert read(tmp_path)[0] == "elan-text"
    assert rows(tmp_path) == [("oui, oui", 5.5, 12.25, None), ("non", 20.0, 1.5, None)]


def test_elan_text_export_of_several_files(tmp_path: Path) -> None:
    """The column of the file tells the recording, and so does the line above the table."""
    touch(tmp_path / "s1.wav", tmp_path / "s2.wav")
    lines = [f"tx\t\t00:00:01.000\t00:00:02.000\t{text}\t{name}.eaf\n" for name, text in (("s1", "ŋa"), ("s2", "mba"))]
    write(tmp_path / "export.txt", "".join(lines))
    assert [(audio, text) for _, audio, text, *_ in read(tmp_path)[1][""]] == [("s1.wav", "ŋa"), ("s2.wav", "mba")]
    (tmp_path / "s2.wav").unlink()
    above = '"#file:///C:/x/s9.eaf"\n"#file:///C:/x/s1.wav -- offset: 500"\n'
    write(tmp_path / "export.txt", above + "tx\t\t00:00:01.000\t00:00:02.000\tŋa\n")
    assert rows(tmp_path) == [("ŋa", 1.5, 1.0, None)]


def test_faulty_lines_of_an_elan_text_export_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    good = elan_line([HMS], [])
    write(tmp_path / "a.txt", good * 3 + good.replace("00:00:02.500", "soon") + "tx\n")
    with pytest.raises(SourceError, match=r"a.txt:4: 'soon' is not a time; correct it\n.*a.txt:5: lacks columns"):
        read(tmp_path)


STM = """;; a comment
;; CATEGORY "0" "" ""
talk 1 anna_f 0.00 0.50 <o,f0,female> ignore_time_segment_in_scoring
talk 1 anna_f 0.50 2.00 <o,f0,female> it is { a / the } talk(2) (%uh) [NOISE] about (this)
talk 1 ben 2.00 3.50 <unk> {SMACK} yes
talk 1 inter_segment_gap 3.50 4.00 <o,,unknown> ignore_time_segment_in_scoring
"""


def test_stm(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "sph" / "talk.sph", tmp_path / "dev" / "sph" / "other.sph")
    write(tmp_path / "train" / "stm" / "talk.stm", STM)
    write(tmp_path / "dev" / "stm" / "other.stm", "other 1 cleo 1 2.5 no label\n")
    format, splits = read(tmp_path)
    assert format == "stm" and list(splits) == ["train", "validation"]
    assert splits["train"] == [
        ("train/stm/talk@0.500", "train/sph/talk.sph", "it is a talk about this", 0.5, 1.5, "anna_f"),
        ("train/stm/talk@2.000", "train/sph/talk.sph", "yes", 2.0, 1.5, "ben"),
    ]
    said = notes(tmp_path)[0]
    assert "segments that are not scored 2" in said and "alternatives but the first { a / b } 1" in said
    assert "[NOISE] 1" in said and "%uh 1" in said and "{SMACK} 1" in said


def test_a_copy_of_an_stm_is_noted(tmp_path: Path) -> None:
    touch(tmp_path / "talk.wav")
    write(tmp_path / "a.stm", STM)
    assert not any("several files" in line for line in notes(tmp_path))
    write(tmp_path / "old" / "b.stm", STM)
    assert any("1 recording is annotated by several files" in line for line in notes(tmp_path))


def test_stm_is_recognised_by_its_content(tmp_path: Path) -> None:
    touch(tmp_path / "talk.wav")
    write(tmp_path / "references.txt", STM)
    assert read(tmp_path)[0] == "stm" and len(rows(tmp_path)) == 2


def test_two_channels_of_an_stm_are_never_one_recording(tmp_path: Path) -> None:
    sound(tmp_path / "call.wav", 3, channels=2)
    write(tmp_path / "call.stm", "call A anna 0 1 hello\ncall B ben 1 2 hi\n")
    with pytest.raises(SourceError, match=r"call has the channels A, B, .* called call-A.wav"):
        read(tmp_path)
    sound(tmp_path / "call-A.wav", 3)
    sound(tmp_path / "call_B.wav", 3)
    write(tmp_path / "call.stm", "call A anna 0 1 hello\n")
    assert any("has more channels than its STM names" in line for line in notes(tmp_path))
    write(tmp_path / "call.stm", "call A anna 0 1 hello\ncall B ben 1 2 { { hi / ho } / he }\n")
    named = {text: audio for _, audio, text, *_ in read(tmp_path)[1][""]}
    assert named["hello"] == "call-A.wav" and named["hi"] == "call_B.wav"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("talk 1 anna 2 1 x", r"talk.stm:1: ends at 1 s, where or before it starts \(2 s\)"),
        ("talk 1 anna", "talk.stm:1: has 3 fields"),
        ("talk 1 anna 0 " + "9" * 400 + " x", "talk.stm:1: '9999.*' is not a number of seconds"),
    ],
)
def test_faulty_lines_of_an_stm_are_named(tmp_path: Path, line: str, message: str) -> None:
    touch(tmp_path / "talk.wav")
    write(tmp_path / "talk.stm", line)
    with pytest.raises(SourceError, match=message):
        prepare(tmp_path, tmp_path / "out")
