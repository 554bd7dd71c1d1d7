"""Documents of `asr serve --data`: saved as JSON, ELAN, Praat, subtitles and text, and never over what others wrote."""

import json
import os
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pympi
import pytest
import soundfile
from conftest import largest_file
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import prepare
from asr.corpus.readers import eaf, textgrid
from asr.errors import AsrError, OutputError
from asr.serving.workspace.document import Document, Segment, from_json, in_order, to_json
from asr.serving.workspace.drafting import drafted, with_draft
from asr.serving.workspace.listing import listed
from asr.serving.workspace.paths import Workspace
from asr.serving.workspace.retime import retime
from asr.serving.workspace.saved import ChangedError, exported, open_document, save
from asr.transcript import Transcript, Word

RATE = 8000  # Hz
SECONDS = 10.0
WORDS = ["kia", "ora", "tēnā", "koe", "e\u0301", "שלום", "สวัสดี", "a\u00a0b", "[?]", "-->", '"', "<x>", "&"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "kōrero").mkdir()
    soundfile.write(tmp_path / "kōrero" / "a b.wav", np.zeros(round(SECONDS * RATE)), RATE)
    return Workspace(tmp_path)


NAME = "kōrero/a b.wav"


def words(text: str, start: float, end: float, confidence: float = 0.6) -> tuple[Word, ...]:
    tokens = text.split()
    step = (end - start) / max(len(tokens), 1)
    return tuple(Word(token, start + i * step, start + (i + 1) * step, confidence) for i, token in enumerate(tokens))


def segment(number: int, start: float, end: float, text: str, checked: bool = True) -> Segment:
    return Segment(f"s{number}", start, end, text, checked, words=words(text, start, end))


TWO = [segment(1, 0.5, 2.0, "kia ora koutou"), segment(2, 2.0, 4.25, 'tēnā koe <e> "hoa" & mā', False)]


def save_first(workspace: Workspace, segments: list[Segment] = TWO) -> str:
    return save(workspace, NAME, "", segments, seconds=10, typed=False).version


def files(workspace: Workspace) -> dict[str, bytes]:
    hidden = workspace.root / ".asr"
    return {
        str(path.relative_to(workspace.root)): path.read_bytes()
        for path in workspace.root.rglob("*")
        if path.is_file() and hidden not in path.parents
    }


def test_saved_document_is_read_by_other_programs(workspace: Workspace) -> None:
    opened = save(workspace, NAME, "", TWO, seconds=30, typed=True)
    assert opened.notes == () and open_document(workspace, NAME) == replace(
        opened, saved=open_document(workspace, NAME).saved
    )
    stem = workspace.root / "kōrero" / "a b"
    elan = pympi.Eaf(stem.with_suffix(".eaf"))
    found = [(start, end, text) for start, end, text in elan.get_annotation_data_for_tier("asr")]
    assert found == [(500, 2000, "kia ora koutou"), (2000, 4250, 'tēnā koe <e> "hoa" & mā')]
    praat = pympi.TextGrid(stem.with_suffix(".TextGrid"))
    tier = praat.get_tier("segments")
    assert [row[2] for row in tier.get_all_intervals() if row[2]] == ["kia ora koutou", 'tēnā koe <e> "hoa" & mā']
    assert praat.xmax == SECONDS
    assert stem.with_suffix(".txt").read_text() == 'kia ora koutou\ntēnā koe <e> "hoa" & mā\n'
    assert "00:00:00,500 --> 00:00:02,000" in stem.with_suffix(".srt").read_text()
    (line,) = read_manifest(workspace.root / "checked.jsonl")
    assert (line.text, line.offset, line.duration, line.extra) == ("kia ora koutou", 0.5, 1.5, {"checked": True})
    assert line.audio == workspace.root / NAME
    for format in ("eaf", "TextGrid", "srt", "txt"):
        if format != "eaf":  # an ELAN file holds the time at which it was written
            assert exported(opened, format) == stem.with_suffix(f".{format}").read_bytes()
    (media,) = elan.get_linked_files()
    assert media["RELATIVE_MEDIA_URL"] == "./a b.wav"


