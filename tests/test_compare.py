"""`asr compare`: runs written by hand, whose tables, notes and pages are known."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from processes import run_asr

from asr.config import Config
from asr.errors import AsrError
from asr.origin import Machine, Origin, Program, read_origin, write_origin
from asr.report.compare import compare_runs, draw_comparison, write_comparison

REFERENCES = ["one two three", "four five", "six seven eight nine", "ten one two"]
EPOCHS = 3


def write_run(
    folder: Path,
    hypotheses: Sequence[str],
    *,
    seed: int = 0,
    data: str = "a" * 64,
    commit: str = "1234567",
    ids: str = "u",
    epochs: int = EPOCHS,
    references: Sequence[str] = REFERENCES,
    **settings: dict[str, object],
) -> Path:
    """Write the folder of a run of three epochs whose last one is kept; its rates are those of `hypotheses`."""
    tree: dict[str, dict[str, object]] = {"data": {"train": "t.jsonl", "validation": "v.jsonl"}}
    for section, values in settings.items():
        tree.setdefault(section, {}).update(values)
    tree.setdefault("training", {}).update({"seed": seed, "epochs": EPOCHS})
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(Config.model_validate(tree).to_yaml())
    rows = [
        {"epoch": e, "train_loss": 2 / e, "validation_loss": 3 / e, "cer": 30.0 / e, "wer": 60.0 / e, "seconds": e}
        for e in range(1, epochs + 1)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        {"id": f"{ids}{n}", "audio_filepath": "x.wav", "text": text, "hypothesis": hypothesis}
        for n, (text, hypothesis) in enumerate(zip(references, hypotheses, strict=True))
    ]
    (folder / "validation.hyp.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    machine = Machine(system="Linux", processor="p", threads=1, device="cpu", processes=1, precision="fp32")
    program = Program(git_commit=commit, versions={"asr": "0.1"})
    digests = {"train": "b" * 64, "validation": data}
    write_origin(folder, Origin(asked="0" * 64, data=digests, files={}, program=program, machine=machine))
    return folder


def wrong(*numbers: int) -> list[str]:
    """Return the references with the first word of the utterances of these numbers replaced."""
    return [re.sub(r"^\w+", "x", text) if number in numbers else text for number, text in enumerate(REFERENCES)]


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes two groups: small (2 seeds, hidden 32), and large (hidden 64, one run)."""
    for seed, errors in enumerate(((0, 1), (0,))):
        write_run(tmp_path / "small" / f"seed-{seed}", wrong(*errors), seed=seed, model={"hidden": 32})
    write_run(tmp_path / "large", wrong(2), model={"hidden": 64})
    return lambda name: tmp_path / name


def test_seeds_are_one_run_and_settings_that_differ_are_listed(runs: Callable[..., Path], tmp_path: Path) -> None:
    found = compare_runs([runs("small"), runs("large")])
    settings, results, differences = found.tables
    assert settings.rows == [("model.hidden", "32", "64")]
    small, large = str(runs("small")), str(runs("large"))
    assert settings.columns == ("setting", small, large)
    words = sum(len(text.split()) for text in REFERENCES)
    # CER of x for one: 3 of 54 characters (o, n, e: one substitution, two deletions); rates are those of the log
    assert [row[0] for row in results.rows] == [small, large]
    assert results.rows[0][1:3] == ("0, 1", "3, 3") and results.rows[0][-1] == f"3 / {2 * words}"
    assert results.rows[1][1:3] == ("0", "3") and results.rows[1][-1] == f"1 / {words}"
    assert results.rows[0][3] == "10.00 ± 0.00" and results.rows[1][3] == "10.00"
    assert [row[:2] for row in differences.rows] == [(large, "CER"), (large, "WER")]
    assert differences.rows[1][2] == f"{100 * (1 - 1.5) / words:+.2f}" and differences.rows[1][-1] == "–"
    assert differences.rows[1][4] == "4 utterances"
    assert any("0.45 to 31.9 times" in note for note in found.notes)
    assert any("paired bootstrap" in note for note in found.notes)


