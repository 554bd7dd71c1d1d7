"""Corpus reader of subtitles, and what all readers of annotation files share: pairs, ids, damaged files."""

from pathlib import Path

import pytest
from layouts import notes, read, rows, touch, write

from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reading import reading
from asr.transcript import Transcript, Word

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Good</i> morning,
{\\an8}all of you.

2
00:00:03,250 --> 00:00:04,000 X1:10 X2:20 Y1:1 Y2:2
[door slams] Yes & no.

3
00:00:05,000 --> 00:00:06,000
♪ la la la ♪
"""
VTT = """WEBVTT - made by hand
Kind: captions

NOTE a comment
of two lines

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.500 align:start position:0%
<v.loud Anna Smith>Good &amp; <b>bad</b></v>

01:00:03.250 --> 01:00:04.000
<c.yellow>ŋa</c>
"""
ROLL_UP = """WEBVTT
Kind: captions
Language: en

00:00:00.000 --> 00:00:02.000 align:start position:0%
 
one<00:00:00.500><c> two</c><00:00:01.000><c> three</c>

00:00:02.000 --> 00:00:02.010 align:start position:0%
one two three
 

00:00:02.010 --> 00:00:04.000 align:start position:0%
one two three
four<00:00:03.000><c> five</c>
"""


def test_srt(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp3")
    write(tmp_path / "a.srt", SRT.replace("\n", "\r\n"), "utf-8-sig")
    assert read(tmp_path) == (
        "subtitles",
        {
            "": [
                ("a@1.000", "a.mp3", "Good morning, all of you.", 1.0, 1.5, None),
                ("a@3.250", "a.mp3", "Yes & no.", 3.25, 0.75, None),
            ]
        },
    )
    assert notes(tmp_path) == [
        "left out of the texts in SRT or VTT subtitles: [door slams] 1, songs ♪ 1",
    ]


def test_vtt(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    write(tmp_path / "a.vtt", VTT)
    assert rows(tmp_path) == [("Good & bad", 1.0, 1.5, "Anna Smith"), ("ŋa", 3603.25, 0.75, None)]


def test_roll_up_captions_are_read_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.webm")
    write(tmp_path / "a.vtt", ROLL_UP)
    assert rows(tmp_path) == [("one two three", 0.0, 2.0, None), ("four five", 2.01, 1.99, None)]
    assert "repeated lines of roll-up captions 2" in notes(tmp_path)[0]


def test_one_of_two_formats_of_subtitles_is_read(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    write(tmp_path / "a.srt", SRT)
    write(tmp_path / "a.vtt", VTT)
    assert [text for text, *_ in rows(tmp_path)] == ["Good & bad", "ŋa"]
    assert any("1 .srt file is not read" in line for line in notes(tmp_path))


def test_empty_lines_below_times_and_a_missing_one_above(tmp_path: Path) -> None:
    touch(tmp_path / "a.webm")
    write(
        tmp_path / "a.vtt", "WEBVTT\nKind: captions\n00:01.000 --> 00:02.000\n\none\n\n00:03.000 --> 00:04.000\ntwo\n"
    )
    assert rows(tmp_path) == [("one", 1.0, 1.0, None), ("two", 3.0, 1.0, None)]
    write(tmp_path / "a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000 one two\n")
    with pytest.raises(SourceError, match=r"a.vtt:3: '00:01.000 --> 00:02.000 one two' is no line of times"):
        read(tmp_path)


def test_subtitles_are_recognised_by_their_content(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    write(tmp_path / "a.txt", SRT)
    assert read(tmp_path)[0] == "subtitles" and len(rows(tmp_path)) == 2


def test_the_language_of_subtitles_is_chosen_as_a_tier(tmp_path: Path) -> None:
    touch(tmp_path / "a.b.wav")
    write(tmp_path / "a.b.en.srt", SRT)
    write(tmp_path / "a.b.fr.srt", SRT.replace("Yes & no", "Oui"))
    with pytest.raises(SourceError, match=r"several tiers; choose the one to learn:(.|\n)*--tier 'en'"):
        read(tmp_path)
    assert [text for text, *_ in rows(tmp_path, tier="fr")] == ["Good morning, all of you.", "Oui."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SRT + "\nalone\n", r"bad.srt:14: 'alone' begins a block without times; write 00:00:01,000 -->"),
        (SRT.replace("--> 00:00:02,500", "--> 0:2,5x"), r"bad.srt:2: '00:00:01,000 --> 0:2,5x' is no line of times"),
        (SRT.replace("3\n00:00:05", "3\nx\n00:00:05"), r"bad.srt:11: 'x' stands where times must stand"),
        ("é".encode("latin-1"), r"bad.srt:1: is not UTF-8"),
        ("1\n" + "9" * 400 + ":00:00,000 --> 00:00:02,500\nx", r"bad.srt:2: '9{60}' is no line of times"),
    ],
)
def test_a_broken_file_is_named_and_does_not_stop_the_others(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    touch(tmp_path / "bad.wav", tmp_path / "good.wav")
    (tmp_path / "bad.srt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=message):
        read(tmp_path)
    write(tmp_path / "good.srt", SRT)
    with reading() as said:
        found = rows(tmp_path)
    assert [text for text, *_ in found] == ["Good morning, all of you.", "Yes & no."]
    assert len(said.faults) == 1 and "bad.srt" in said.faults[0]


def test_a_stray_file_does_not_decide_the_format(tmp_path: Path) -> None:
    for name in "abc":
        touch(tmp_path / f"{name}.wav")
        write(tmp_path / f"{name}.txt", "good morning")
    write(tmp_path / "x.srt", "no subtitles")
    write(tmp_path / "y.trs", "no XML")
    assert read(tmp_path)[0] == "folder"
    for name in "abc":
        write(tmp_path / f"{name}.srt", "no subtitles")
        (tmp_path / f"{name}.txt").unlink()
    with pytest.raises(SourceError, match=r"a.srt:1: 'no subtitles' begins a block without times"):
        read(tmp_path)


def test_cues_that_begin_together_have_different_ids(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    write(tmp_path / "a.srt", "1\n00:00:01,000 --> 00:00:02,000\none\n\n2\n00:00:01,000 --> 00:00:03,000\ntwo\n")
    assert [name for name, *_ in read(tmp_path)[1][""]] == ["a@1.000", "a@1.000#2"]


def test_names_before_colons_are_speakers_if_they_come_again(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    texts = ["Anna Smith: yes", "Ben: at 10:30", "Anna Smith: so: no", "and more"]
    cues = [f"{n}\n00:00:0{n}.000 --> 00:00:0{n}.500\n{text}\n\n" for n, text in enumerate(texts, start=1)]
    write(tmp_path / "a.vtt", "WEBVTT\n\n" + "".join(cues))
    assert [(text, speaker) for text, _, _, speaker in rows(tmp_path)] == [
        ("yes", "Anna Smith"), ("at 10:30", "Ben"), ("so: no", "Anna Smith"), ("and more", None)
    ]  # fmt: skip
    assert "names of speakers before colons" in notes(tmp_path)[0]
    write(tmp_path / "a.vtt", "WEBVTT\n\n" + "".join(cues[1:]))
    assert [text for text, *_ in rows(tmp_path)] == ["Ben: at 10:30", "Anna Smith: so: no", "and more"]


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    for folder in ("s1", "s2"):
        touch(tmp_path / "wav" / folder / "a.wav")
        write(tmp_path / "srt" / folder / "a.srt", SRT)
    audio = [audio for _, audio, *_ in read(tmp_path)[1][""]]
    assert audio == ["wav/s1/a.wav"] * 2 + ["wav/s2/a.wav"] * 2 and not any(
        "several" in line for line in notes(tmp_path)
    )
    (tmp_path / "wav" / "s2" / "a.wav").unlink()
    assert {audio for _, audio, *_ in read(tmp_path)[1][""]} == {"wav/s1/a.wav", "srt/s2/a.wav"}


def test_a_missing_line_between_cues_hides_no_cue(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    write(tmp_path / "a.srt", "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:02,000 --> 00:00:03,000\n7\n")
    assert rows(tmp_path) == [("one", 1.0, 1.0, None), ("7", 2.0, 1.0, None)]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_of_this_program_are_read_again(tmp_path: Path, suffix: str) -> None:
    words = (Word("good", 0.5, 1.25, 0.9), Word("<&>", 1.25, 1.5, 0.9), Word("day", 3661.0, 3662.25, 0.9))
    touch(tmp_path / "a.wav")
    Transcript("good <&> day", 3700.0, words).save(tmp_path / f"a{suffix}")
    assert rows(tmp_path) == [("good <&>", 0.5, 1.0, None), ("day", 3661.0, 1.25, None)]