def test_second_of_two_people_is_told_and_overwrites_nothing(workspace: Workspace) -> None:
    first = save_first(workspace)
    theirs = save(workspace, NAME, first, [segment(1, 0.5, 2.0, "theirs")], seconds=1, typed=False)
    before = files(workspace)
    for version in (first, "", "0" * 64):
        with pytest.raises(ChangedError) as caught:
            save(workspace, NAME, version, [segment(1, 0.5, 2.0, "mine")], seconds=1, typed=False)
        assert caught.value.current.version == theirs.version and caught.value.status == 409
        assert caught.value.current.document.segments[0].text == "theirs"
    assert files(workspace) == before


def test_of_many_at_once_exactly_one_saves(workspace: Workspace) -> None:
    version = save_first(workspace)
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            save(workspace, NAME, version, [segment(1, 0.5, 2.0, f"text {number}")], seconds=1, typed=False)
            outcomes.append(f"text {number}")
        except ChangedError:
            outcomes.append("")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = filter(None, outcomes)
    assert len(outcomes) == 8 and open_document(workspace, NAME).document.segments[0].text == winner


def test_json_that_another_program_changed_counts_as_another_version(workspace: Workspace) -> None:
    version = save_first(workspace)
    path = workspace.root / "kōrero" / "a b.json"
    path.write_text(path.read_text().replace("koutou", "tātou"))
    with pytest.raises(ChangedError):
        save(workspace, NAME, version, TWO, seconds=1, typed=False)
    assert "tātou" in open_document(workspace, NAME).document.segments[0].text


@pytest.mark.parametrize("content", ["", "{", '{"segments": [', "[]", '{"segments": [], "words": [], "typed": 3}',
                                     '{"segments": [{"start": 1}], "words": []}', "\xff"])  # fmt: skip
def test_damaged_json_is_named_and_never_overwritten(workspace: Workspace, content: str) -> None:
    path = workspace.root / "kōrero" / "a b.json"
    path.write_bytes(content.encode("latin-1"))
    if content == "[]":  # the JSON of another program
        save_first(workspace)
        assert path.read_text() == "[]" and (workspace.root / "kōrero" / "a b.wav.json").is_file()
        assert open_document(workspace, NAME).document.segments[0].text == "kia ora koutou"
        return
    with pytest.raises(AsrError, match=r"a b\.json"):
        open_document(workspace, NAME)
    with pytest.raises(AsrError, match=r"a b\.json"):
        save_first(workspace)
    assert files(workspace).keys() == {NAME, "kōrero/a b.json"}
    (row,) = listed(workspace)
    assert "a b.json" in (row.error or "")


def test_two_recordings_of_one_name_have_documents_of_their_own(workspace: Workspace) -> None:
    soundfile.write(workspace.root / "kōrero" / "a b.flac", np.zeros(RATE), RATE)
    save_first(workspace)
    other = save(workspace, "kōrero/a b.flac", "", [segment(1, 0, 1, "other")], seconds=1, typed=False)
    assert other.notes == ()
    assert open_document(workspace, NAME).document.segments[0].text == "kia ora koutou"
    assert open_document(workspace, "kōrero/a b.flac").document.segments[0].text == "other"
    assert pympi.Eaf(workspace.root / "kōrero" / "a b.flac.eaf").get_annotation_data_for_tier("asr") == [
        (0, 1000, "other")
    ]
    assert len(pympi.Eaf(workspace.root / "kōrero" / "a b.eaf").get_annotation_data_for_tier("asr")) == 2
    assert len(read_manifest(workspace.root / "checked.jsonl")) == 2


