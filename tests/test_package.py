"""The package: its metadata, the wheel in an empty environment with and without PyTorch, other operating systems."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY, fresh_recognizer, spell

import asr
from asr.extras import DISTRIBUTION, OPTIONAL, install_command, missing_package

SAMPLES = REPOSITORY / "tests" / "samples"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _names(requirements: list[str]) -> set[str]:
    """Return the import names of what every Python needs; each is the name of its distribution with _ for -."""
    return {re.split(r"[\[<>=]", line)[0].replace("-", "_") for line in requirements if ";" not in line}


def test_every_optional_package_is_explained() -> None:
    for extra in ("data", "train", "serve", "microphone", "translation", "hub"):
        assert _names(EXTRAS[extra]) - {"own_asr"} == {name for name, (_, of) in OPTIONAL.items() if of == extra}
    assert not _names(PROJECT["dependencies"]) & OPTIONAL.keys()
    assert PROJECT["name"] == DISTRIBUTION


def test_only_a_missing_optional_package_is_explained() -> None:
    error = missing_package(ModuleNotFoundError("no", name="torch.nn"), "training")
    assert str(error) == "training needs PyTorch, which is not installed: pip install 'own-asr[train]'"
    assert missing_package(ModuleNotFoundError("no", name="nothing")) is None
    assert missing_package(ModuleNotFoundError("no")) is None
    assert missing_package(ImportError("undefined symbol", name="torch")) is None
    assert install_command("microphone") == "pip install 'own-asr[microphone]'"


def test_torch_and_torchaudio_are_pinned_as_a_pair() -> None:
    pinned = dict(line.split("==") for line in EXTRAS["train"] if line.startswith("torch"))
    assert pinned["torch"] == pinned["torchaudio"] and re.fullmatch(r"\d+\.\d+\.\d+", pinned["torch"])
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").split()
    assert {f"torch=={pinned['torch']}", f"torchaudio=={pinned['torch']}"} <= set(lines)


def test_every_requirement_is_pinned_and_no_index_is_named() -> None:
    pinned = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in pinned and "--" not in pinned
    direct = [
        *PROJECT["dependencies"],
        *EXTRAS["data"],
        *EXTRAS["train"],
        *EXTRAS["serve"],
        *EXTRAS["docs"],
        *EXTRAS["dev"],
    ]
    for name in _names(direct) - {"own_asr"}:
        assert re.search(rf"^{name.replace('_', '-')}==", pinned, re.MULTILINE), f"{name}: see CONTRIBUTING.md"


POSIX_MODULES = ["fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"]
POSIX_NAMES = {
    "os": ["fork", "getloadavg", "geteuid", "getuid", "killpg", "mkfifo", "register_at_fork", "sched_getaffinity",
           "statvfs", "sysconf"],
    "signal": ["SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2"],
}  # fmt: skip
ELSEWHERE = f"""
import importlib, os, pkgutil, signal, sys
# Other packages have their own branches for other systems; they are loaded before anything is hidden.
import accelerate, espeakng_loader, filelock, jinja2, jiwer, joblib, librosa, matplotlib.pyplot, numba, onnx, psutil
import onnxruntime.quantization, pyarrow, pydantic, pympi, rich, safetensors.torch, scipy.stats, soundfile, soxr
import torch, torch._dynamo, torchaudio, typer
sys.modules.update(dict.fromkeys({POSIX_MODULES}))
for module, names in {POSIX_NAMES}.items():
    for name in names:
        delattr(sys.modules[module], name)
import asr
for module in pkgutil.walk_packages(asr.__path__, "asr."):
    if module.name != "asr.__main__":
        importlib.import_module(module.name)
