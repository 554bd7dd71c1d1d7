"""Fixtures and helpers of many tests: devices, real speech, the corpus of tones, small models, the log on stderr."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Small models are quicker on one thread, and a busy machine does not stall on threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where bytecode may not be written, each process that a test starts would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import httpx
import numpy as np
import psutil
import pytest
import soundfile
import torch
from oracles import random_waveforms, randomise

from asr.batching import pad
from asr.cli.log import show_log
from asr.config import AugmentConfig, Config
from asr.corpus.manifest import write_manifest
from asr.recognition.recognizer import Recognizer
from asr.text import Units
from asr.training.checkpoint import Checkpoints
from asr.utterance import Utterance

REPOSITORY = Path(__file__).parent.parent
RATE = 8000  # Hz, of the corpus of tones
PATIENCE = 300  # seconds that an answer may take, since a machine may be busy
TONES = {"a": 500.0, "b": 1500.0, "c": 3000.0}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


show_log()  # so that tests read messages of the library on stderr, as users of the command line do


@pytest.fixture(autouse=True)
def seed() -> None:
    """Set the seed, so that a test draws equal weights alone and after any other test."""
    torch.manual_seed(0)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder with local copies of corpora: $ASR_CORPORA, or ../shared/corpora beside the repository."""
    folder = Path(os.environ.get("ASR_CORPORA") or REPOSITORY.parent / "shared" / "corpora")
    if not (folder / "fsdd").is_dir():
        pytest.skip(f"real speech is not in {folder}; set ASR_CORPORA to a folder with fsdd/ and yesno/")
    return folder.resolve()


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Write a valid recording: one second of a 440 Hz tone, 16 kHz, 16 bit."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000), 16000, subtype="PCM_16")
    return path


def fresh_recognizer(units: str = "abcé ") -> Recognizer:
    """Create a small recogniser for 8 kHz with random weights and an encoder frame every 40 ms.

    Its output depends visibly on every input.
    """
    settings = {
        "data": {"train": "t.jsonl", "validation": "v.jsonl"},
        "features": {"sample_rate": 8000, "bins": 20},
        "model": {"subsampling": 4, "hidden": 8, "layers": 2, "channels": 4},
    }
    torch.manual_seed(0)
    recognizer = Recognizer(Config.model_validate(settings), Units(units))
    randomise(recognizer.acoustic_model, 0)
    recognizer.features.fit([pad(random_waveforms(9, 4))])
    return recognizer


@dataclass
class Served:
    """A running `asr serve`: its address, its process, and what it has said on stderr."""

    process: subprocess.Popen[str]
    url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def workers(self) -> list[psutil.Process]:
        """Return the model processes."""
        found = psutil.Process(self.process.pid).children()
        return [one for one in found if is_model_process(one)]

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def taken(self) -> int:
        """Return the number of recordings that wait or were given to a model process."""
        text = self.get("/metrics").text
        values = dict(line.rsplit(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))
        return int(float(values["asr_queue_length"]) + float(values["asr_batch_size_sum"]))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request over a connection of its own."""
        # Certificates, which nothing here needs, would take longer to load than most answers.
        return httpx.request(method, self.url + path, **{"timeout": PATIENCE, "verify": False, **options})


def is_model_process(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in part for part in process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return False


def until(done: Callable[[], Any], what: str = "it did not happen in time") -> None:
    """Wait until `done` returns something true; fail with `what` once patience has run out."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def refuses(url: str) -> bool:
    """Return True if a service takes no connections any more."""
    try:
        httpx.get(f"{url}/health", timeout=PATIENCE, verify=False)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # this connection was closed before it was answered
        return False
    return False


