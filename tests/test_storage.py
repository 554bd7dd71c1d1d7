"""The audio of rows: equal from plain files and shards, near and far, read ahead or not; hostile shards are refused."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import until
from file_server import FileServer, file_server

from asr.corpus import remote
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.pack import pack
from asr.corpus.read_ahead import Job, ReadAhead
from asr.corpus.shards import write_shards
from asr.corpus.storage import AudioStore
from asr.errors import AudioError
from asr.utterance import Utterance

RATE = 8000
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote, "_whole_only", set())
    monkeypatch.setattr(remote, "_copies", {})
    monkeypatch.setenv("ASR_CACHE", str(tmp_path / "cache"))


def noise(number: int, seconds: float, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(number).integers(-9000, 9000, int(seconds * rate)).astype(np.int16)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a folder with recordings, their manifest `plain.jsonl`, and the folder `shards`."""
    folder = tmp_path / "site"
    folder.mkdir()
    made = []
    for number in range(30):
        rate, suffix = (44100, "wav") if number == 7 else (RATE, ("wav", "flac")[number % 2])
        path = folder / f"{number}.{suffix}"
        soundfile.write(path, noise(number, 0.3 + 0.02 * number, rate), rate, subtype="PCM_16")
        made.append(Utterance(str(number), path, "text", duration=soundfile.info(path).duration))
    made.append(replace(made[20], id="part", offset=0.1, duration=0.2))
    write_manifest(folder / "plain.jsonl", made)
    write_shards([str(folder / "plain.jsonl")], folder / "shards", sample_rate=RATE, shard_bytes=100_000)
    return folder


def rows_of(manifest: Path) -> Rows:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


@pytest.fixture
def expected(corpus: Path, tmp_path: Path) -> list[np.ndarray]:
    packed = pack(read_manifest(corpus / "plain.jsonl"), RATE, tmp_path / "p.arrow")
    return [packed.samples(index).copy() for index in range(len(packed))]


@pytest.fixture
def server(corpus: Path) -> Iterator[FileServer]:
    with file_server(corpus) as found:
        yield found


def assert_reads(store: AudioStore, rows: Rows, expected: list[np.ndarray], order: list[int]) -> None:
    for index in order:
        np.testing.assert_array_equal(store.read(rows[index]), expected[index])


ORDERS = [list(range(31)), list(range(30, -1, -1)), [int(n) for n in np.random.default_rng(0).permutation(31)]]


@pytest.mark.parametrize("memory", [0, 20_000, 100_000, 10**9])
def test_reading_ahead_never_changes_what_is_read(corpus: Path, expected: list[np.ndarray], memory: int) -> None:
    for folder, rows in ((corpus, rows_of(corpus / "plain.jsonl")), (corpus / "shards", None)):
        rows = rows or rows_of(folder / "manifest.jsonl")
        for order in ORDERS:
            store = AudioStore(folder, sample_rate=RATE, memory=memory, threads=3)
            store.expect([rows[index] for index in ORDERS[2]])
            store.expect([{"audio_filepath": "none.wav", "duration": 1.0}, {}, *rows[:5]])
            assert_reads(store, rows, expected, order)
            assert_reads(store, rows, expected, order)  # nothing is expected any more
            store.close()
            assert_reads(store, rows, expected, order[:3])


