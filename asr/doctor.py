"""Examination of an installation: versions, hardware, programs, and a small model that is trained as a test.

It works without PyTorch and other optional packages too, and then tells which parts are not there.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.errors import AsrError
from asr.extras import OPTIONAL, install_command
from asr.machine import cores, processor
from asr.version import __version__

CORE = ("numpy", "onnxruntime", "soundfile", "soxr", "pydantic", "safetensors")
MAX_CER = 10.0  # percent, of tones that the self-check learns
MIN_DISK = 2e9  # bytes; what a run of hours writes without trouble

_RATE = 8000  # Hz
_TONES = {"a": 500.0, "b": 1500.0, "c": 3000.0}  # Hz
_UTTERANCES = {"train": 96, "validation": 16}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination; `broken` if something that is needed does not work."""

    section: str
    name: str
    text: str
    broken: bool = False


def examine(folder: Path) -> Iterator[Finding]:
    """Examine this installation, and the disk of `folder`. Findings come as soon as each is known."""
    yield Finding("Program", "asr", f"{__version__}, {Path(__file__).parent}")
    yield Finding("Program", "Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("Program", "system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    usable: dict[str, bool] = {}
    for name in (*CORE, *OPTIONAL):
        finding = _package(name)
        usable[name] = importlib.util.find_spec(name) is not None and not finding.broken
        yield finding
    yield _bytecode(next(name for name in ("torch", "numba", "numpy") if usable[name]))
    yield from _hardware(folder, usable)
    yield from _programs()
    yield _check("read", _read_recording)
    if _has(usable, "data"):
        yield _check("score", _score)
        yield _check("language model", _estimate)
    else:
        text = f"not tested; corpora, scores and language models need more packages: {install_command('data')}"
        yield Finding("Self-check", "score", text)
    if _has(usable, "data") and _has(usable, "train"):
        yield _check("train", _train)
    else:
        text = f"not tested; training needs more packages: {install_command('train')}"
        yield Finding("Self-check", "train", text)


def _has(usable: dict[str, bool], extra: str) -> bool:
    """Tell whether all packages of an extra can be used."""
    return all(usable[name] for name, (_, of) in OPTIONAL.items() if of == extra)


def _package(name: str) -> Finding:
    """Import a package, and return its version or what is wrong with it."""
    if importlib.util.find_spec(name) is None:
        if name in OPTIONAL:
            return Finding("Packages", name, f"not installed: {install_command(OPTIONAL[name][1])}")
        return Finding("Packages", name, "not installed, and always needed: install asr again", broken=True)
    try:
        importlib.import_module(name)
    except Exception as error:  # a package may fail to load in any way
        first = str(error).strip().splitlines()
        text = f"installed, but cannot be loaded: {first[0] if first else type(error).__name__}"
        return Finding("Packages", name, text, broken=True)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return Finding("Packages", name, importlib.metadata.version(name.replace("_", "-")))
    return Finding("Packages", name, "version unknown")


def _bytecode(package: str) -> Finding:
    """Tell whether Python keeps the compiled form of a package, which has been imported before."""
    source = str(importlib.import_module(package).__file__)
    if Path(importlib.util.cache_from_source(source)).exists():
        return Finding("Packages", "bytecode", "kept, so that packages start quickly")
    text = "not kept: each start compiles all packages again, for many seconds"
    return Finding("Packages", "bytecode", f"{text}; run: python -m compileall -q {Path(source).parent.parent}")


def _hardware(folder: Path, usable: dict[str, bool]) -> Iterator[Finding]:
    import psutil

    yield Finding("Hardware", "processor", processor() if usable["llvmlite"] else platform.machine())
    threads = f"{cores()} cores for this process"
    if "OMP_NUM_THREADS" in os.environ:
        threads += f"; OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    memory = psutil.virtual_memory()
    yield Finding("Hardware", "memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB available")
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free in {folder.resolve()}"
    yield Finding("Hardware", "disk", text + ("" if free > MIN_DISK else ": little; a long training needs more"))
    if not usable["torch"]:
        yield Finding("Hardware", "threads", threads)
        return
    import torch

    yield Finding("Hardware", "threads", f"{threads}; PyTorch uses {torch.get_num_threads()}")
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        yield Finding("Hardware", "GPU", f"none that PyTorch can use; PyTorch is built {built}")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("Hardware", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 1e9:.1f} GB")
    if usable["accelerate"]:
        from asr.training.hardware import use_bf16

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        precision = "bfloat16" if use_bf16("auto", device) else "float32"
        yield Finding("Hardware", "precision", f"{precision} for training on {device.type}")


def _programs() -> Iterator[Finding]:
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader

        library = Path(espeakng_loader.get_library_path())
        text = str(library) if library.exists() else f"{library} is missing; install espeakng-loader again"
        yield Finding("Programs", "eSpeak NG", text, broken=not library.exists())
    else:
        yield Finding("Programs", "eSpeak NG", f"not installed; only needed for the demo: {install_command('train')}")


def _check(name: str, test: Callable[[], str]) -> Finding:
    """Run one test of the self-check. A test returns what it did, or raises."""
    start = time.monotonic()
    try:
        done = test()
    except Exception as error:  # whatever is wrong with the installation
        reason = str(error).strip() or type(error).__name__
        return Finding("Self-check", name, f"failed: {reason.splitlines()[0]}", broken=True)
    return Finding("Self-check", name, f"{done} ({time.monotonic() - start:.1f} s)")


def _read_recording() -> str:
    import numpy as np
    import soundfile

    from asr.audio import load_audio

    with tempfile.TemporaryDirectory(prefix="asr-") as folder:
        path = Path(folder) / "tone.flac"
        soundfile.write(path, _spell("a", np.random.default_rng(0)), _RATE)
        samples = load_audio(path, 16000)
    loudest = int(np.abs(np.fft.rfft(samples)).argmax()) * 16000 / len(samples)
    if abs(loudest - _TONES["a"]) > 20:
        raise AsrError(f"a tone of {_TONES['a']:.0f} Hz is read as {loudest:.0f} Hz")
    return "a FLAC file is read and resampled"


def _score() -> str:
    from asr.scoring.wer import score

    found = score(["one two three"], ["one too three"]).wer.percent
    if abs(found - 100 / 3) > 0.01:
        raise AsrError(f"one wrong word of three gives a WER of {found:.2f} %")
    return "one wrong word of three gives a WER of 33.3 %"


def _estimate() -> str:
    from asr.lm.estimate import estimate

    model = estimate(["ab ba", "ba ab", "ab ab"], units="words").model
    return f"n-grams of three sentences: perplexity {model.perplexity(['ab ba']).value:.1f}"


def _train() -> str:
    """Train a small recogniser on tones that spell their texts."""
    import numpy as np
    import soundfile

    from asr.config import Config
    from asr.corpus.cache import beside_manifests
    from asr.corpus.manifest import write_manifest
    from asr.training.train import train
    from asr.utterance import Utterance

    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="asr-") as name:
        folder = Path(name)
        for split, count in _UTTERANCES.items():
            (folder / split).mkdir()
            utterances = []
            for number in range(count):
                text = "".join(generator.choice(list(_TONES), generator.integers(2, 6)))
                path = folder / split / f"{number}.wav"
                soundfile.write(path, _spell(text, generator), _RATE)
                utterances.append(Utterance(f"{split}-{number}", path, text))
            write_manifest(folder / f"{split}.jsonl", utterances)
        config = Config.model_validate(
            {
                "data": {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")},
                "features": {"sample_rate": _RATE, "bins": 24},
                "model": {"hidden": 32, "layers": 2, "channels": 4, "subsampling": 2, "dropout": 0},
                "training": {"epochs": 8, "batch_utterances": 8, "learning_rate": 1e-2},
            }
        )
        log = io.StringIO()
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), beside_manifests():
            model = train(config, folder / "run")
        cer = float(model.summary["validation_cer"])
    if not cer <= MAX_CER:
        raise AsrError(f"a small model does not learn tones: CER {cer:.1f} %, at most {MAX_CER:g} % expected")
    return f"a small model learned tones on {model.device.type}: CER {cer:.1f} %"


def _spell(text: str, generator: Any) -> Any:
    """Return samples, `(N,)`: each letter as 120 ms of its tone, then 60 ms of faint noise."""
    import numpy as np

    times = np.arange(_RATE * 12 // 100) / _RATE  # seconds
    pause = np.zeros(_RATE * 6 // 100)
    samples = np.concatenate(
        [part for letter in text for part in (0.3 * np.sin(2 * np.pi * _TONES[letter] * times), pause)]
    )
    return samples + 0.003 * generator.standard_normal(len(samples))