"""


def test_every_module_can_be_imported_without_what_only_posix_has() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_posix_functions_are_called_only_where_they_exist() -> None:
    """A direct `os.sched_getaffinity(0)` fails on Windows and macOS; `getattr` with a default does not."""
    names = "|".join(rf"\b{module}\.{name}\b" for module, listed in POSIX_NAMES.items() for name in listed)
    for path in (REPOSITORY / "asr").rglob("*.py"):
        assert not re.search(names, path.read_text(encoding="utf-8")), path


def run(*command: object, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program without this checkout on its path; its status must be `status`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def _uv() -> list[str]:
    """Return the command of uv, which shares downloaded packages among environments; empty if it is not there."""
    if found := shutil.which("uv"):
        return [found]
    return [sys.executable, "-m", "uv"] if find_spec("uv") else []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    if uv := _uv():
        run(*uv, "build", "--wheel", "--out-dir", folder, REPOSITORY)
    else:
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, REPOSITORY)
    return next(folder.glob("*.whl"))


def install(requirement: str, folder: Path) -> Path:
    """Install into an empty environment, without the pinned versions; return its folder of programs."""
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if uv := _uv():
        run(*uv, "venv", "--python", sys.executable, folder)
        run(*uv, "pip", "install", "--python", programs / "python", requirement)
    else:
        run(sys.executable, "-m", "venv", folder)
        run(programs / "python", "-m", "pip", "install", requirement)
    return programs


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_a_description_that_stands_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = BytesParser().parsebytes(archive.read(next(n for n in names if n.endswith("/METADATA"))))
    files = [path for path in (REPOSITORY / "asr").rglob("*.*") if "__pycache__" not in path.parts]
    sources = {path.relative_to(REPOSITORY).as_posix() for path in files}
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == sources
    assert "asr/py.typed" in packed and any(name.endswith(".html") for name in packed)
    assert (metadata["Name"], metadata["Version"]) == (DISTRIBUTION, asr.__version__)
    description = str(metadata.get_payload())
    assert description.startswith("# asr") and not re.search(r"\]\((?!https:)", description)


@pytest.mark.slow
def test_the_light_core_transcribes_with_an_exported_model(wheel: Path, tmp_path: Path) -> None:
    """Nothing but the core is installed; other commands name the extra that they need."""
    programs = install(str(wheel), tmp_path / "environment")
    model, recording = SAMPLES / "recogniser-0.1.onnx", tmp_path / "abc.wav"
    soundfile.write(recording, spell("abc", np.random.default_rng(0)), 8000)
    done = run(programs / "asr", "transcribe", model, recording, "-f", "json,eaf,srt", "-o", tmp_path)
    assert json.loads((tmp_path / "abc.json").read_text(encoding="utf-8"))["text"] == "abc", done.stderr
    run(programs / "asr", "transcribe", model, recording, "-o", tmp_path / "bulk", "--shard", "1/1")
    assert '"hypothesis": "abc"' in (tmp_path / "bulk" / "shard-0001-of-0001.jsonl").read_text(encoding="utf-8")
    assert "units:" in run(programs / "asr", "info", model).stdout
    classes = run(programs / "asr", "classify", SAMPLES / "classifier-0.1.onnx", recording).stdout
    assert classes.startswith("one\t0.")
    assert install_command("data") in run(programs / "asr", "doctor").stdout
    refused = run(programs / "asr", "score", "a.txt", "b.txt", status=1)
    assert refused.stderr == f"asr: score needs JiWER, which is not installed: {install_command('data')}\n"
    (tmp_path / "abc.mp3").write_bytes(b"ID3" + bytes(4000))
    assert install_command("data") in run(programs / "asr", "transcribe", model, tmp_path / "abc.mp3", status=1).stderr


@pytest.mark.slow
def test_the_data_extra_works_without_torch(wheel: Path, tmp_path: Path) -> None:
    programs = install(f"{wheel}[data]", tmp_path / "environment")
    command = programs / "asr"
    for number in range(12):
        (tmp_path / "recordings").mkdir(exist_ok=True)
        samples = 0.1 * np.random.default_rng(number).standard_normal(16000)
        soundfile.write(tmp_path / "recordings" / f"{number}.wav", samples, 16000)
        (tmp_path / "recordings" / f"{number}.txt").write_text("one two three\n" if number % 2 else "four five\n")
    fresh_recognizer().save(tmp_path / "model.safetensors")

    def asr_says(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        return run(command, *arguments, cwd=tmp_path, status=status)

    assert asr_says("--version").stdout == f"asr {asr.__version__}\n"
    asr_says("prepare", "recordings", "-o", "data")
    assert "unusable: 0" in asr_says("check", "data/train.jsonl", "data/validation.jsonl").stdout
    asr_says("lm", "data/train.jsonl", "-o", "lm.arpa", "--validation", "data/validation.jsonl")
    (tmp_path / "texts.txt").write_text("one two three\n")
    scored = asr_says("score", "texts.txt", "texts.txt", "--html", "page.html")
    assert "%WER 0.00" in scored.stdout and (tmp_path / "page.html").exists()
    assert "units:" in asr_says("info", "model.safetensors").stdout
    assert install_command("train") in asr_says("doctor").stdout
    refused = asr_says("transcribe", "model.safetensors", "recordings/0.wav", status=1)
    assert refused.stderr == f"asr: transcribe needs PyTorch, which is not installed: {install_command('train')}\n"


@pytest.mark.slow
def test_with_train_it_transcribes_and_trains(wheel: Path, tmp_path: Path) -> None:
    """The newest versions that the wheel allows work together, and give the texts of the pinned ones."""
    recognizer = fresh_recognizer()
    recognizer.save(tmp_path / "model.safetensors")
    recording = tmp_path / "abc.wav"
    soundfile.write(recording, spell("abcabc", np.random.default_rng(0)), 8000)
    programs = install(f"{wheel}[train]", tmp_path / "environment")
    done = run(programs / "asr", "transcribe", tmp_path / "model.safetensors", recording)
    assert done.stdout.strip() == recognizer.transcribe(recording).text != ""
    assert "a small model learned tones on " in run(programs / "asr", "doctor").stdout
