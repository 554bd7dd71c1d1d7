"""Packed audio: equal to the files, packed once, whole after a kill or a full disk, in flat memory."""

import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from asr.audio import load_audio
from asr.corpus import pack as pack_module
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.pack import PackedCorpus, pack
from asr.errors import ManifestError
from asr.utterance import Utterance

RATE = 8000


def record(folder: Path, number: int, seconds: float, rate: int = RATE) -> Utterance:
    """Write a recording of noise that is different for each number."""
    path = folder / f"{number}.wav"
    noise = np.random.default_rng(number).uniform(-0.5, 0.5, int(seconds * rate))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return Utterance(str(number), path, "text")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Return twelve recordings, one of them at another rate, and two parts of one recording."""
    made = [record(tmp_path, number, 0.2 + 0.1 * number) for number in range(11)]
    made.append(record(tmp_path, 11, 0.5, rate=44100))
    return [*made, replace(made[5], id="a", offset=0.1), replace(made[5], id="b", offset=0.2, duration=0.1)]


def assert_holds(corpus: PackedCorpus, utterances: list[Utterance]) -> None:
    assert corpus.utterances == utterances
    for index, u in enumerate(utterances):
        expected = load_audio(u.audio, corpus.sample_rate, offset=u.offset, duration=u.duration)
        np.testing.assert_array_equal(corpus.audio(index), expected)
        assert corpus.num_samples[index] == len(expected)
    assert corpus.seconds == pytest.approx(corpus.num_samples.sum() / RATE)


def test_audio_is_that_of_the_files(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for samples_per_batch in (1, 3000, 10**9):
        monkeypatch.setattr(pack_module, "_SAMPLES_PER_BATCH", samples_per_batch)
        corpus = pack(utterances, RATE, tmp_path / f"{samples_per_batch}.arrow")
        assert_holds(corpus, utterances)
        corpus.select([7, 2, 12])
        assert_holds(corpus, [utterances[index] for index in (7, 2, 12)])
        corpus.select([2])
        assert_holds(corpus, [utterances[12]])


def test_unreadable_recordings_are_named_and_the_others_packed(utterances: list[Utterance], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no recording")
    names = ["missing.wav", "text.wav", "."]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        names.append("pipe.wav")
    bad = [Utterance(name, tmp_path / name) for name in names]
    corpus = pack([bad[0], *utterances, *bad[1:]], RATE, tmp_path / "p.arrow")
    assert_holds(corpus, utterances)
    assert [utterance.id for utterance, _ in corpus.errors] == names
    assert all(str(tmp_path / u.id) in error for u, error in corpus.errors)
    nothing = pack(bad, RATE, tmp_path / "nothing.arrow")
    assert len(nothing) == 0 and len(nothing.errors) == len(bad) and nothing.seconds == 0
    assert len(pack([], RATE, tmp_path / "empty.arrow")) == 0


def test_packed_once_for_the_same_content(utterances: list[Utterance], tmp_path: Path) -> None:
    path = tmp_path / "p.arrow"

    def packs(utterances: list[Utterance], rate: int = RATE) -> bool:
        before = path.stat().st_ino if path.exists() else None
        assert len(pack(utterances, rate, path)) == len(utterances)
        return path.stat().st_ino != before

    assert packs(utterances)
    assert not packs(utterances)
    assert not packs([replace(utterance, text="another", id=utterance.id + "x") for utterance in utterances])
    os.utime(utterances[0].audio)  # touched
    assert not packs(utterances)
    shutil.copytree(tmp_path, tmp_path / "moved")
    assert not packs([replace(u, audio=tmp_path / "moved" / u.audio.name) for u in utterances])

    stamp = utterances[0].audio.stat()
    samples = bytearray(utterances[0].audio.read_bytes())
    samples[-1] ^= 1
    utterances[0].audio.write_bytes(samples)
    os.utime(utterances[0].audio, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size, same time
    assert packs(utterances)
    assert packs(utterances, rate=11025)
    assert packs([replace(utterances[0], offset=0.05), *utterances[1:]])
    assert packs(utterances[1:])
    assert packs([*utterances[2:], utterances[1]])
    assert not packs([*utterances[2:], utterances[1]])


@pytest.mark.parametrize("held", [0, 1, 8, 1000, -1])
def test_half_a_file_is_not_taken_for_whole(utterances: list[Utterance], tmp_path: Path, held: int) -> None:
    path = tmp_path / "p.arrow"
    pack(utterances, RATE, path)
    path.write_bytes(path.read_bytes()[:held])
    assert_holds(pack(utterances, RATE, path), utterances)


@pytest.mark.parametrize("place", [8, 200, 0.02, 0.3, 0.6, 0.9, -400, -170, -130, -100, -1])
def test_a_file_with_one_altered_byte_is_packed_again(
    utterances: list[Utterance], tmp_path: Path, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Samples, offsets, the tables of Arrow, keys, and the digest: none trains in silence, none ends the process."""
    path = tmp_path / "p.arrow"
    pack(utterances, RATE, path)
    content = bytearray(path.read_bytes())
    index = int(place * len(content)) if isinstance(place, float) else place
    content[index] ^= 0x41
    path.write_bytes(content)
    assert_holds(pack(utterances, RATE, path), utterances)
    assert path.read_bytes() != content
    assert caplog.text.count("is damaged; its audio is packed again") == 1
    caplog.clear()
    assert_holds(pack(utterances, RATE, path), utterances)
    assert not caplog.text