@contextmanager
def served(*arguments: object, **environment: str) -> Iterator[Served]:
    """Run `asr serve ARGUMENTS…` on a free port of this machine, and stop it whatever happens."""
    command = [sys.executable, "-m", "asr", "serve", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    running, listening = Served(process), threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            running.lines.append(line)
            if line.startswith("listening on "):
                running.url = line.split()[-1]
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(PATIENCE) and running.url, running.said
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(PATIENCE)


@pytest.fixture(scope="session")
def serving_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write recordings at 8 kHz and exported models of random weights: `two.onnx`, and `one.onnx`, which streams."""
    from test_stream import streaming

    from asr.exporting.onnx import to_onnx

    folder = tmp_path_factory.mktemp("serving")
    (folder / "two.onnx").write_bytes(to_onnx(fresh_recognizer()))
    (folder / "one.onnx").write_bytes(to_onnx(streaming()))
    for number, wave in enumerate(random_waveforms(8, 40)):
        soundfile.write(folder / f"{number}.wav", wave, RATE, subtype="PCM_16")
    soundfile.write(folder / "stereo.wav", np.stack([np.resize(w, 9000) for w in random_waveforms(1, 2)], 1), RATE)
    (folder / "none.wav").write_bytes(b"RIFF and nothing else")
    return folder


@pytest.fixture(scope="session")
def live_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the two models of tests of live sound."""
    from live_service import write_models

    folder = tmp_path_factory.mktemp("live")
    write_models(folder)
    return folder


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit files to `size` bytes, so that writing fails as on a full disk; skip the test on Windows."""
    resource: Any = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def spell(text: str, generator: np.random.Generator) -> np.ndarray:
    """Return each letter as 120 ms of its tone and 60 ms of near silence."""
    parts = []
    for letter in text:
        time = np.arange(RATE * 12 // 100) / RATE
        parts += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(RATE * 6 // 100)]
    samples = np.concatenate(parts)
    return samples + 0.003 * generator.standard_normal(len(samples))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[..., Any]]:
    """Return a function that starts headless Chromium with more flags; skip the test where Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium: no chromium, chromium-browser or google-chrome on the PATH")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with ExitStack() as started:
        running = started.enter_context(playwright.sync_playwright())

        def patient(create: Callable[..., Any]) -> Callable[..., Any]:
            def created(**options: Any) -> Any:
                one = create(**options)
                one.set_default_timeout(1000 * PATIENCE)
                return one

            return created

        def start(*more: str) -> Any:
            opened = running.chromium.launch(executable_path=program, args=[*flags, *more])
            started.callback(opened.close)
            opened.new_page, opened.new_context = map(patient, (opened.new_page, opened.new_context))
            return opened

        yield start


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., Any]) -> Any:
    return chromium()


@pytest.fixture(scope="module")
def page_files() -> Iterator[str]:
    """Serve the static files of the page of `asr serve`, and nothing else; return the address."""
    fastapi = pytest.importorskip("fastapi", reason="needs the extra serve")
    import uvicorn

    from asr.serving.page.mount import mount

    app = fastapi.FastAPI()
    mount(app)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write `train.jsonl` and `validation.jsonl` with recordings of tones that spell their text."""
    folder = tmp_path_factory.mktemp("tones with a space")
    generator = np.random.default_rng(0)
    for name, count in (("train", 96), ("validation", 16)):
        utterances = []
        for number in range(count):
            text = "".join(generator.choice(list(TONES), generator.integers(2, 6)))
            path = folder / name / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, spell(text, generator), RATE)
            utterances.append(Utterance(f"{name}-{number}", path, text))
        write_manifest(folder / f"{name}.jsonl", utterances)
    return folder


def train_config(folder: Path, **training: object) -> Config:
    return Config.model_validate(
        {
            "data": {"train": str(folder / "train.jsonl"), "validation": str(folder / "validation.jsonl")},
            "features": {"sample_rate": RATE, "bins": 24},
            "model": {"hidden": 32, "layers": 2, "channels": 4, "subsampling": 2, "dropout": 0.1},
            "augment": {"join": 0, "noise_snr_db": [20, 40], "tempo": 0.1, "frequency_warp": 0.05, "frequency_masks": 1,
                        "frequency_mask_bins": 2, "time_masks_per_second": 1, "time_mask_ms": 20},
            "training": {"epochs": 12, "batch_seconds": 8, "batch_utterances": 64, "learning_rate": 1e-2, **training},
        }
    )  # fmt: skip


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """Stop a training as SIGINT does, once its checkpoint number `after` is written."""
    real, saved = Checkpoints.save, []

    def save(checkpoints: Checkpoints, step: int, state: dict[str, Any]) -> None:
        real(checkpoints, step, state)
        saved.append(step)
        if len(saved) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "save", save)
        yield


def with_augment(config: Config, **changes: object) -> Config:
    """Return the configuration with other augmentations."""
    return config.model_copy(update={"augment": config.augment.model_copy(update=changes)})


def without_chance(config: Config) -> Config:
    """Return the configuration without dropout and augmentation, for runs that must be equal."""
    model = config.model.model_copy(update={"dropout": 0.0})
    augment = AugmentConfig(join=0, frequency_warp=0, tempo=0, frequency_masks=0, time_masks_per_second=0)
    return config.model_copy(update={"augment": augment, "model": model})