def test_equal_runs_have_no_settings_that_differ_and_no_difference(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", wrong(1))
    second = write_run(tmp_path / "b", wrong(1))  # the same seed, so they stay two runs
    settings, _, differences = compare_runs([first, second]).tables
    assert settings.rows == [] and str(settings) == "Settings that differ: none"
    assert all(row[2:] == ("+0.00", "– (0 differ)", "4 utterances", "–", "–") for row in differences.rows)


def test_an_interval_needs_utterances_that_differ(tmp_path: Path) -> None:
    more = [f"{text} {number}" for number in range(3) for text in REFERENCES]
    first = write_run(tmp_path / "a", more, references=more)
    second = write_run(tmp_path / "b", [f"x {text}" for text in more[:6]] + more[6:], references=more)
    row = compare_runs([first, second]).tables[-1].rows[-1]
    assert re.fullmatch(r"\+\d+\.\d\d to \+\d+\.\d\d", str(row[3])) and row[5] == "0.0 %"


def test_single_runs_that_differ_in_the_seed_are_grouped(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / f"run{seed}", wrong(seed), seed=seed) for seed in range(3)]
    found = compare_runs(folders)
    assert [len(one.runs) for one in found.groups] == [3] and found.groups[0].name == str(folders[0])
    assert len(found.tables) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"ids": "v"},
            "validated on other utterances or texts: 4 in .*, 4 in .*, 0 of them equal; compare them on one",
        ),
        ({"text": {"lower": True}}, "normalised in other ways .*lower case"),
        ({"data": "c" * 64}, "equal ids and texts, but other recordings"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    first, second = write_run(tmp_path / "a", wrong(0)), write_run(tmp_path / "b", wrong(1), **change)
    found = compare_runs([first, second])
    assert len(found.tables) == 2, "no table of differences"
    assert any(re.search(f"{second}: is not compared with {first}: .*{reason}", note) for note in found.notes)


def test_runs_of_older_versions_and_unfinished_runs(tmp_path: Path) -> None:
    old, new = write_run(tmp_path / "old", wrong(0)), write_run(tmp_path / "new", wrong(1), epochs=2)
    for name in ("origin.json", "validation.hyp.jsonl"):
        (old / name).unlink()
    found = compare_runs([old, new])
    notes = "\n".join(found.notes)
    assert f"{new}: is unfinished, after epoch 2 of 3" in notes
    assert f"make it: asr transcribe {old} v.jsonl -o {old / 'validation.hyp.jsonl'}" in notes
    assert f"{old}: trained by a version that did not record its data" in notes
    assert f"{new}: is not compared with {old}: the hypotheses of a run are not known" in notes
    assert found.tables[1].rows[0][-1] == "–" and found.tables[0].rows == []
    (old / "origin.json").write_text("{]")
    assert read_origin(old) is None


def test_programs_and_machines_that_differ_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "seed-0", wrong(0))
    write_run(tmp_path / "s" / "seed-1", wrong(0), seed=1, commit="7654321")
    other = write_run(tmp_path / "b", wrong(0), commit="7654321", model={"hidden": 9})
    found = compare_runs([tmp_path / "s", other])
    assert any("its seeds were trained by different programs" in note for note in found.notes)
    assert ("commit", "1234567", "7654321") in found.tables[0].rows


def test_faults_are_errors(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", wrong(0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AsrError, match=r"empty: is no run: it lacks config\.yaml or log\.jsonl; give the folder of a"):
        compare_runs([tmp_path / "empty"])
    with pytest.raises(AsrError, match="a: is named twice"):
        compare_runs([run, run])
    classifier = write_run(tmp_path / "c", wrong(0))
    tree = yaml.safe_load((classifier / "config.yaml").read_text()) | {"task": "classification"}
    (classifier / "config.yaml").write_text(yaml.safe_dump(tree))
    rows = [{"epoch": 1, "train_loss": 1, "validation_loss": 1, "error_rate": 25.0}]
    (classifier / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(AsrError, match="different tasks, whose errors cannot be compared"):
        compare_runs([run, classifier])
    assert compare_runs([classifier]).tables[0].rows[0][-2:] == ("25.00", "1 / 4")
    for line in ('{"id": "x"}', "[1]", "no JSON", '{"id": "x", "text": [], "hypothesis": "a"}'):
        (run / "validation.hyp.jsonl").write_text(f"{line}\n")
        note = compare_runs([run]).notes[0]
        assert note.startswith(f"{run / 'validation.hyp.jsonl'}:1: ") and "transcribe the validation data again" in note
    (run / "log.jsonl").write_text('{"epoch": 1, "train_loss": 1}\n')
    with pytest.raises(AsrError, match=r"log\.jsonl: has no validation error rate in each epoch"):
        compare_runs([run])


def test_page_and_picture(tmp_path: Path) -> None:
    for number in range(8):  # more runs than colours
        write_run(tmp_path / f"<run>${number}$", wrong(number % 4), model={"hidden": 8 + number})
    found = compare_runs(sorted(tmp_path.iterdir()))
    write_comparison(tmp_path / "page.html", found)
    page = (tmp_path / "page.html").read_text()
    assert "<run>" not in page and "&lt;run&gt;$7$" in page and page.count("<table>") == 3
    assert page.count('src="data:image/svg+xml') == 2 and "http" not in re.sub(r'src="[^"]*"', "", page)
    draw_comparison(tmp_path / "curves.png", found)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_comparing_does_not_load_torch() -> None:
    code = "import asr.report.compare, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command(runs: Callable[..., Path], tmp_path: Path) -> None:
    words = ("compare", "small", "large")
    done = run_asr(*words, "--html", "c.html", "--png", "c.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Settings that differ\n  setting       small  large\n  model.hidden  32     64\n")
    assert "± is the standard deviation" in done.stderr and "±" not in done.stdout.replace(" ± ", "")
    assert (tmp_path / "c.html").is_file() and (tmp_path / "c.png").is_file()
    for form, text in (("markdown", "| model.hidden | 32 | 64 |"), ("latex", "\\toprule"), ("html", "<td>32</td>")):
        assert text in run_asr(*words, "-f", form, cwd=tmp_path).stdout
    assert run_asr(*words, "-f", "word", cwd=tmp_path).returncode == 2
    shutil.rmtree(tmp_path / "large")
    failed = run_asr(*words, cwd=tmp_path)
    assert failed.returncode == 1 and failed.stderr.startswith("asr: large: is no run")
