import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_asr

import asr


def test_help_is_complete() -> None:
    shown = run_asr("--help")
    assert shown.returncode == 0
    corpora, models = ("prepare", "check"), ("train", "selftest", "lm", "tune", "info")
    for command in (*corpora, *models, "transcribe", "align", "classify", "score", "report", "suspects"):
        assert command in shown.stdout
        assert run_asr(command, "--help").returncode == 0


@pytest.mark.parametrize("code", ["import asr", "import asr.cli", "import asr.cli; asr.AsrError"])
def test_light_imports_stay_light(code: str) -> None:
    """Neither torch nor any other heavy package: that is what keeps `import asr` and `asr --help` quick."""
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
    for arguments, status, message in (
        (["train", "nothing.yaml"], 1, "nothing.yaml: no such configuration file"),
        (["transcribe", "nothing.safetensors", "x.wav"], 1, "nothing.safetensors: no such model file"),
        (["score", "a.jsonl", "b.jsonl"], 1, "a.jsonl: no such manifest"),
        (["info", "nothing"], 1, "nothing: no such model file"),
        (["lm", "nothing.txt", "-o", "lm.arpa"], 1, "nothing.txt: no such file"),
        (["lm", "nothing.txt", "-o", "lm.arpa", "--prune", "few"], 1, "--prune few: must be whole numbers"),
        (["lm", "nothing.txt", "-o", "lm.arpa", "--units", "syllables"], 2, "syllables"),
        (["train"], 2, "CONFIG"),
        (["transcribe", "m.safetensors"], 2, "name recordings, or --stream -"),
        (["dance"], 2, "dance"),
    ):
        done = run_asr(*arguments, cwd=tmp_path)
        assert done.returncode == status, done.stderr
        assert message in done.stderr and "Traceback" not in done.stderr
        assert done.stdout == ""


def test_score_prints_results_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("one two three\n")
    (tmp_path / "hyp.txt").write_text("one too three\n")
    done = run_asr("score", tmp_path / "ref.txt", tmp_path / "hyp.txt")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("%WER 33.33 [1 / 3, 0 ins, 0 del, 1 sub] 95 % interval")


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
