"""Annotations of ELAN and Praat as people have them: several recordings, parts without times, marks, broken files."""

import os
import re
from pathlib import Path

import pytest
from layouts import touch, write
from processes import run_asr

from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import Prepared, prepare
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.praat_symbols import decode
from asr.transcript import UNSURE_MARK
from asr.utterance import Utterance

VALUE = "<ANNOTATION_VALUE>{}</ANNOTATION_VALUE>"


def timed(name: str, start: str, end: str, text: str) -> str:
    slots = f'TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}"'
    value = VALUE.format(text)
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {slots}>{value}</ALIGNABLE_ANNOTATION></ANNOTATION>'
    )


def part(name: str, parent: str, text: str, previous: str = "") -> str:
    before = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    value = VALUE.format(text)
    refers = f'ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"{before}'
    return f"<ANNOTATION><REF_ANNOTATION {refers}>{value}</REF_ANNOTATION></ANNOTATION>"


def eaf(times: dict[str, int | None], tiers: dict[str, str], *media: str) -> str:
    """Return an annotation file; the participant of a tier is what follows the @ in its name."""
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}"{"" if time is None else f""" TIME_VALUE="{time}" """}/>'
        for name, time in times.items()
    )
    bodies = "".join(
        f'<TIER TIER_ID="{name}" PARTICIPANT="{name.partition("@")[2]}">{body}</TIER>' for name, body in tiers.items()
    )
    head = "".join(f'<MEDIA_DESCRIPTOR MEDIA_URL="{url}" MIME_TYPE="audio/x-wav"/>' for url in media)
    return f"<ANNOTATION_DOCUMENT><HEADER>{head}</HEADER><TIME_ORDER>{slots}</TIME_ORDER>{bodies}</ANNOTATION_DOCUMENT>"


SIMPLE = ({"a": 0, "b": 1000}, {"tx": timed("x", "a", "b", "ja")})


def prepared(folder: Path, **options: object) -> tuple[list[Utterance], Prepared]:
    result = prepare(folder, folder.parent / "out", fractions=[1.0], **options)  # type: ignore[arg-type]
    return sorted(result.manifests["train"], key=lambda row: row.id), result


def test_parts_without_times_are_joined_under_their_timed_parent(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    words = (
        part("w1", "x", "ja") + part("w3", "x", "gut", "w2") + part("w2", "x", "sehr", "w1") + part("w4", "y", "nein")
    )
    # Parts of parts, not in their order: the order of the words decides, then the order in each word.
    pieces = part("m3", "w2", "se") + part("m4", "w2", "hr", "m3") + part("m1", "w1", "j") + part("m2", "w1", "a", "m1")
    tiers = {"tx": timed("x", "s", "t", "all") + timed("y", "t", "u", "none"), "word": words, "piece": pieces}
    write(folder / "a.eaf", eaf({"s": 0, "t": 1000, "u": 2000}, tiers))
    rows, result = prepared(folder, tier="word")
    assert [(row.id, row.text, row.offset, row.duration) for row in rows] == [
        ("a@0.000", "ja sehr gut", 0.0, 1.0), ("a@1.000", "nein", 1.0, 1.0)
    ]  # fmt: skip
    assert any("1 annotation is several without times of their own, joined: a.eaf" in note for note in result.notes)
    rows, _ = prepared(folder, tier="piece")
    assert [row.text for row in rows] == ["j a se hr"]
    _, result = prepared(folder, tier="tx")
    assert not any("joined" in note for note in result.notes)


def test_neighbours_without_a_time_between_them_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    body = timed("x", "s", "?", "eins") + timed("y", "?", "t", "zwei") + timed("z", "t", "u", "drei")
    write(folder / "a.eaf", eaf({"s": 0, "?": None, "t": 1000, "u": 2000}, {"tx": body}))
    rows, _ = prepared(folder)
    assert [(row.text, row.offset, row.duration) for row in rows] == [("eins zwei", 0.0, 1.0), ("drei", 1.0, 1.0)]


def test_several_tiers_are_proposed_for_speakers_not_for_a_text_and_its_translation(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    times = {"s": 0, "t": 1000, "u": 2000}
    first, second = timed("x", "s", "t", "ja"), timed("y", "t", "u", "nein")
    for tiers, pattern in (
        ({"tx": first, "ft": timed("y", "s", "t", "yes")}, None),
        ({"ana": first, "ben": second}, "*"),
        ({"tx@ana": first, "tx@ben": second, "ft": timed("z", "s", "t", "yes")}, "tx@*"),
    ):
        write(folder / "a.eaf", eaf(times, tiers))
        with pytest.raises(SourceError, match="several tiers; choose the one to learn") as error:
            prepared(folder)
        assert str(error.value).partition("\nSeveral at once: ")[2] == (f"--tier '{pattern}'" if pattern else "")


def test_marks_of_unsure_words_are_not_learned(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    body = timed("x", "s", "t", f"ja{UNSURE_MARK} gut {UNSURE_MARK}") + timed("y", "t", "u", "nein [?")
    write(folder / "a.eaf", eaf({"s": 0, "t": 1000, "u": 2000}, {"asr": body, "other": timed("z", "s", "t", "[?]")}))
    rows, result = prepared(folder, tier="asr")
    assert [row.text for row in rows] == ["ja gut", "nein [?"]
    assert "1 annotation keeps [?], our mark of unsure words; it is left out, the words stay: a@0.000" in result.notes


def test_a_file_that_names_several_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "A.wav", folder / "B.wav", folder / "c.wav")
    write(folder / "two.eaf", eaf(*SIMPLE, "file:///C:/A.wav", "file:///C:/B.wav"))
    write(folder / "one.eaf", eaf(*SIMPLE, "file:///C:/c.wav"))
    rows, result = prepared(folder)
    assert [row.audio.name for row in rows] == ["c.wav"]
    assert len(result.faults) == 1 and "two.eaf: names several recordings: A.wav, B.wav; choose" in result.faults[0]
    for media, name in (("B.wav", "B.wav"), ("b*", "B.wav"), ("*A.wav", "A.wav")):
        rows, _ = prepared(folder, media=media)
        assert [(row.id, row.audio.name) for row in rows] == [("one@0.000", "c.wav"), ("two@0.000", name)]
    assert len(prepared(folder, media="x*")[1].faults) == 1
    done = run_asr("prepare", folder, "-o", tmp_path / "out", "--split", "1", "--media", "B.wav")
    assert done.returncode == 0 and done.stderr.startswith("next: asr ")
    assert {row.audio.name for row in read_manifest(tmp_path / "out" / "train.jsonl")} == {"B.wav", "c.wav"}


def test_a_file_that_names_no_recording_that_exists(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    write(folder / "a.eaf", eaf(*SIMPLE, "file:///C:/old name.wav"))
    rows, result = prepared(folder)
    assert [row.audio.name for row in rows] == ["a.wav"]
    assert any(
        "names a recording that is not there" in note and "a.wav, not old name.wav" in note for note in result.notes
    )


def test_sound_is_taken_before_video(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.mp4", folder / "a.wav", folder / "camera.mp4", folder / "mic.wav")
    write(folder / "x.eaf", eaf(*SIMPLE, "file:///C:/a.mp4"))
    write(folder / "y.eaf", eaf(*SIMPLE, "file:///C:/camera.mp4", "file:///C:/mic.wav"))
    rows, result = prepared(folder)
    assert [row.audio.name for row in rows] == ["a.wav", "mic.wav"]
    assert "1 recording is there in several formats: a.wav is taken, not a.mp4" in result.notes
    assert "1 file names several recordings: y.eaf: mic.wav is taken, of camera.mp4, mic.wav" in result.notes


def test_a_missing_recording_is_not_that_of_another_session(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "s1" / "a.wav")
    for session in ("s1", "s2"):
        write(folder / session / "a.eaf", eaf(*SIMPLE, f"file:///D:/x/{session}/a.wav"))
    rows, result = prepared(folder)
    assert [row.id for row in rows] == ["s1/a@0.000"]
    assert [row.id for row in result.manifests["missing"]] == ["s2/a@0.000"]


def text_grid(*labels: str, tier: str = "tx") -> str:
    intervals = "".join(f'{number}\n{number + 1}\n"{label}"\n' for number, label in enumerate(labels))
    size = len(labels)
    return f'"ooTextFile"\n"TextGrid"\n0\n{size}\n<exists>\n1\n"IntervalTier"\n"{tier}"\n0\n{size}\n{size}\n{intervals}'


def test_broken_files_of_a_folder_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(*(folder / f"{name}.wav" for name in "abc"))
    write(folder / "a.TextGrid", text_grid("ja", "nein"))
    write(folder / "b.TextGrid", "")
    write(folder / "c.TextGrid", text_grid("é"), "cp1252")
    done = run_asr("prepare", folder, "-o", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "asr: 2 files cannot be read; all others are prepared:" in done.stderr
    assert "b.TextGrid: cannot be read (it ends too early)" in done.stderr
    assert re.search(r"c.TextGrid:\d+: is not UTF-8 \(byte \d+\); .*--encoding", done.stderr)
    assert len(read_manifest(tmp_path / "out" / "train.jsonl")) == 1
    done = run_asr("prepare", folder, "-o", tmp_path / "out", "--encoding", "cp1252")
    assert "asr: 1 file cannot be read" in done.stderr and "train.jsonl: 2 utterances" in done.stdout


def test_text_grids_in_the_chronological_format(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    head = '"Praat chronological TextGrid text file"\n0 6 ! Time domain.\n2 ! Number of tiers.\n'
    tiers = '"IntervalTier" "tx" 0 6\n"TextTier" "pts" 0 6\n'
    write(folder / "a.TextGrid", head + tiers + '1 0 3\n"one"\n2 1.5\n"point"\n1 3 6\n"two"\n')
    rows, _ = prepared(folder)
    assert [(row.text, row.offset, row.duration) for row in rows] == [("one", 0.0, 3.0), ("two", 3.0, 3.0)]
    write(folder / "a.TextGrid", head + tiers + '3 0 3\n"one"\n')
    with pytest.raises(SourceError, match=r"a number of a tier is expected where 3.0 is"):
        prepared(folder)


def test_symbols_of_praat() -> None:
    assert decode(r"wo\sw \nga \e'te\:f m\ae \bs \a~") == ("woə ŋa étéː mæ \\ ã".replace("été", "éte"), [])
    assert decode("plain \\ text") == ("plain \\ text", [])
    assert decode(r"C:\qqx") == (r"C:\qqx", [r"\qq"])


def test_marks_of_silence_are_named_and_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder / "a.wav")
    write(folder / "a.TextGrid", text_grid("ja", "sil", " <p:> ", "[laughs]", "...", "ja ja", "sil"))
    rows, result = prepared(folder)
    assert len(rows) == 7
    (note,) = [note for note in result.notes if "marks of silence" in note]
    assert "sil (2 times), " in note and note.endswith(
        "--drop sil --drop '<p:>' --drop '[laughs]' --drop ... leaves them out"
    )
    rows, result = prepared(folder, drop=["sil", "<p:>", "[laughs]", "...", "{none}"])
    assert [row.text for row in rows] == ["ja", "ja ja"]
    assert "--drop sil: 2 utterances have this text, and are left out" in result.notes
    assert "--drop '{none}': 0 utterances have this text, and are left out" in result.notes


def test_pairs_are_suggested_for_names_that_differ(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(*(folder / "audio" / f"rec{number}_mic.wav" for number in (1, 2)))
    for number, initials in ((1, "AB"), (2, "CD")):
        write(folder / "text" / f"rec{number}_{initials}.TextGrid", text_grid("ja"))
    with pytest.raises(
        SourceError, match=r"--pair '{id}_mic.wav' --pair '{id}_\*.TextGrid' \(2 pairs, such as rec1_mic"
    ):
        prepared(folder)
    rows, _ = prepared(folder, pair=["{id}_mic.wav", "{id}_*.TextGrid"])
    assert [row.audio.name for row in rows] == ["rec1_mic.wav", "rec2_mic.wav"]
    touch(folder / "audio" / "rec3.wav")
    write(folder / "text" / "rec3.TextGrid", text_grid("nein"))
    _, result = prepared(folder)
    assert any("the names of recordings and texts differ; pair them with --pair" in note for note in result.notes)


def test_pairs_of_folders_are_suggested(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for session in ("s1", "s2"):
        touch(folder / session / "audio.wav")
        write(folder / session / "text.txt", f"hello {session}")
    with pytest.raises(SourceError, match=r"--pair '{id}/audio.wav' --pair '{id}/text.txt' \(2 pairs"):
        prepared(folder)
    rows, _ = prepared(folder, pair=["{id}/audio.wav", "{id}/text.txt"])
    assert [(row.id, row.text) for row in rows] == [("s1/audio", "hello s1"), ("s2/audio", "hello s2")]


def test_ends_after_the_recording_are_named(tmp_path: Path, tone: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    tone.rename(folder / "a.wav")
    write(folder / "a.TextGrid", text_grid("ja", "nein"))
    _, result = prepared(folder)
    assert (
        "1 utterance ends after its recording: a@1.000 ends at 2.00 s, a.wav at 1.00 s; asr check" in result.notes[-1]
    )


def test_two_elan_files_of_one_recording(tmp_path: Path) -> None:
    """A corrected copy beside the old file is refused by both names; files of other speech are read, and noted."""
    folder = tmp_path / "in"
    touch(folder / "talk.wav")
    text = eaf(*SIMPLE, "file:///x/talk.wav")
    write(folder / "talk.eaf", text)
    write(folder / "talk_corrected.eaf", text.replace("ja", "nein"))
    os.utime(folder / "talk.eaf", (1, 1))
    with pytest.raises(SourceError, match=r"talk\.wav: is annotated twice in the tier") as caught:
        prepared(folder)
    assert f"in {folder / 'talk.eaf'} and in {folder / 'talk_corrected.eaf'}, which was saved later" in str(
        caught.value
    )
    write(folder / "talk_corrected.eaf", re.sub(r'TIME_VALUE="(\d+)"', lambda m: f'TIME_VALUE="{m[1]}7"', text))
    rows, result = prepared(folder)
    assert {row.id.partition("@")[0] for row in rows} == {"talk", "talk_corrected"}
    assert any("1 recording is annotated by several files, and all are read" in note for note in result.notes)
