"""Corpora as people have them: every row of the table of cases comes out as its last column says.

The cases are made by a program that lies in ../shared/cases beside the checkout; without it, the tests are skipped.
"""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

from asr.corpus.check import check, name_splits
from asr.corpus.manifest import read_manifest
from asr.corpus.prepare import ASIDE, prepare
from asr.corpus.readers.files import SourceError
from asr.text import Normalizer, Units
from asr.utterance import Utterance

CASES = REPOSITORY.parent / "shared" / "cases"


@pytest.fixture(scope="module")
def corpora_of_cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not (CASES / "make_corpora.py").is_file():
        pytest.skip(f"the cases are not in {CASES}")
    folder = tmp_path_factory.mktemp("cases")
    before = sys.argv
    sys.argv = ["make_corpora.py", str(folder)]
    try:
        runpy.run_path(str(CASES / "make_corpora.py"))
    finally:
        sys.argv = before
    yield folder


class Case:
    """The folders of the cases, and what `prepare` makes of them."""

    def __init__(self, folder: Path, out: Path) -> None:
        self.folder, self.out = folder, out
        self.notes = ""
        self.faults: list[str] = []

    def read(self, name: str, **options: object) -> list[Utterance]:
        """Return the utterances with a text and a recording, in the order of their recordings and times."""
        prepared = prepare(self.folder / name, self.out / name, **options)  # type: ignore[arg-type]
        self.notes, self.faults = "\n".join(prepared.notes), list(prepared.faults)
        rows = [row for split, part in prepared.manifests.items() if split not in ASIDE for row in part]
        names = {row.audio.name: (len(row.audio.name), row.audio.name) for row in rows}
        return sorted(rows, key=lambda row: (names[row.audio.name], row.audio, row.offset))

    def texts(self, name: str, **options: object) -> list[str | None]:
        return [row.text for row in self.read(name, **options)]

    def refused(self, name: str, **options: object) -> str:
        with pytest.raises(SourceError) as caught:
            self.read(name, **options)
        return str(caught.value)


def names_are_compared_after_nfc(case: Case) -> None:
    for name, count in (("e4", 10), ("f_nfd", 12)):
        assert len(case.read(name)) == count and "composed otherwise in Unicode" in case.notes


def names_are_compared_without_suffix(case: Case) -> None:
    assert case.texts("g_conv") == [f"hello {number}" for number in range(30)]
    assert "30 recordings are found by their name with another suffix, such as r0.wav is wavs/r0.flac" in case.notes


def overlapping_speakers_are_counted(case: Case) -> None:
    assert len(case.read("e5", tier="tx@*", fractions=[1.0])) == 20
    assert "19 pairs of utterances overlap in time, 19 of different speakers" in case.notes
    splits, training = name_splits([case.out / "e5" / "train.jsonl"])
    report = check(
        splits, training=training, sample_rate=8000, hop_ms=10, subsampling=4, normalizer=Normalizer(),
        segment=Units(()).split,
    )  # fmt: skip
    assert sum(finding.verdict == "overlapping speech" for finding in report.findings) == 19


def a_file_that_names_two_recordings_asks_which(case: Case) -> None:
    message = case.refused("e8")
    assert "names several recordings: spkA.wav, spkB.wav" in message and "--media" in message
    rows = case.read("e8", media="spkB.wav", tier="tx@B")
    assert len(rows) == 10 and {(row.audio.name, row.speaker) for row in rows} == {("spkB.wav", "B")}


def short_text_grids_are_read(case: Case) -> None:
    assert case.texts("p1") == [f"wörd{number} ŋa" for number in range(12)]


def symbols_are_letters_and_marks_of_silence_are_named(case: Case) -> None:
    assert case.texts("p6") == [f"woə{number} ŋa" for number in range(12)] and r"wo\sw0 \nga is woə0 ŋa" in case.notes
    assert len(case.read("p10")) == 12 and "--drop '<p:>' --drop sil" in case.notes
    assert case.texts("p10", drop=["sil", "<p:>"]) == [f"wörd{number} ŋa" for number in (2, 5, 8, 11)]