def own_elan(path: Path, texts: list[str], tier: str = "tx@Mere") -> None:
    """Write an ELAN file as a linguist has it: a tier with text, and a translation that depends on it."""
    elan = pympi.Eaf(author="Mere")
    elan.add_linked_file("file:///D:/fieldwork/a%20b.wav", mimetype="audio/x-wav")
    elan.add_linguistic_type("gloss", constraints="Symbolic_Association", timealignable=False)
    elan.add_tier(tier, part="Mere")
    elan.add_tier("ft@Mere", ling="gloss", parent=tier)
    for number, text in enumerate(texts):
        elan.add_annotation(tier, 1000 * number + 200, 1000 * number + 900, text)
        elan.add_ref_annotation("ft@Mere", tier, 1000 * number + 500, f"translation {number}")
    elan.remove_tier("default")
    elan.to_file(path)


def test_own_elan_file_is_opened_and_keeps_all_that_it_has(workspace: Workspace) -> None:
    path = workspace.root / "kōrero" / "a b.eaf"
    own_elan(path, ["tahi", "rua", "toru"])
    before = path.read_bytes()
    opened = open_document(workspace, NAME)
    assert [(one.text, one.start, one.end, one.checked, one.speaker) for one in opened.document.segments] == [
        ("tahi", 0.2, 0.9, True, "Mere"),
        ("rua", 1.2, 1.9, True, "Mere"),
        ("toru", 2.2, 2.9, True, "Mere"),
    ]
    assert opened.tiers == ("tx@Mere", "ft@Mere") and opened.version == "" and "ft@Mere" in opened.notes[0]
    assert open_document(workspace, NAME, "ft@Mere").document.segments[2].text == "translation 2"
    assert path.read_bytes() == before and listed_state(workspace) == "checked"
    version = ""
    for text in ("whā", "rima"):  # twice: the tier that was written before is replaced
        segments = [replace(opened.document.segments[0], text=text), *opened.document.segments[1:]]
        saved = save(workspace, NAME, version, segments, seconds=5, typed=False)
        assert saved.notes == ()
        version = saved.version
        elan = pympi.Eaf(path)
        assert sorted(elan.get_tier_names()) == ["asr", "ft@Mere", "tx@Mere"]
        assert [row[2] for row in elan.get_annotation_data_for_tier("tx@Mere")] == ["tahi", "rua", "toru"]
        assert [row[2] for row in elan.get_annotation_data_for_tier("ft@Mere")][2] == "translation 2"
        assert [row[2] for row in elan.get_annotation_data_for_tier("asr")] == [text, "rua", "toru"]
        assert len(elan.timeslots) == 12
    assert open_document(workspace, NAME).document.corrected.audio == 0.0  # nobody checked them here


def listed_state(workspace: Workspace) -> str:
    (row,) = listed(workspace)
    assert row.error is None
    return row.state


def test_what_elan_or_praat_changed_since_is_kept(workspace: Workspace) -> None:
    version = save_first(workspace)
    changed = {}
    for name in ("a b.eaf", "a b.TextGrid", "a b.txt", "a b.srt"):
        path = workspace.root / "kōrero" / name
        path.write_text(path.read_text().replace("koutou", "tātou"))
        changed[name] = path.read_bytes()
    saved = save(workspace, NAME, version, TWO, seconds=1, typed=False)
    assert len(saved.notes) == 4 and all("before1" in note for note in saved.notes)
    for name, content in changed.items():
        assert (workspace.root / "kōrero" / f"{name}.before1").read_bytes() == content
    assert save(workspace, NAME, saved.version, TWO, seconds=1, typed=False).notes == ()
    assert len([name for name in files(workspace) if "before" in name]) == 4


