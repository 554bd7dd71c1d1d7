"""The command line: help, light imports, exit statuses, what goes to stdout and stderr."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from conftest import fresh_recognizer
from processes import run_asr
from typer.testing import CliRunner

import asr
from asr.cli import SECTIONS, app
from asr.cli.groups import DefaultGroup, summary
from asr.errors import AsrError


def _commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that has a help page."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        if not (isinstance(group, DefaultGroup) and name == group.default):
            yield from _commands(command, (*path, name))


COMMANDS = list(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_names_no_types(command: tuple[str, ...]) -> None:
    pages = [CliRunner(env={"COLUMNS": "80"}).invoke(app, [*command, option]).output for option in ("--help", "-h")]
    assert pages[0] == pages[1] and pages[0].startswith("Usage: ")
    assert max(map(len, pages[0].splitlines())) <= 80
    assert "..." not in pages[0], "a text is cut"
    assert not re.search(r"(?<!\?P)<|list\[|\brange\b", pages[0]), "a type is named"


def test_help_lists_every_command_in_its_section() -> None:
    page = run_asr("--help").stdout
    sections = re.split(r"^(\w+):$", page, flags=re.MULTILINE)
    titles, texts = sections[1::2], sections[2::2]
    assert titles == [*SECTIONS, "Options"]
    for title, text in zip(titles[:-1], texts[:-1], strict=True):
        assert len(re.findall(r"^  \w+ ", text, re.MULTILINE)) == len(SECTIONS[title])
    names = [path[0] for path in COMMANDS if len(path) == 1]
    assert sorted(re.findall(r"^  (\w+) ", "".join(texts[:-1]), re.MULTILINE)) == sorted(names)


def test_each_command_has_a_summary() -> None:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert summary(command).endswith((".", "?")), name


def test_version() -> None:
    done = subprocess.run([sys.executable, "-m", "asr", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"asr {asr.__version__}\n", "")


def test_the_shell_completes_commands() -> None:
    asked = {"_ASR_COMPLETE": "complete_bash", "COMP_WORDS": "asr tr", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "asr"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked}, check=False)
    assert done.stdout.split() == ["train", "transcribe"]


HIDE = (
    "import sys; sys.modules.update(dict.fromkeys({hidden!r})); sys.argv = {argv!r}; from asr.cli import main; main()"
)


def run_without(hidden: list[str], *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as if some packages were not installed."""
    code = HIDE.format(hidden=hidden, argv=["asr", *arguments])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("package", ["torch", "accelerate"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package: str, tones: Path) -> None:
    (tones / "mine.yaml").write_text("data: {train: train.jsonl, validation: validation.jsonl}\n")
    done = run_without([package], "train", "mine.yaml", cwd=tones)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"asr: train needs \w+, which is not installed: pip install 'own-asr\[train\]'\n", done.stderr)


def test_a_fault_of_the_program_is_not_taken_for_a_missing_package() -> None:
    done = run_without(["asr.config"], "train", "mine.yaml")
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("code", ["import asr", "import asr.cli", "import asr.cli; asr.AsrError"])
def test_light_imports_stay_light(code: str) -> None:
    """No heavy package is imported: that keeps `import asr` and `asr --help` quick."""
    heavy = "{'torch', 'numpy', 'pydantic', 'librosa', 'matplotlib'}"
    done = subprocess.run([sys.executable, "-c", f"{code}; import sys; sys.exit(len({heavy} & sys.modules.keys()))"])
    assert done.returncode == 0


def test_scoring_does_not_load_torch() -> None:
    done = subprocess.run([sys.executable, "-c", "import asr.report.score, sys; sys.exit('torch' in sys.modules)"])
    assert done.returncode == 0


def test_transcription_starts_without_what_it_does_not_need() -> None:
    heavy = "{'accelerate', 'jiwer', 'matplotlib', 'numba', 'pandas', 'pyarrow', 'scipy', 'sympy', 'torch._dynamo'}"
    modules = "asr.recognition.transcribe, asr.progress, asr.writers"
    code = f"import {modules}, sys; sys.exit(str({heavy} & sys.modules.keys() or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() in ("", "0"), done.stderr


def test_every_public_name_is_there() -> None:
    for name in asr.__all__:
        assert getattr(asr, name) is not None
    assert set(asr.__all__) <= set(dir(asr))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        asr.nonsense  # noqa: B018


def test_exit_statuses(tmp_path: Path) -> None:
    for name in ("run/log.jsonl", "empty/other.safetensors", "empty/mine.yml", "text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one two\n")
    for arguments, status, message in (
        (["train", "nothing.yaml"], 1, "nothing.yaml: no such configuration file"),
        (["transcribe", "nothing.safetensors", "x.wav"], 1, "nothing.safetensors: no such model file"),
        (["score", "a.jsonl", "b.jsonl"], 1, "a.jsonl: no such file"),
        (["info", "nothing"], 1, "nothing: no such model file"),
        (["lm", "nothing.txt", "-o", "lm.arpa"], 1, "nothing.txt: no such file"),
        (["lm", "nothing.txt", "-o", "lm.arpa", "--prune", "few"], 1, "--prune few: give whole numbers"),
        (["lm", "nothing.txt", "-o", "lm.arpa", "--units", "syllables"], 2, "syllables"),
        (["train"], 2, "CONFIG"),
        (["transcribe", "m.safetensors"], 2, "name recordings, or --stream -"),
        (["dance"], 2, "dance"),
        (["info", "run"], 1, "run: its training has not ended, so it has no model.safetensors; repeat"),
        (["info", "empty"], 1, "empty: is a folder without model.safetensors, it holds other.safetensors; name a"),
        (["train", "empty"], 1, "empty: is a folder without config.yaml, it holds mine.yml; name a configuration"),
        (["train", "x.yaml", "--from", "empty"], 1, "empty: is a folder without model.safetensors"),
        (["info", "x" * 300], 1, f"{'x' * 300}: File name too long; choose a shorter name"),
        (["score", "text.txt", "text.txt", "-o", "text.txt/x.jsonl"], 1, "text.txt: cannot be written: "),
        (["lm", "text.txt", "-o", "empty"], 1, "empty: cannot be written: Is a directory; this is a folder; name a"),
    ):
        done = run_asr(*arguments, cwd=tmp_path)
        assert done.returncode == status, done.stderr
        assert message in done.stderr and "Traceback" not in done.stderr
        assert done.stdout == ""