def names_that_differ_are_paired(case: Case) -> None:
    for name, format, pattern in (("p7", None, "{id}_annotated.TextGrid"), ("f_vctk", "folder", "{id}_mic1.wav")):
        assert f"--pair '{pattern}'" in case.refused(name, format=format)
        assert len(case.read(name, format=format, pair=[pattern])) == 12


def parallel_trees_are_matched_by_the_end_of_the_path(case: Case) -> None:
    rows = case.read("p8")
    assert len(rows) == 24 and all(row.audio.parent.name == Path(row.id).parent.name for row in rows)


def paths_of_another_machine_are_matched_by_their_end(case: Case) -> None:
    rows = case.read("t17")
    found = {row.text: row.audio.relative_to(case.folder / "t17").as_posix() for row in rows}
    assert found == {f"t {number}": f"s{number % 3}/a{number // 3}.wav" for number in range(30)}


def a_file_that_was_not_used_is_named_with_its_reason(case: Case) -> None:
    texts = [f"té{number} the text" for number in range(30)]
    message = case.refused("t1")
    assert "data.csv:2: is not UTF-8 (byte " in message and "--encoding" in message
    assert case.texts("t1", encoding="cp1252") == texts == case.texts("t3")
    assert "--columns file=Filename,text=Orthography" in case.refused("t5b", format="table")
    assert case.texts("t5b", columns="file=Filename,text=Orthography") == texts
    assert len(case.read("g_first")) == 29
    assert len(case.faults) == 1 and "r00.txt:1: is not UTF-8 (byte 1)" in case.faults[0]
    assert (
        case.texts("g_first", encoding="cp1252")[0] == "héllo 0" and len(case.read("g_first", encoding="latin-1")) == 30
    )
    assert "r0.txt:1: is not UTF-8" in case.refused("f_cp") and "--encoding" in case.refused("f_cp")
    assert case.texts("f_cp", encoding="cp1252") == [f"été {number}" for number in range(12)]


def times_are_read_or_the_column_is_named(case: Case) -> None:
    assert "start and end reach 29800, in a recording of 0.3 s" in case.refused("t6")
    assert [(row.offset, row.duration) for row in case.read("t6b")][:2] == [(0.1, 0.8), (1.1, 0.8)]
    assert [(row.offset, row.duration) for row in case.read("t6c")][:2] == [(0.0, 0.008), (0.01, 0.008)]


def lists_without_a_header_are_read(case: Case) -> None:
    pytest.importorskip("asr.corpus.readers.id_list")
    texts = [f"the text {number}" for number in range(30)]
    assert case.texts("t10") == texts == case.texts("t10c")
    assert [row.speaker for row in case.read("t10c")] == [f"spk{number % 3}" for number in range(30)]


def fairseq_is_read(case: Case) -> None:
    pytest.importorskip("asr.corpus.readers.fairseq")
    assert case.texts("t11") == [f"the text {number}" for number in range(30)]


def repeated_rows_are_named_by_both_lines(case: Case) -> None:
    assert "data.csv:32: repeats rec0.wav of line 2 with another text" in case.refused("t13")


def a_column_with_few_values_is_the_speaker(case: Case) -> None:
    rows = case.read("t14b")
    assert [(row.text, row.speaker) for row in rows] == [(f"the text {n}", f"spk{n % 3}") for n in range(30)]
    assert "column 3 repeats a few values, so it is read as the speaker" in case.notes


def commas_at_the_end_do_not_count(case: Case) -> None:
    assert case.texts("t21") == [f"t {number}" for number in range(30)]


def common_voice_is_read_as_its_makers_write_it(case: Case) -> None:
    expected = ['"Good-bye," said the boy.', '"An unclosed quote', 'では、"危険"', "plain", '"quoted whole"']
    assert case.texts("cv1") == [expected[number % 5] for number in range(30)]


