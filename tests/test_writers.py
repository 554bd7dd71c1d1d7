"""Each format is read back by another program's reader, or by the rules of the format."""

import itertools
import json
import math
import re
import xml.etree.ElementTree as etree
from pathlib import Path

import pympi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.scoring.kinds import Source
from asr.scoring.readers import read_ctm
from asr.transcript import UNSURE_MARK, Alternative, Transcript, Word, split_at_pauses
from asr.writers import FORMATS, output_paths, parse_formats, write
from asr.writers.subtitles import LINE, LONGEST, clock, cues

WORDS = (
    Word("nine", 0.1, 0.4, 0.99),
    Word('"<oh>&', 0.45, 0.6, 0.3),
    Word("ŋwɛ̂", 1.5, 1.9, 0.8),
    Word("two", 3661.25, 3661.5, 1.0),
)
TRANSCRIPT = Transcript(" ".join(word.text for word in WORDS), 3662.0, WORDS)


def written(folder: Path, name: str, transcript: Transcript = TRANSCRIPT, **options: Path) -> str:
    write(transcript, folder / "my talk.wav", output_paths(folder / "out" / "talk", [name]), **options)
    return (folder / "out" / f"talk.{name}").read_text(encoding="utf-8")


def test_fields_of_a_ctm_hold_no_spaces(tmp_path: Path) -> None:
    """Alignment joins a lone dash to the word before it; what is written, `asr score` reads."""
    words = (Word("one —", 0.0, 1.0, 0.5), Word("two\u00a0x", 1.0, 2.0, 0.5), Word(";;", 2.0, 3.0, 0.5))
    write(Transcript("", 3.0, words), tmp_path / ";; my\ttalk.wav", {"ctm": tmp_path / "talk.ctm"})
    assert [tuple(word) for word in read_ctm(Source.read(tmp_path / "talk.ctm"))] == [
        (("_;;_my_talk", "1"), 0.0, 0.5, "one"),
        (("_;;_my_talk", "1"), 0.5, 0.5, "—"),
        (("_;;_my_talk", "1"), 1.0, 0.5, "two"),
        (("_;;_my_talk", "1"), 1.5, 0.5, "x"),
        (("_;;_my_talk", "1"), 2.0, 1.0, "_;;"),
    ]


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_json_is_strict(tmp_path: Path, name: str) -> None:
    """A number that is not finite becomes null, since a strict parser takes neither NaN nor Infinity."""
    best = (Alternative("one", -1.0), Alternative("two", -math.inf))
    transcript = Transcript("one", 1.0, (Word("one", 0.0, 1.0, math.nan),), nbest=best)
    row = json.loads(written(tmp_path, name, transcript), parse_constant=pytest.fail)
    assert row["words"][0]["confidence"] is None
    if name == "json":
        assert [one["score"] for one in row["nbest"]] == [-1.0, None]


def test_text_formats(tmp_path: Path) -> None:
    assert written(tmp_path, "txt") == 'nine "<oh>&\nŋwɛ̂\ntwo\n'
    assert written(tmp_path, "tsv").splitlines()[2] == '0.450\t0.600\t0.300\t"<oh>&'
    assert written(tmp_path, "ctm").splitlines()[0] == "my_talk 1 0.10 0.30 nine 0.99"
    assert written(tmp_path, "srt").startswith('1\n00:00:00,100 --> 00:00:00,600\nnine "<oh>&\n\n2\n')
    assert "01:01:01,250 --> 01:01:01,500" in written(tmp_path, "srt")
    assert written(tmp_path, "vtt").startswith('WEBVTT\n\n00:00:00.100 --> 00:00:00.600\nnine "&lt;oh&gt;&amp;\n\n')
    read = json.loads(written(tmp_path, "json"))
    assert read["text"] == TRANSCRIPT.text and read["words"][1] == {
        "text": '"<oh>&', "start": 0.45, "end": 0.6, "confidence": 0.3
    }  # fmt: skip
    written(tmp_path, "jsonl")
    rows = read_manifest(tmp_path / "out" / "talk.jsonl")
    assert [(row.text, row.offset, row.duration) for row in rows][1:] == [("ŋwɛ̂", 1.5, 0.4), ("two", 3661.25, 0.25)]
    assert rows[0].audio == tmp_path / "my talk.wav"


