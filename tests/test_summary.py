"""The command `asr score`: the lines it prints, its tables, pages and files, and the commands of docs/score.md."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from processes import run_asr

from asr.errors import AsrError
from asr.scoring.summary import Summary, summarise
from asr.scoring.tables import write_rows
from asr.scoring.tones import tone_marks, without_marks
from asr.text import Normalizer

ROWS = [
    {"id": "1", "text": "mbɔ́mbɔ́ a b", "speaker": "x", "hypothesis": "mbɔmbɔ́ a b", "nbest": ["mbɔ́mbɔ́ a b"]},
    {"id": "2", "text": "<b>c</b> d", "speaker": "y", "hypothesis": "<i>c</i>"},
    {"id": "3", "text": "", "speaker": "z", "hypothesis": "uh"},
]


def write_manifest(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps({"audio_filepath": f"{row['id']}.wav", **row}) for row in rows))
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "ref.jsonl", ROWS)


@pytest.fixture
def better(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "better.jsonl", [{**row, "hypothesis": row["text"]} for row in ROWS])


def summary_of(*paths: Path, **options: object) -> Summary:
    return summarise(paths[0], paths[1:], Normalizer(lower=True), **options)


def test_lines_name_normalisation_groups_and_oracle(reference: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = list(summary_of(reference, reference, by="speaker", tones="áà").lines())
    assert lines[0].startswith("speaker x: %WER 33.33 [1 / 3")
    assert lines[1].startswith("speaker y: %WER 100.00 [2 / 2")
    assert lines[2] == "mean WER over 2 values of speaker: 66.67 %"
    assert "speaker z: the references hold no words" in caplog.text
    assert lines[3].startswith("oracle of the n-best: %WER 60.00 [3 / 5, 1 ins, 1 del, 1 sub]")
    assert lines[4].startswith("%CER") and lines[4].endswith(
        "over 3 utterances; NFC, white space collapsed, lower case"
    )
    assert lines[5].startswith("%CER") and lines[5].endswith("lower case, without U+0300 U+0301")
    assert lines[6].startswith("%WER 80.00 [4 / 5, 1 ins, 1 del, 2 sub]")
    with_tones, without = (int(line.split("[")[1].split(" ")[0]) for line in lines[4:6])
    assert with_tones == without + 1
    assert len(lines) == 7


def test_tone_marks_alone_are_taken_away() -> None:
    """Vietnamese: the dot below is a tone there, circumflex and horn are vowels; Yoruba has it the other way round."""
    assert without_marks("tiếng Việt, người", tone_marks("áàảãạ")) == "tiêng Viêt, ngươi"
    assert without_marks("ọ̀rọ̀ Yorùbá", tone_marks("áà")) == "ọrọ Yoruba"
    assert without_marks("ma˥ ma˩", tone_marks("˥˩")) == "ma ma"
    with pytest.raises(AsrError, match="--tones abc: has no marks"):
        tone_marks("abc")


def test_sums_of_the_table_are_the_score(reference: Path, better: Path, tmp_path: Path) -> None:
    summary = summary_of(reference, reference)
    for name in ("t.jsonl", "t.csv", "t.tsv"):
        write_rows(tmp_path / name, list(summary.rows()))
    rows = list(map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines()))
    for unit, rate in (("word", summary.systems[0].score.wer), ("character", summary.systems[0].score.cer)):
        for kind in ("insertions", "deletions", "substitutions"):
            assert sum(row[f"{unit}_{kind}"] for row in rows) == getattr(rate, kind)
        assert sum(row[f"{unit}s"] for row in rows) == rate.total
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with (tmp_path / name).open(newline="") as file:
            assert list(csv.DictReader(file, delimiter=delimiter)) == [
                {key: str(value) for key, value in row.items()} for row in rows
            ]
    both = list(summary_of(reference, reference, better).rows())
    assert sum(row["word_deletions_a"] for row in both) == 1 and sum(row["word_deletions_b"] for row in both) == 0
    with pytest.raises(AsrError, match=r"t\.xlsx: a table is written as"):
        write_rows(tmp_path / "t.xlsx", rows)
    assert not list(tmp_path.glob("*.part"))


def test_alignments_of_one_and_of_two_systems(reference: Path, better: Path) -> None:
    assert list(summary_of(reference, reference).alignment_lines())[:3] == [
        "1, speaker x: errors 1, words 3",
        "  REF mbɔ́mbɔ́ a b\n  HYP mbɔmbɔ́ a b\n      S",
        "",
    ]
    lines = list(summary_of(reference, reference, better).alignment_lines())
    assert lines[4:8] == [
        "2, speaker y: errors 2 and 0, words 2",
        "  REF <b>c</b> d\n  A   <i>c</i> *\n      S        D",
        "  REF <b>c</b> d\n  B   <b>c</b> d",
        "",
    ]
    assert list(summary_of(reference, better, better).alignment_lines()) == []


def test_command_line(reference: Path, better: Path, tmp_path: Path) -> None:
    options = [
        "--lower",
        "--errors",
        "--anatomy",
        "--training",
        reference,
        "--alignments",
        "--by",
        "speaker",
        "--tones",
        "á",
    ]
    done = run_asr(
        "score", reference, reference, better, *options, "-o", tmp_path / "t.csv", "--html", tmp_path / "p.html"
    )
    assert done.returncode == 0, done.stderr
    for expected in (
        "1, speaker x: errors 1 and 0, words 3",
        "Confused words",
        "Words known from training",
        "without U+0301",
    ):
        assert expected in done.stdout
    assert "B is better with probability" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1] == "words: 3 fixed, 0 broken; utterances: 3 better, 0 worse, 0 equal"
    assert "asr: no table by signal level: " in done.stderr and "1.wav: no such file" in done.stderr
    assert (tmp_path / "t.csv").stat().st_size and (tmp_path / "p.html").stat().st_size


def test_scoring_needs_no_torch(reference: Path) -> None:
    """The command, its tables and exact intervals work where PyTorch is not installed."""
    code = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'asr'; from asr.cli import main; main()"
    command = [sys.executable, "-c", code, "score", reference, reference, "--errors", "--by", "speaker"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("%WER 80.00 [4 / 5, 1 ins, 1 del, 2 sub] exact 95 % interval ")


PAGE = (REPOSITORY / "docs" / "score.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_commands_of_the_page_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that make their own files print the lines of the page; other commands run on replaced recipe files."""
    for path in re.findall(r"\S+/\S+\.jsonl", block):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        write_manifest(tmp_path / path, ROWS[:2])
    lines = block.splitlines()
    commands = "\n".join(line[2:] for line in lines if line.startswith("$ "))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    script = f'set -e; asr() {{ "{sys.executable}" -m asr "$@" 2>&1; }}\n{commands}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert commands and done.returncode == 0, done.stdout + done.stderr
    if commands.startswith("printf"):
        assert done.stdout.splitlines() == [line for line in lines if not line.startswith("$ ")]