def test_everything_is_taken_from_ahead(
    corpus: Path, expected: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(corpus / "shards" / "manifest.jsonl")
    store = AudioStore(corpus / "shards", sample_rate=RATE, threads=2)
    store.expect(rows)
    until(lambda: not store._ahead._running and not store._ahead._waiting)
    assert store._ahead.held == sum(samples.nbytes for samples in expected)
    monkeypatch.setattr(store, "_samples", None)  # a call would fail
    assert_reads(store, rows, expected, ORDERS[2])
    assert store._ahead.held == 0 and not store._ahead._jobs


def test_shards_and_plain_files_over_http(server: FileServer, corpus: Path, expected: list[np.ndarray]) -> None:
    shards = rows_of(corpus / "shards" / "manifest.jsonl")
    store = AudioStore(f"{server.url}/shards", sample_rate=RATE)
    store.expect(shards)
    assert_reads(store, shards, expected, ORDERS[2])
    assert len(server.requests) <= 2 * len({row["audio_filepath"] for row in shards})  # neighbours in one request
    server.requests.clear()
    server.breaks = 2
    assert_reads(AudioStore(f"{server.url}/shards", sample_rate=RATE), shards, expected, [3, 4])
    assert len(server.requests) == 4
    plain = rows_of(corpus / "plain.jsonl")
    server.requests.clear()
    store = AudioStore(server.url, sample_rate=RATE)
    assert_reads(store, plain, expected, ORDERS[0])
    assert_reads(store, plain[:-1] + [plain[-1]] * 2, [*expected, expected[-1]], [30, 31])
    assert len(server.requests) == 31  # a recording with several utterances is copied once
    # A manifest of this machine may name files at addresses.
    far = {**plain[2], "audio_filepath": f"{server.url}/2.wav"}
    np.testing.assert_array_equal(AudioStore(corpus, sample_rate=RATE).read(far), expected[2])


def test_a_server_that_breaks_off_for_good_gives_an_error_and_no_short_audio(server: FileServer, corpus: Path) -> None:
    rows = rows_of(corpus / "shards" / "manifest.jsonl")
    server.breaks = 10**6
    store = AudioStore(f"{server.url}/shards", sample_rate=RATE)
    store.expect(rows[:2])
    with pytest.raises(AudioError, match=r"^http://127.*/shards/shard-000000\.tar: cannot be reached .*: 0\)$"):
        store.read(rows[0])


def test_memory_stays_within_its_bound(corpus: Path, expected: list[np.ndarray]) -> None:
    rows = rows_of(corpus / "shards" / "manifest.jsonl")
    store = AudioStore(corpus / "shards", sample_rate=RATE, memory=60_000, threads=4)
    peak, start = 0, store._ahead._start

    def watched() -> None:
        nonlocal peak
        start()
        peak = max(peak, store._ahead.held)

    store._ahead._start = watched  # type: ignore[method-assign]
    for _ in range(3):  # nobody reads what the first calls expect
        store.expect(rows)
    store.expect(rows[::-1])
    assert_reads(store, rows, expected, ORDERS[2])
    assert 0 < peak <= 60_000


@pytest.mark.parametrize("late", [False, True], ids=["quick reader", "slow reader"])
def test_results_that_nobody_reads_give_way_to_later_ones(late: bool) -> None:
    """The first groups fill the memory, and are never read: a reader that is at later ones makes it free again."""
    ahead = ReadAhead(memory=100, threads=1)
    for group in range(20):
        ahead.expect([Job([(group, n) for n in range(2)], lambda: [np.zeros(10, np.int8)] * 2, size=20)])
    if late:
        until(lambda: not ahead._running and ahead.held == 100)
    for group in range(10, 20):
        ahead.take((group, 0))
        ahead.take((group, 1))
    until(lambda: not ahead._running and not ahead._waiting)
    assert {group for group, _ in ahead._jobs} <= set(range(15, 20)) and ahead.held <= 100


def write_shard(folder: Path, *members: tuple[str, bytes]) -> list[tuple[int, int]]:
    """Write `s.tar`, and return offset and size of its members."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "s.tar", "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with tarfile.open(folder / "s.tar") as tar:
        return [(member.offset_data, member.size) for member in tar]


def flac(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return file.getvalue()


GOOD = flac(noise(0, 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tar_offset": -512}, "tar_offset -512 and tar_bytes .* are no place in a file; pack it again"),
        ({"tar_offset": "512"}, "tar_offset '512' and"),
        ({"tar_offset": True}, "tar_offset True and"),
        ({"tar_offset": None}, "tar_offset None and"),
        ({"tar_offset": 1e3}, r"tar_offset 1000\.0 and"),
        ({"tar_bytes": 0}, "tar_bytes 0 are no place"),
        ({"tar_bytes": -1}, "tar_bytes -1 are no place"),
        ({"tar_bytes": None}, "tar_bytes None are no place"),
        ({"tar_bytes": 10**15}, "tar_bytes 1000000000000000 are no place"),
        ({"tar_offset": 10**15}, r"s\.tar: bytes 1000000000000000 to .* but it has \d+ bytes; the file is truncated"),
        ({"tar_bytes": 10**7}, r"s\.tar: bytes 512 to 10000512 are asked for, but it has \d+ bytes; .* \(.*: u\)$"),
        ({"tar_offset": 0, "tar_bytes": 512}, r"s\.tar: u: is (not a recording|a tar)"),
        ({"tar_bytes": 3000}, r"s\.tar: u: (truncated|damaged)"),
        (
            {"duration": 2.0},
            r"s\.tar: u: holds 1\.00 s, its manifest states 2\.00 s; the shard and the man",
        ),
        ({"duration": 0.5}, r"s\.tar: u: holds at least 0\.70 s, its manifest states 0\.50 s"),
        ({"duration": "x"}, "duration is 'x', not a number of seconds"),
        ({"duration": float("nan")}, "duration is nan, not a number of seconds"),
        ({"offset": -1.0}, r"offset is -1\.0, not a number of seconds"),
        ({"offset": 5.0}, r"s\.tar: u: offset 5\.0 s lies outside its 1\.00 s"),
        ({"audio_filepath": "../s.tar"}, r"names \.\./s\.tar, which is outside the folder of the manifest"),
        ({"audio_filepath": "a/../../etc/passwd"}, "outside the folder"),
        ({"audio_filepath": "/etc/passwd"}, "names /etc/passwd, which is outside the folder"),
        ({"audio_filepath": "..\\s.tar"}, "outside the folder"),
        ({"audio_filepath": "http://127.0.0.1:9/s.tar?key=x"}, r"names http://127\.0\.0\.1:9/s\.tar, which is outside"),
        ({"audio_filepath": "x::file:///etc/passwd"}, "outside the folder"),
        ({"audio_filepath": "none.tar"}, r"none\.tar: cannot be read: No such file"),
        ({"audio_filepath": "s.tar\0"}, "has no audio_filepath"),
        ({"audio_filepath": 5}, "has no audio_filepath"),
    ],
)
def test_hostile_rows(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Each is refused with its reason, before memory is taken, read ahead or not."""
    ((offset, size),) = write_shard(tmp_path / "shards", ("k.flac", GOOD))
    row = {"id": "u", "audio_filepath": "s.tar", "tar_offset": offset, "tar_bytes": size, "duration": 1.0}
    store = AudioStore(tmp_path / "shards", sample_rate=RATE)
    assert len(store.read(row)) == RATE
    for _ in range(2):
        with pytest.raises(AudioError, match=message):
            store.read({**row, **change})
        store.expect([{**row, **change}])
    store.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 4096, r"s\.tar: u: is not a recording"),
        (b"{}" * 500, r"s\.tar: u: is "),
        (GOOD[: len(GOOD) // 2], r"s\.tar: u: (truncated|damaged)"),
        (GOOD[:3000] + b"\xff" * 2000 + GOOD[5000:], r"s\.tar: u: (damaged|truncated)"),
        (b"#EXTM3U\nfile:///etc/passwd\n", r"s\.tar: u: is "),
    ],
)
def test_members_that_are_no_whole_recording(tmp_path: Path, content: bytes, message: str) -> None:
    (place,) = write_shard(tmp_path, ("k.flac", content))
    row = {"id": "u", "audio_filepath": "s.tar", "tar_offset": place[0], "tar_bytes": place[1], "duration": 1.0}
    with pytest.raises(AudioError, match=message):
        AudioStore(tmp_path, sample_rate=RATE).read(row)