def test_own_textgrid_and_damaged_annotations(workspace: Workspace) -> None:
    stem = workspace.root / "kōrero" / "a b"
    grid = pympi.TextGrid(xmax=12.0)
    tier = grid.add_tier("ort")
    for start, end, text in [(0.5, 1.0, "tahi"), (1.0, 2.0, "rua"), (9.5, 12.0, "toru"), (12.0, 12.0, "whā")][:3]:
        tier.add_interval(start, end, text)
    grid.to_file(stem.with_suffix(".TextGrid"))
    stem.with_suffix(".eaf").write_text("<ANNOTATION_DOCUMENT>")
    opened = open_document(workspace, NAME)
    assert "a b.eaf" in opened.notes[0] and str(workspace.root) not in opened.notes[0]
    assert [(one.start, one.end, one.text) for one in opened.document.segments] == [
        (0.5, 1.0, "tahi"), (1.0, 2.0, "rua"), (9.5, 10.0, "toru")]  # fmt: skip
    saved = save(workspace, NAME, "", opened.document.segments, seconds=1, typed=False)
    assert len(saved.notes) == 2 and stem.with_suffix(".eaf.before1").read_text() == "<ANNOTATION_DOCUMENT>"
    assert len(pympi.TextGrid(stem.with_suffix(".TextGrid.before1")).get_tier("ort").get_all_intervals()) >= 3
    assert [row[2] for row in pympi.Eaf(stem.with_suffix(".eaf")).get_annotation_data_for_tier("asr")] == [
        "tahi",
        "rua",
        "toru",
    ]


def test_drafts_of_asr_transcribe_are_opened_unchecked(workspace: Workspace) -> None:
    speech = ((0.5, 2.0), (3.0, 4.0))
    spoken = (*words("kia ora", 0.5, 2.0, 0.9), *words("koe", 3.0, 4.0, 0.2))
    transcript = Transcript("kia ora koe", SECONDS, spoken, speech=speech)
    stem = workspace.root / "kōrero" / "a b"
    for suffix in ("json", "eaf", "TextGrid"):
        transcript.save(stem.with_suffix(f".{suffix}"))
        opened = open_document(workspace, NAME)
        assert [(one.text, one.start, one.end, one.checked) for one in opened.document.segments] == [
            ("kia ora", 0.5, 2.0, False), ("koe", 3.0, 4.0, False)], suffix  # fmt: skip
        assert opened.notes == ()
        unsure = opened.document.segments[1].words[0].confidence
        assert unsure < 0.5 if suffix != "TextGrid" else unsure > 0.5
        assert listed_state(workspace) == "draft"
        stem.with_suffix(f".{suffix}").unlink()


@given(
    st.lists(st.sampled_from(WORDS), max_size=8),
    st.lists(st.sampled_from(WORDS), max_size=8),
    st.floats(0, 50),
    st.floats(0.02, 20),
    st.floats(-1, 1),
)
@settings(max_examples=300, deadline=None)
def test_words_of_a_corrected_text_spell_it_in_order_of_time(
    before: list[str], after: list[str], start: float, length: float, shift: float
) -> None:
    end = start + length
    old = words(" ".join(before), max(start + shift, 0), max(end + shift, 0.1))
    text = " ".join(after)
    new = retime(text, old, start, end)
    assert [word.text for word in new] == text.split()
    assert all(start - 1e-9 <= word.start <= word.end <= end + 1e-9 for word in new)
    assert all(first.end <= second.start + 1e-9 for first, second in pairwise(new))
    if length >= 0.01 * len(new):
        assert all(word.end - word.start >= 0.001 for word in new)
    if shift == 0 and before == after:
        assert [word.confidence for word in new] == [0.6] * len(text.split())


def test_correction_of_a_word_leaves_the_others_in_their_time() -> None:
    old = words("tahi rua toru whā", 1.0, 5.0)
    new = retime("tahi RUA toru rima whā", old, 1.0, 5.0)
    assert (new[0], new[2], new[4]) == (old[0], replace(old[2], start=new[2].start, end=new[2].end), old[3])
    assert (new[1].start, new[1].end, new[1].confidence) == (2.0, 3.0, 1.0)
    assert new[2].start == 3.0 and new[3].end == 4.0 and new[2].confidence == 0.6 and new[3].confidence == 1.0


segments_of = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(20, 900), st.lists(st.sampled_from(WORDS), max_size=5), st.booleans()),
    max_size=6,
)


def laid_out(rows: list[tuple[int, int, list[str], bool]]) -> list[Segment]:
    """Return segments without overlap."""
    made, position = [], 0.0
    for number, (gap, length, tokens, checked) in enumerate(rows, start=1):
        start = round(position + gap / 9000, 3)
        position = round(start + length / 1000, 3)
        made.append(segment(number, start, position, " ".join(tokens), checked))
    return made