def test_textgrid_is_read_by_pympi(tmp_path: Path) -> None:
    written(tmp_path, "TextGrid")
    grid = pympi.Praat.TextGrid(str(tmp_path / "out" / "talk.TextGrid"))
    assert grid.xmax == 3662.0
    named = {name: list(grid.get_tier(name).get_intervals()) for _, name in grid.get_tier_name_num()}
    assert [(a, b, text) for a, b, text in named["words"] if text] == [(w.start, w.end, w.text) for w in WORDS]
    for intervals in named.values():
        assert intervals[0][0] == 0 and intervals[-1][1] == 3662.0
        assert all(left[1] == right[0] for left, right in itertools.pairwise(intervals))


def test_a_new_elan_file_is_read_by_pympi(tmp_path: Path) -> None:
    written(tmp_path, "eaf")
    document = pympi.Eaf(str(tmp_path / "out" / "talk.eaf"))
    assert [row[:3] for row in sorted(document.get_annotation_data_for_tier("asr"))] == [
        (100, 600, 'nine "<oh>&' + UNSURE_MARK), (1500, 1900, "ŋwɛ̂"), (3661250, 3661500, "two")
    ]  # fmt: skip
    media = document.get_linked_files()[0]
    assert media["RELATIVE_MEDIA_URL"] == "./../my talk.wav" and media["MEDIA_URL"].startswith("file:///")


ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="Ana" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<LICENSE LICENSE_URL="">mine</LICENSE>
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"><PROPERTY NAME="lastUsedAnnotationId">7</PROPERTY></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts9"/></TIME_ORDER>
<!-- a comment of Ana's -->
<TIER LINGUISTIC_TYPE_REF="utt" PARTICIPANT="Ana" TIER_ID="asr"><ANNOTATION>
 <ALIGNABLE_ANNOTATION ANNOTATION_ID="a7" CVE_REF="cve1" EXT_REF="er1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts9">
 <ANNOTATION_VALUE>ngo</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE CONTROLLED_VOCABULARY_REF="cv" LINGUISTIC_TYPE_ID="utt" TIME_ALIGNABLE="true"/>
<CONTROLLED_VOCABULARY CV_ID="cv"><CV_ENTRY_ML CVE_ID="cve1" EXT_REF="er1"><CVE_VALUE LANG_REF="und">x</CVE_VALUE>
</CV_ENTRY_ML></CONTROLLED_VOCABULARY>
<EXTERNAL_REF EXT_REF_ID="er1" TYPE="iso12620" VALUE="http://x"/>
</ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize("place", ["beside the recording", "named"])
def test_a_tier_is_added_and_nothing_else_touched(tmp_path: Path, place: str) -> None:
    theirs = tmp_path / ("my talk.eaf" if place == "beside the recording" else "other.eaf")
    theirs.write_text(ELAN, encoding="utf-8")
    text = written(tmp_path, "eaf", **({} if place == "beside the recording" else {"eaf": theirs}))
    assert theirs.read_text(encoding="utf-8") == ELAN and "<!-- a comment of Ana's -->" in text
    before, after = etree.fromstring(ELAN), etree.fromstring(text)
    tags = [element.tag for element in after]
    tier = next(element for element in after if element.get("TIER_ID") == "asr 2")
    assert tags.index("TIER") < list(after).index(tier) < tags.index("LINGUISTIC_TYPE")
    ids = [element.get("ANNOTATION_ID") for element in after.iter("ALIGNABLE_ANNOTATION")]
    assert ids == ["a7", "a8", "a9", "a10"] and after.find(".//PROPERTY").text == "10"
    slots = after.find("TIME_ORDER")
    assert [slot.get("TIME_SLOT_ID") for slot in slots][2:4] == ["ts10", "ts11"]
    after.remove(tier)
    after.remove(after.find("LINGUISTIC_TYPE[@LINGUISTIC_TYPE_ID='asr']"))
    for slot in list(slots)[2:]:
        slots.remove(slot)
    after.find(".//PROPERTY").text = "7"
    assert etree.canonicalize(etree.tostring(after), strip_text=True) == etree.canonicalize(
        etree.tostring(before), strip_text=True
    )


def test_what_is_no_elan_file_is_named(tmp_path: Path) -> None:
    for content, message in (("<html/>", "no ELAN file"), ("nothing", "cannot be read as an ELAN file")):
        (tmp_path / "x.eaf").write_text(content)
        with pytest.raises(AsrError, match=message) as caught:
            written(tmp_path, "eaf", eaf=tmp_path / "x.eaf")
        assert "x.eaf" in str(caught.value)