def test_a_member_that_expands_without_end_takes_no_memory(tmp_path: Path) -> None:
    (place,) = write_shard(tmp_path, ("k.flac", flac(np.zeros(400 * 48000, np.int16), 48000)))
    assert place[1] < 200_000
    row = {"id": "u", "audio_filepath": "s.tar", "tar_offset": place[0], "tar_bytes": place[1], "duration": 1.0}
    with pytest.raises(AudioError, match=r"holds at least 1\.20 s"):
        AudioStore(tmp_path, sample_rate=RATE).read(row)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_members_of_other_formats_and_rates(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, noise(1, 1.0, 16000), 16000)
    (place,) = write_shard(tmp_path, (path.name, path.read_bytes()))
    row = {"id": "u", "audio_filepath": "s.tar", "tar_offset": place[0], "tar_bytes": place[1]}
    store = AudioStore(tmp_path, sample_rate=RATE)
    plain = store.read({"audio_filepath": path.name})
    for _ in range(2):
        np.testing.assert_array_equal(store.read(row), plain)
        np.testing.assert_array_equal(
            store.read({**row, "offset": 0.25, "duration": 0.5}),
            store.read({"audio_filepath": path.name, "offset": 0.25, "duration": 0.5}),
        )
    assert caplog.text.count("has 16000 Hz, the model 8000 Hz: each reading resamples it; pack it with --sample") == 1


def test_rows_at_an_address_name_only_its_files(server: FileServer) -> None:
    store = AudioStore(f"{server.url}/shards", sample_rate=RATE)
    for name in ("../plain.jsonl", "/etc/passwd", "file:///etc/passwd", f"{server.url}/0.wav"):
        with pytest.raises(AudioError, match="outside the folder of the manifest; put the file beside the manifest"):
            store.read({"id": "u", "audio_filepath": name, "duration": 0.3})
    assert not server.requests