@given(segments_of)
@settings(max_examples=200, deadline=None)
def test_json_gives_back_every_document(rows: list[tuple[int, int, list[str], bool]]) -> None:
    document = Document(in_order(laid_out(rows), 20.0), model="m", written={"eaf": "0"})
    assert from_json(to_json(document, "a.wav", 20.0), "a.json") == document
    assert in_order(document.segments, 20.0) == document.segments


@given(segments_of, segments_of)
@settings(max_examples=300, deadline=None)
def test_draft_never_touches_what_a_person_checked(
    rows: list[tuple[int, int, list[str], bool]], draft: list[tuple[int, int, list[str], bool]]
) -> None:
    document = Document(in_order(laid_out(rows), 20.0))
    parts = [replace(one, id=f"draft{one.id}", checked=False) for one in laid_out(draft) if one.words]
    changed = with_draft(document, parts, 0.0, float("inf"), "m")
    assert set(document.checked) <= set(changed.segments)
    assert in_order(changed.segments, 20.0) is not None  # no overlap, ids of their own
    old = {one.id for one in document.segments}
    new = [one for one in changed.segments if not one.checked]
    assert not old & {one.id for one in new}
    middles = [(word.start + word.end) / 2 for part in parts for word in part.words]
    free = [m for m in middles if not any(one.start <= m < one.end for one in document.checked)]
    assert sum(len(one.words) for one in new) == len(free)  # no word of the draft is lost, or comes twice
    if not document.checked:
        assert [one.text for one in new] == [one.text for one in parts]


def test_draft_of_a_part_leaves_the_rest(workspace: Workspace) -> None:
    document = Document(in_order([segment(n, n, n + 0.9, f"text{n}", False) for n in range(1, 6)], 10.0))
    changed = with_draft(document, [segment(9, 2.1, 3.8, "new words", False)], 2.0, 4.0, "m")
    assert [one.text for one in changed.segments] == ["text1", "new words", "text4", "text5"]
    with pytest.raises(AsrError, match="CTC"):
        drafted(Transcript("text without times", 3.0))


@pytest.mark.parametrize(
    ("segments", "words_of_error"),
    [
        ([Segment("s1", 0, 2, "a"), Segment("s2", 1, 3, "b")], "overlap"),
        ([Segment("s1", 0, 4, "a"), Segment("s2", 1, 3, "b")], "overlap"),
        ([Segment("s1", 2, 2, "a")], "correct its borders"),
        ([Segment("s1", -1, 2, "a")], "correct its borders"),
        ([Segment("s1", float("nan"), 2, "a")], "correct its borders"),
        ([Segment("s1", 0, 20, "a")], "shorten it"),
        ([Segment("s1", 0, 1, "a"), Segment("s1", 1, 2, "b")], "id of its own"),
        ([Segment("../s1", 0, 1, "a")], "id of its own"),
        ([Segment("s1", 0, 1, "a" * 30_000)], "divide it"),
    ],
)
def test_impossible_segments_are_refused_before_anything_is_written(
    workspace: Workspace, segments: list[Segment], words_of_error: str
) -> None:
    with pytest.raises(AsrError, match=words_of_error):
        save(workspace, NAME, "", segments, seconds=1, typed=False)
    assert files(workspace).keys() == {NAME}


def test_hostile_texts_are_one_line_in_every_file(workspace: Workspace) -> None:
    text = 'a\nb\u2028c\x00d\x1b[31m\ud800 "q"\n-->'
    saved = save(workspace, NAME, "", [Segment("s1", 0, 1, text, True, speaker="<&>")], seconds=1, typed=False)
    assert saved.notes == ()
    expected = 'a b c\ufffdd\ufffd[31m\ufffd "q" -->'
    assert saved.document.segments[0].text == expected
    assert open_document(workspace, NAME).document == saved.document
    assert [row[2] for row in pympi.Eaf(workspace.root / "kōrero" / "a b.eaf").get_annotation_data_for_tier("asr")] == [
        expected
    ]
    assert read_manifest(workspace.root / "checked.jsonl")[0].text == expected