def test_nothing_said_is_a_valid_file_in_every_format(tmp_path: Path) -> None:
    empty = Transcript("", 2.0)
    write(empty, tmp_path / "x.wav", output_paths(tmp_path / "x", list(FORMATS)))
    assert (tmp_path / "x.txt").read_text() == "" and (tmp_path / "x.vtt").read_text() == "WEBVTT\n\n"
    assert json.loads((tmp_path / "x.json").read_text())["words"] == []
    assert pympi.Praat.TextGrid(str(tmp_path / "x.TextGrid")).xmax == 2.0
    assert pympi.Eaf(str(tmp_path / "x.eaf")).get_annotation_data_for_tier("asr") == []
    assert not list(tmp_path.glob("*.part"))


def test_formats_are_named_in_any_case() -> None:
    assert parse_formats("SRT, textgrid,eaf") == ("srt", "TextGrid", "eaf")
    with pytest.raises(AsrError, match="-f srt,doc: 'doc' is no output format; there are txt, json"):
        parse_formats("srt,doc")
    with pytest.raises(AsrError, match="-f ,: names no output format; there are txt, json"):
        parse_formats(",")
    assert parse_formats("") == ()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 120), st.floats(0, 2), st.floats(0.02, 3)), max_size=60))
def test_cues_hold_every_word_in_lines_that_fit(shapes: list[tuple[int, float, float]]) -> None:
    words, now = [], 0.0
    for length, gap, spoken in shapes:
        words.append(Word("abcdefghij"[length % 10] * length, now + gap, now + gap + spoken, 1.0))
        now += gap + spoken
    made = cues(split_at_pauses(words))
    assert "".join("".join(cue.lines) for cue in made).replace(" ", "") == "".join(word.text for word in words)
    for cue in made:
        assert 1 <= len(cue.lines) <= 2 and all(0 < len(line) <= LINE for line in cue.lines)
        assert cue.start < cue.end and (cue.end - cue.start <= LONGEST + 3)
    assert all(left.end <= right.start + 1e-9 for left, right in itertools.pairwise(made))


def test_cues_break_at_the_longest_pause() -> None:
    starts = [0, 1, 2, 3.3, 4.3, 5.3]
    words = [Word("word" * 5, start, start + 0.9, 1.0) for start in starts]
    assert [len(cue.lines) for cue in cues(split_at_pauses(words))] == [2, 2]
    assert [cue.start for cue in cues(split_at_pauses(words))] == [0, 3.3]
    assert [len(part.words) for part in split_at_pauses([*words, Word("x", 9, 9.1, 1.0)])] == [6, 1]


def test_clock() -> None:
    assert clock(3661.5, ".") == "01:01:01.500" and clock(59.9996, ",") == "00:01:00,000"
    assert re.fullmatch(r"\d{3}:\d\d:\d\d,\d{3}", clock(360000, ","))


def test_all_formats_share_the_bounds_of_speech(tmp_path: Path) -> None:
    """A word may reach into a pause, or lie in it: it belongs to the nearer speech, whose bounds stay."""
    words = (Word("a", 0.5, 0.9, 1.0), Word("b", 0.9, 1.3, 1.0), Word("c", 1.8, 2.6, 1.0), Word("d", 9.0, 9.1, 1.0))
    speech = ((0.4, 1.2), (2.0, 3.0), (4.0, 5.0), (8.0, 8.5))
    transcript = Transcript("a b c d", 10.0, words, speech=speech)
    bounds = [("a b", 0.4, 1.2), ("c", 2.0, 3.0), ("d", 8.0, 8.5)]
    assert [(segment.text, segment.start, segment.end) for segment in transcript.segments] == bounds
    assert [(cue.lines[0], cue.start, cue.end) for cue in cues(transcript.segments)] == bounds
    rows = json.loads(written(tmp_path, "json", transcript))["segments"]
    assert rows == transcript.to_dict()["segments"]
    assert [(row["text"], row["start"], row["end"]) for row in rows] == bounds
    assert 'TIME_VALUE="400"' in written(tmp_path, "eaf", transcript)
    assert "xmin = 8.000000" in written(tmp_path, "TextGrid", transcript)