def test_packed_audio_elsewhere_is_used(utterances: list[Utterance], tmp_path: Path) -> None:
    pack(utterances, RATE, tmp_path / "p.arrow")
    assert_holds(pack(utterances, RATE, tmp_path / "cache" / "p.arrow", also=tmp_path / "p.arrow"), utterances)
    assert not (tmp_path / "cache").exists()
    pack(utterances[1:], RATE, tmp_path / "cache" / "p.arrow", also=tmp_path / "p.arrow")
    assert (tmp_path / "cache" / "p.arrow").exists()


posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits on the size of files")
PROGRAM = """
import sys
from pathlib import Path
from asr.corpus.manifest import read_manifest
from asr.corpus.pack import pack
from asr.errors import ManifestError

if limit := int(sys.argv[3]):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    pack(read_manifest(sys.argv[1]), 8000, Path(sys.argv[2]))
except ManifestError as error:
    sys.exit(f"refused: {error}")
"""


def start(manifest: Path, path: Path, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(manifest), str(path), str(limit)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@posix_only
def test_killed_while_packing_then_started_again(tmp_path: Path) -> None:
    long = record(tmp_path, 0, 120.0, rate=48000)
    write_manifest(tmp_path / "m.jsonl", [replace(long, id=str(n), offset=0.01 * n) for n in range(100)])
    path = tmp_path / "p.arrow"
    process = start(tmp_path / "m.jsonl", path)
    while not any(draft.stat().st_size > 5_000_000 for draft in tmp_path.glob("*.part")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    utterances = read_manifest(tmp_path / "m.jsonl")[:5]
    assert_holds(pack(utterances, RATE, path), utterances)
    assert not list(tmp_path.glob("*.part"))


def test_several_runs_at_once_pack_once(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = pack_module._write, []

    def slow_write(*arguments: Any) -> None:
        time.sleep(0.2)
        written.append(arguments)
        write(*arguments)

    monkeypatch.setattr(pack_module, "_write", slow_write)
    with ThreadPoolExecutor(4) as pool:
        for corpus in pool.map(lambda _: pack(utterances, RATE, tmp_path / "p.arrow"), range(4)):
            assert_holds(corpus, utterances)
    assert len(written) == 1


@posix_only
def test_a_full_disk_is_an_error_that_leaves_nothing(utterances: list[Utterance], tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", utterances)
    path = tmp_path / "p.arrow"
    process = start(tmp_path / "m.jsonl", path, limit=40_000)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith(f"refused: {path}: cannot write the packed audio: File too large; make room: an hour of ")
    assert said.rstrip().endswith("audio takes 58 MB")
    assert not path.exists() and not list(tmp_path.glob("*.part"))
    pack(utterances, RATE, path)
    with pytest.raises(
        ManifestError, match=r"blocked/p\.arrow: cannot write the packed audio.*; name a folder that can be"
    ):
        (tmp_path / "blocked").write_text("a file where a folder should be")
        pack(utterances, RATE, tmp_path / "blocked" / "p.arrow")


def test_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing holds no more than one batch and the recordings read ahead; Arrow allocates nothing for reading."""
    monkeypatch.setattr(pack_module, "_SAMPLES_PER_BATCH", 10 * RATE)
    monkeypatch.setattr(pack_module, "_PIECE", 100_000)
    utterances = [record(tmp_path, number, 2.0) for number in range(320)]
    tracemalloc.start()
    corpus = pack(utterances, RATE, tmp_path / "p.arrow")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (tmp_path / "p.arrow").stat().st_size / 4
    allocated = pa.total_allocated_bytes()
    for index in range(len(corpus)):
        corpus.audio(index)
    assert pa.total_allocated_bytes() == allocated < 100_000