def test_manifest_keeps_the_lines_of_other_people(workspace: Workspace) -> None:
    manifest = workspace.root / "checked.jsonl"
    others = ['{"audio_filepath": "b.wav", "text": "b", "checked": true}', "not JSON at all",
              '{"audio_filepath": "kōrero/a b.wav", "text": "mine"}']  # fmt: skip
    manifest.write_text("\n".join(others) + "\n")
    version = save_first(workspace)
    save(
        workspace,
        NAME,
        version,
        [replace(TWO[0], text="kia ora"), replace(TWO[1], checked=True)],
        seconds=1,
        typed=False,
    )
    lines = manifest.read_text().splitlines()
    assert lines[:3] == others
    assert [json.loads(line)["text"] for line in lines[3:]] == ["kia ora", 'tēnā koe <e> "hoa" & mā']


def test_full_disk_loses_nothing(workspace: Workspace) -> None:
    version = save_first(workspace)
    before = files(workspace)
    long = [segment(n, n / 100, (n + 1) / 100, "kōrero " * 50, False) for n in range(200)]
    with largest_file(4096), pytest.raises(OutputError, match="limit on the size"):
        save(workspace, NAME, version, long, seconds=1, typed=False)
    assert files(workspace) == before
    few = [segment(n, n / 10, (n + 1) / 10, "kōrero", False) for n in range(14)]
    with largest_file(4700):  # enough for the JSON, not for the ELAN file
        saved = save(workspace, NAME, version, few, seconds=1, typed=False)
    assert any("a b.eaf" in note and "cannot be written" in note for note in saved.notes)
    assert len(open_document(workspace, NAME).document.segments) == 14
    assert (workspace.root / "kōrero" / "a b.eaf").read_bytes() == before["kōrero/a b.eaf"]


def test_document_of_a_recording_that_became_shorter_still_opens(workspace: Workspace) -> None:
    version = save_first(workspace)
    soundfile.write(workspace.root / NAME, np.zeros(2 * RATE), RATE)
    opened = open_document(workspace, NAME)
    assert opened.version == version and opened.duration == 2.0 and len(opened.document.segments) == 2
    with pytest.raises(AsrError, match="shorten it"):
        save(workspace, NAME, version, opened.document.segments, seconds=1, typed=False)


@pytest.mark.parametrize("samples", [23_998, 23_999, 24_001, 24_004])
def test_segment_may_end_with_its_recording(workspace: Workspace, samples: int) -> None:
    soundfile.write(workspace.root / NAME, np.zeros(samples), RATE)
    for end in (3.0, 3.2):
        saved = save(workspace, NAME, "", [segment(1, 0.0, end, "kia ora")], seconds=1, typed=False)
        assert saved.document.segments[0].end == round(samples / RATE, 3) or end == saved.document.segments[0].end
        (workspace.root / "kōrero" / "a b.json").unlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_still_read(workspace: Workspace) -> None:
    save_first(workspace)
    for folder in (workspace.root, workspace.root / "kōrero", workspace.root / ".asr"):
        folder.chmod(0o500)
    try:
        opened = open_document(workspace, NAME)
        with pytest.raises(OutputError, match="permissions"):
            save(workspace, NAME, opened.version, TWO, seconds=1, typed=False)
    finally:
        for folder in (workspace.root, workspace.root / "kōrero", workspace.root / ".asr"):
            folder.chmod(0o700)


def test_saved_work_is_a_corpus_for_asr_prepare(workspace: Workspace, tmp_path: Path) -> None:
    save_first(workspace, [segment(n, n, n + 0.9, f"text {n}") for n in range(1, 9)])
    prepared = prepare(workspace.root / "checked.jsonl", tmp_path / "out")
    assert not prepared.faults and sum(map(len, prepared.manifests.values())) == 8
    annotated = eaf.read_for(workspace.root / "kōrero" / "a b.eaf", workspace.root / NAME)
    assert len(annotated) == 8
    assert textgrid.READER.recognises(workspace.root / "kōrero" / "a b.TextGrid")