def test_score_prints_results_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("one two three\n")
    (tmp_path / "hyp.txt").write_text("one too three\n")
    done = run_asr("score", tmp_path / "ref.txt", tmp_path / "hyp.txt")
    assert done.returncode == 0
    assert done.stderr == f"next: asr score {tmp_path / 'ref.txt'} {tmp_path / 'hyp.txt'} --errors\n"
    assert done.stdout.splitlines()[-1].startswith("%WER 33.33 [1 / 3, 0 ins, 0 del, 1 sub] exact 95 % interval")


def test_lm_writes_an_arpa_file_and_says_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Ein  Haus\n\nein Garten\n", encoding="utf-8")
    (tmp_path / "more.jsonl").write_text('{"audio_filepath": "x.wav", "text": "das Haus"}\n')
    arguments = ["lm", "text.txt", "more.jsonl", "-o", "out/lm.arpa", "--lower", "--order", 3, "--prune", "0,0,1"]
    done = run_asr(*arguments, "--validation", "more.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "3 sentences, 6 words, 4 of them different"
    assert lines[1].startswith("1-grams: Kneser-Ney, one discount ") and lines[2].startswith("2-grams: ")
    assert lines[4] == "2-gram model with 7 + 7 = 14 n-grams"
    assert done.stdout.startswith("perplexity ") and "over 3 tokens" in done.stdout
    arpa = (tmp_path / "out" / "lm.arpa").read_text()
    assert arpa.startswith("# text: NFC, white space collapsed, lower case\n# 1-grams: ") and "ein haus" in arpa
    assert run_asr("lm", "text.txt", "-o", "c.arpa", "--units", "characters", cwd=tmp_path).returncode == 0
    assert "<space>" in (tmp_path / "c.arpa").read_text()


def test_folders_of_runs_and_data_are_taken(tmp_path: Path) -> None:
    fresh_recognizer().save(tmp_path / "run" / "model.safetensors")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.yaml").write_text("data: {train: none.jsonl, validation: none.jsonl}\n")
    assert run_asr("info", "run", cwd=tmp_path).stdout == run_asr("info", "run/model.safetensors", cwd=tmp_path).stdout
    done = run_asr("train", "data", "--seed", 3, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1 and "none.jsonl: no such manifest" in done.stderr


@pytest.mark.parametrize("name", ["gpu", "mps", "foo", "cuda:77", ""])
def test_a_device_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    fresh_recognizer().save(tmp_path / "m")
    with pytest.raises(AsrError, match=rf"--device '{name}': models compute on cpu or cuda; this machine has cpu"):
        asr.load(tmp_path / "m", name)


FAULTY = """
import sys
from asr.cli import run

def program():
    print("half")
    {fault}

run(program)
"""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("open('gone/x')", "gone/x: No such file or directory; check the path"),
        ("open('x' * 300)", "File name too long; choose a shorter name"),
        ("raise MemoryError", "-c: there is not enough memory"),
        ("raise type('OutOfMemoryError', (RuntimeError,), {})", "-c: there is not enough memory"),
        ("program()", "-c: is nested too deeply"),
        ("b'\\xff'.decode()", "-c: a text is not in the encoding that it should have"),
        ("'\\u014b'.encode('latin-1')", "-c: '\\u014b' cannot be written in the encoding latin-1"),
        ("import asr; raise asr.AsrError('\\x1b[31m: red')", "asr: \\x1b[31m: red\n"),
    ],
)
def test_what_the_system_refuses_is_one_line(fault: str, message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAULTY.format(fault=fault), "-c"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout.startswith("half\n")
    assert message in done.stderr and done.stderr.startswith("asr: ") and done.stderr.count("\n") == 1
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "ASR_DEBUG": "1"})
    assert shown.returncode == 1 and "Traceback (most recent call last)" in shown.stderr


def test_a_bug_is_not_hidden() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTY.format(fault="{}['bug']")], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "half\n" and "KeyError: 'bug'" in done.stderr


def test_standard_output_holds_no_control_characters() -> None:
    fault = "print('a\\x1b[31m\\udcff\\x9b\\tb')"
    done = subprocess.run([sys.executable, "-c", FAULTY.format(fault=fault)], capture_output=True, text=True)
    assert done.stdout == "half\na\\x1b[31m\\udcff\\x9b\tb\n" and done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("fault", ["print()", "print(flush=True)", "print('x' * 100_000)"])
def test_a_full_disk_behind_standard_output_is_one_line(fault: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", FAULTY.format(fault=fault)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("asr: standard output: cannot be written: No space left on device; make room")


def test_standard_output_that_cannot_hold_a_text_is_named() -> None:
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-c", FAULTY.format(fault="print(chr(0x14b))")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stdout == "half\n"
    assert "asr: standard output: '\\u014b' cannot be written in the encoding latin-1; set" in done.stderr


def test_a_reader_that_has_gone_is_no_error() -> None:
    command = [sys.executable, "-c", FAULTY.format(fault="print('x' * 1_000_000)")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        program.stdout.close()
        assert program.stderr.read() == "" and program.wait() == 1
