"""`asr doctor`: without PyTorch, with a package that cannot be loaded, and with everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import run_asr
from test_cli import run_without

from asr import doctor
from asr.errors import AsrError

HEAVY = ["torch", "torchaudio", "accelerate", "librosa", "matplotlib", "pyarrow"]


def test_it_says_what_is_missing_without_torch() -> None:
    done = run_without(HEAVY, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  "))
    assert lines["torch"] == "not installed: pip install 'own-asr[train]'"
    assert lines["score"].startswith("one wrong word of three gives a WER of 33.3 %")
    assert lines["train"].endswith("pip install 'own-asr[train]'")
    assert "GB free in" in lines["disk"] and "cores" in lines["threads"]


def test_a_package_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "torchaudio.py").write_text("raise OSError('undefined symbol: aoti_torch')\n")
    hide = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.modules.update(dict.fromkeys({HEAVY[2:]!r}))"
    code = f"{hide}; sys.argv = ['asr', 'doctor']; from asr.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1
    assert "torchaudio      installed, but cannot be loaded: undefined symbol: aoti_torch\n" in done.stdout
    assert done.stderr == "asr: does not work: torchaudio\n"


def test_a_failed_check_is_broken_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise AsrError("no answer\nmore")

    found = doctor._check("train", fail)
    assert found.broken and found.text == "failed: no answer"
    monkeypatch.setattr(doctor, "_RATE", 8800)  # the tone comes out at another pitch
    monkeypatch.setattr("soundfile.write", _at_8000_hz)
    assert doctor._check("read", doctor._read_recording).text.startswith("failed: a tone of 500 Hz is read as 45")


def _at_8000_hz(path: Path, samples: object, rate: int) -> None:
    import soundfile

    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        file.write(samples)


@pytest.mark.slow
def test_the_whole_self_check_trains_a_model() -> None:
    done = run_asr("doctor")
    assert done.returncode == 0, done.stdout
    assert "a small model learned tones on " in done.stdout