def structured_texts_are_no_plain_transcripts(case: Case) -> None:
    for name in ("f_srt", "f_lab", "f_elantxt", "f_json", "f_trs", "f_xml"):
        try:
            rows = case.read(name)
        except SourceError as error:
            assert re.search(rf"{name}/r0\.\w+: holds .*, not a plain transcript", str(error))
        else:
            assert len(rows) >= 12 and all(row.duration for row in rows)
            assert all(re.fullmatch(r"(hello|world) ?\d*", row.text or "") for row in rows)


def the_printed_loop_loses_no_file(case: Case) -> None:
    message = case.refused("k4")
    loop = message.splitlines()[-1].strip()
    assert "mkdir -p" in loop and "</dev/null" in loop
    recording = case.folder / "kw" / "long.wav"
    (case.folder / "k4" / "wav.scp").write_text(
        f"long cat {recording} |\r\nreads cat - {recording} | \nno/file false |\nplain {recording}\n"
        f"last cat {recording} |"
    )
    (case.folder / "k4" / "text").write_text("long hi\nreads hi\nplain hi\nlast hi\n")
    done = subprocess.run(["sh", "-c", loop], capture_output=True, text=True, input="from the terminal")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "failed: no/file\n")
    rows = case.read("k4")
    assert not list((case.folder / "k4" / "wav").glob("no*"))
    assert [row.id for row in sorted(rows, key=lambda row: row.id)] == ["last", "long", "plain", "reads"]
    assert {row.audio.read_bytes() for row in rows} == {recording.read_bytes()}
    assert {row.audio.name for row in rows if row.id == "plain"} == {"long.wav"}


CHECKS: dict[str, Callable[[Case], None]] = {
    "e4, f_nfd": names_are_compared_after_nfc,
    "g_conv": names_are_compared_without_suffix,
    "e5": overlapping_speakers_are_counted,
    "e8": a_file_that_names_two_recordings_asks_which,
    "p1": short_text_grids_are_read,
    "p6, p10": symbols_are_letters_and_marks_of_silence_are_named,
    "p7, f_vctk": names_that_differ_are_paired,
    "p8": parallel_trees_are_matched_by_the_end_of_the_path,
    "t17": paths_of_another_machine_are_matched_by_their_end,
    "t1, t3, t5b, g_first, f_cp": a_file_that_was_not_used_is_named_with_its_reason,
    "t6, t6b, t6c": times_are_read_or_the_column_is_named,
    "t10, t10c": lists_without_a_header_are_read,
    "t11": fairseq_is_read,
    "t13": repeated_rows_are_named_by_both_lines,
    "t14b": a_column_with_few_values_is_the_speaker,
    "t21": commas_at_the_end_do_not_count,
    "cv1": common_voice_is_read_as_its_makers_write_it,
    "f_srt, f_lab, f_elantxt, f_json, f_trs, f_xml": structured_texts_are_no_plain_transcripts,
    "loop (text)": the_printed_loop_loses_no_file,
}


@pytest.mark.parametrize("row", CHECKS)
def test_a_row_of_the_table(row: str, corpora_of_cases: Path, tmp_path: Path) -> None:
    CHECKS[row](Case(corpora_of_cases, tmp_path))


def test_every_row_of_the_table_has_a_check(corpora_of_cases: Path) -> None:
    table = (CASES / "README.md").read_text(encoding="utf-8").partition("## Corpora")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("|")]
    assert rows[2:] == list(CHECKS)
    named = {name for row in CHECKS for name in row.split(", ")} - {"loop (text)"}
    assert named <= {folder.name for folder in corpora_of_cases.iterdir()}


def test_every_case_ends_with_manifests_or_an_error_that_names_it(corpora_of_cases: Path, tmp_path: Path) -> None:
    for folder in sorted(corpora_of_cases.iterdir()):
        if folder.name == "kw":
            continue
        try:
            prepared = prepare(folder, tmp_path / folder.name)
        except SourceError as error:
            assert str(folder) in str(error)
            continue
        for name, rows in prepared.manifests.items():
            assert read_manifest(tmp_path / folder.name / f"{name}.jsonl") == rows
