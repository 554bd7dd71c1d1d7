"""Every format takes any text: files are well-formed, and hold no character that a terminal would obey."""

import json
import re
import xml.etree.ElementTree as etree
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pympi
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asr.corpus.manifest import read_manifest
from asr.scoring.kinds import Source
from asr.scoring.readers import read_ctm
from asr.transcript import UNSURE_MARK, Transcript, Word
from asr.writers import FORMATS, output_paths, write
from asr.writers.subtitles import clock

HOSTILE = "\0\x07\x1b[31m\x7f\x85\x9b\u2028\ud800\udfff\ufffe\uffff\r\n\t\"<>&'-->]]>\\{}"
WORDS = st.lists(st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=50), min_size=1, max_size=6)
CLOCK = r"\d\d+:\d\d:\d\d[.,]\d{3}"


def transcript_of(texts: list[str]) -> Transcript:
    words = tuple(Word(text, index, index + 0.5, 0.9 * (index % 2)) for index, text in enumerate(texts))
    return Transcript(" ".join(texts), len(texts), words)


def shown(text: str) -> str:
    """Return how a word of a transcript is written: spaces for what would end a line or field, U+FFFD for the rest."""
    text = re.sub("[\t-\r\x1c-\x1f\x85\u2028\u2029]+", " ", text)
    return re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def blocks(text: str, end: str) -> Iterator[list[str]]:
    """Yield the lines of each cue, and check that `end` ends the last one."""
    assert text == "" or text.endswith(end)
    for block in filter(None, text.split("\n\n")):
        yield block.split("\n")


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WORDS)
@example([HOSTILE, "", "-->", "00:00:01,000 --> 00:00:02,000", "x" * 100 + "-->"])
def test_any_text(folder: Path, texts: list[str]) -> None:
    paths = output_paths(folder / "talk", list(FORMATS))
    write(transcript_of(texts), folder / "\x1b[31m\nmy talk\udcff.wav", paths)
    words = [shown(text) for text in texts]
    for path in paths.values():
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", read(path)), path

    row = json.loads(read(paths["json"]), parse_constant=pytest.fail)
    assert [word["text"] for word in row["words"]] == words
    assert " ".join(row.text or "" for row in read_manifest(paths["jsonl"])) == " ".join(words)

    for index, lines in enumerate(blocks(read(paths["srt"]), "\n\n"), start=1):
        assert lines[0] == str(index) and re.fullmatch(f"{CLOCK} --> {CLOCK}", lines[1])
        assert 3 <= len(lines) <= 4 and not any("-->" in line for line in lines[2:])
    head, _, cues = read(paths["vtt"]).partition("\n\n")
    assert head == "WEBVTT"
    for lines in blocks(cues, "\n\n"):
        assert re.fullmatch(f"{CLOCK} --> {CLOCK}", lines[0])
        assert not any(re.search("-->|<|>|&(?!amp;|lt;|gt;)", line) for line in lines[1:])

    rows = [line.split("\t") for line in read(paths["tsv"]).rstrip("\n").split("\n")]
    assert [row[3] for row in rows[1:]] == words and all(len(row) == 4 for row in rows)
    assert all(len(line.split(" ")) == 6 for line in read(paths["ctm"]).rstrip("\n").split("\n"))
    assert len(list(read_ctm(Source.read(paths["ctm"])))) >= len(texts)

    grid = pympi.Praat.TextGrid(str(paths["TextGrid"]))
    found = [text for start, _, text in grid.get_tier("words").get_intervals() if start == int(start)]
    assert found == words
    values = [value.text or "" for value in etree.parse(paths["eaf"]).iter("ANNOTATION_VALUE")]
    assert " ".join(values) == " ".join(word + UNSURE_MARK * (index % 2 == 0) for index, word in enumerate(words))
    assert len(pympi.Eaf(str(paths["eaf"])).get_annotation_data_for_tier("asr")) == len(values)


def test_an_elan_file_with_ids_of_any_kind_gets_a_tier(tmp_path: Path) -> None:
    """Ids with no number, with a number that Python does not convert, and with digits of another script."""
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="{name}"/>' for name in ("ts", "ts" + "9" * 5000, "ts²", "ts٣", "ts8"))
    (tmp_path / "talk.eaf").write_text(
        f"<ANNOTATION_DOCUMENT><HEADER/><TIME_ORDER>{slots}</TIME_ORDER></ANNOTATION_DOCUMENT>", encoding="utf-8"
    )
    write(transcript_of(["a"]), tmp_path / "talk.wav", {"eaf": tmp_path / "new.eaf"})
    names = [slot.get("TIME_SLOT_ID") for slot in etree.parse(tmp_path / "new.eaf").iter("TIME_SLOT")]
    assert names[-2:] == ["ts9", "ts10"] and len(set(names)) == 7


@pytest.mark.parametrize("content", ['<?xml version="1.0" encoding="klingon"?><a/>', "<a>" * 30])
def test_what_is_no_xml_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "talk.eaf").write_text(content)
    with pytest.raises(Exception, match=r"talk.eaf: cannot be read as an ELAN file"):
        write(transcript_of(["a"]), tmp_path / "talk.wav", {"eaf": tmp_path / "new.eaf"})


def test_times_beyond_a_day() -> None:
    assert re.fullmatch(CLOCK, clock(1e7, ","))
