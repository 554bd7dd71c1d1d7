"""Shards: equal to the packed recordings, read by other programs, whole and equal after a kill."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
from filelock import FileLock
from processes import run_asr

from asr.corpus import shards as shards_module
from asr.corpus.encoding import OPUS_RATES, encode
from asr.corpus.manifest import read_manifest, write_manifest
from asr.corpus.pack import pack
from asr.corpus.remote import StorageError, read_file
from asr.corpus.shards import Packed, PackError, parse_size, write_shards
from asr.corpus.storage import AudioStore
from asr.errors import AsrError
from asr.utterance import Utterance

RATE = 8000
SIZE = 60_000  # bytes of a shard


def record(folder: Path, number: int, seconds: float, rate: int = RATE, *, channels: int = 1) -> Utterance:
    path = folder / f"{number}.wav"
    noise = np.random.default_rng(number).uniform(-0.5, 0.5, (int(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype="PCM_24" if number == 9 else "PCM_16")
    return Utterance(f"a/{number}.x", path, f"text ä {number}", speaker="s", extra={"language": "de"})


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Write a manifest of recordings at several rates, and of parts of recordings."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    made = [record(folder, number, 0.2 + 0.1 * number) for number in range(12)]
    made += [record(folder, 12, 0.5, rate=44100), record(folder, 13, 0.7, rate=22050, channels=2)]
    made += [replace(made[11], id="p", offset=0.1), replace(made[11], id="q", offset=0.2, duration=0.7)]
    write_manifest(tmp_path / "m.jsonl", made)
    return tmp_path / "m.jsonl"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".lock"}


def make(manifest: Path, out: Path | str, **options: Any) -> Packed:
    return write_shards([str(manifest)], out, **{"sample_rate": RATE, "shard_bytes": SIZE, **options})


def test_flac_holds_the_samples_of_packed_audio(manifest: Path, tmp_path: Path) -> None:
    packed = make(manifest, tmp_path / "shards")
    corpus, rows = pack(read_manifest(manifest), RATE, tmp_path / "p.arrow"), rows_of(tmp_path / "shards")
    store = AudioStore(tmp_path / "shards", sample_rate=RATE)
    assert len(corpus) == len(rows) == packed.utterances == 16 and not packed.faults
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(store.read(row), corpus.samples(index))
        assert row["duration"] == corpus.num_samples[index] / RATE and "offset" not in row
        found, wanted = read_manifest(tmp_path / "shards" / "manifest.jsonl")[index], corpus.utterances[index]
        assert (found.id, found.text, found.speaker) == (wanted.id, wanted.text, wanted.speaker)
        assert found.extra["language"] == "de"
    assert packed.seconds == pytest.approx(corpus.seconds)
    paths = sorted((tmp_path / "shards").glob("*.tar"))
    assert packed.shards == len(paths) > 3 and packed.size == sum(path.stat().st_size for path in paths)
    assert all(path.stat().st_size <= SIZE for path in paths)


def test_other_programs_read_shards(manifest: Path, tmp_path: Path) -> None:
    """WebDataset takes consecutive members whose names are equal up to the first dot as one sample."""
    make(manifest, tmp_path / "shards")
    rows = {row["id"]: row for row in rows_of(tmp_path / "shards")}
    for path in sorted((tmp_path / "shards").glob("*.tar")):
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
            for audio, meta in zip(members[::2], members[1::2], strict=True):
                key = audio.name.partition(".")[0]
                assert (audio.name, meta.name) == (f"{key}.flac", f"{key}.json")
                described = json.load(tar.extractfile(meta))
                row = rows.pop(described["id"])
                assert (row["audio_filepath"], row["tar_offset"], row["tar_bytes"]) == (
                    path.name,
                    audio.offset_data,
                    audio.size,
                )
                samples, rate = soundfile.read(io.BytesIO(tar.extractfile(audio).read()), dtype="int16")
                assert rate == RATE and len(samples) / rate == described["duration"]
                assert described["text"] == row["text"] and "offset" not in described
    assert not rows


@pytest.mark.parametrize("rate", OPUS_RATES)
def test_opus_keeps_the_length_and_nearly_the_sound(rate: int) -> None:
    for count in (1, 320, 5000, 3 * rate + 1):
        samples = (6000 * np.sin(np.arange(count) * 2 * np.pi * 440 / rate)).astype(np.int16)
        content = encode(samples, rate, "opus")
        assert content == encode(samples, rate, "opus")  # the same bytes each time
        heard, found = soundfile.read(io.BytesIO(content), dtype="int16")
        assert len(heard) == count and found == rate
        if count > rate:
            assert np.corrcoef(samples, heard)[0, 1] > 0.99
            assert len(content) < 2 * count / 5


def test_opus_shards_are_read(manifest: Path, tmp_path: Path) -> None:
    make(manifest, tmp_path / "opus", format="opus")
    store = AudioStore(tmp_path / "opus", sample_rate=RATE)
    rows = rows_of(tmp_path / "opus")
    assert [len(store.read(row)) / RATE for row in rows] == [row["duration"] for row in rows]
    with pytest.raises(AsrError, match=r"--format opus: codes at 8000, .* Hz, not at 22050 Hz; set --sample-rate"):
        make(manifest, tmp_path / "other", format="opus", sample_rate=22050)
    with pytest.raises(AsrError, match="--format mp3: must be flac or opus"):
        make(manifest, tmp_path / "other", format="mp3")
    assert not (tmp_path / "other").exists()


def test_lines_that_cannot_be_read_are_named_and_left_out(manifest: Path, tmp_path: Path) -> None:
    good = manifest.read_text("utf-8").splitlines()
    (tmp_path / "text.wav").write_text("no recording")
    bad = ["{", '{"text": "x"}', '{"audio_filepath": "none.wav"}', '{"audio_filepath": "text.wav"}', "[1]", good[0]]
    bad += ['{"audio_filepath": "recordings/0.wav", "id": "late", "offset": 9}']
    manifest.write_text("\n".join([bad[0], *good, "", *bad[1:]]) + "\n", "utf-8")
    packed = make(manifest, tmp_path / "shards")
    assert packed.utterances == len(good) and packed.left_out == len(packed.faults) == len(bad)
    expected = [
        *("1: is not JSON", "19: has no audio_filepath", "20: .*none.wav: no such file", "21: .*text.wav: is "),
        *("22: is a list", "23: id 'a/0.x' repeats .*:2; ids must differ", "24: .*offset 9.0 s lies out"),
    ]
    for fault, pattern in zip(packed.faults, expected, strict=True):
        assert fault.startswith(f"{manifest}:")
        assert re.search(f"m.jsonl:{pattern}", fault), fault
    manifest.write_text('{"audio_filepath": "none.wav"}\n')
    nothing = make(manifest, tmp_path / "nothing")
    assert nothing.utterances == nothing.shards == 0 and nothing.left_out == 1


def test_an_utterance_larger_than_a_shard_has_its_own(manifest: Path, tmp_path: Path) -> None:
    assert make(manifest, tmp_path / "shards", shard_bytes=1).shards == 16
    assert make(manifest, tmp_path / "one", shard_bytes=10**9).shards == 1


def test_tables_several_manifests_and_shards_again(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("audio_filepath,text,id\nrecordings/1.wav,one,csv1\nrecordings/2.wav,two,csv2\n")
    packed = write_shards([str(manifest), str(tmp_path / "t.csv")], tmp_path / "both", sample_rate=RATE)
    assert packed.utterances == 18 and [row["id"] for row in rows_of(tmp_path / "both")][-2:] == ["csv1", "csv2"]
    make(manifest, tmp_path / "shards")
    make(tmp_path / "shards" / "manifest.jsonl", tmp_path / "again", shard_bytes=10**9)
    make(manifest, tmp_path / "large", shard_bytes=10**9)
    assert [{**row, "tar_offset": 0} for row in rows_of(tmp_path / "again")] == [
        {**row, "tar_offset": 0} for row in rows_of(tmp_path / "large")
    ]


PROGRAM = """
import sys, time
from asr.corpus import shards, storage

read, last = storage.AudioStore.read, int(sys.argv[3])

def slowly(store, row):
    if int(row["id"]) >= last:  # a machine that hangs: the test kills the process there
        print("reached", flush=True)
        time.sleep(600)
    return read(store, row)

storage.AudioStore.read = slowly
shards.write_shards([sys.argv[1]], sys.argv[2], sample_rate=8000, shard_bytes=60_000)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_killed_then_continued_gives_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [replace(record(tmp_path, number, 0.5), id=str(number)) for number in range(90)]
    made.insert(30, Utterance("31", tmp_path / "none.wav"))
    made = [replace(utterance, id=str(number)) for number, utterance in enumerate(made)]
    write_manifest(tmp_path / "m.jsonl", made)
    whole = make(tmp_path / "m.jsonl", tmp_path / "whole")
    for reached in (20, 50, 80):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "m.jsonl"), str(tmp_path / "killed"), str(reached)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline().startswith("reached")
        deadline = time.monotonic() + 120
        while not (drafts := list((tmp_path / "killed").glob("*.part"))) and time.monotonic() < deadline:
            time.sleep(0.01)  # until it is in the middle of a shard
        assert drafts and not (tmp_path / "killed" / "manifest.jsonl").exists()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finished = len(list((tmp_path / "killed").glob("shard-*.tar")))
    assert finished > 2
    read: list[str] = []
    original = AudioStore.read
    monkeypatch.setattr(AudioStore, "read", lambda store, row: (read.append(row["id"]), original(store, row))[1])
    assert make(tmp_path / "m.jsonl", tmp_path / "killed") == whole
    assert len(read) < 40  # finished shards were not made again
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    assert len(files_of(tmp_path / "whole")) == whole.shards + 2
    read.clear()
    assert make(tmp_path / "m.jsonl", tmp_path / "killed") == whole and not read


def test_a_folder_of_something_else_is_refused(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    make(manifest, out)
    before = files_of(out)
    with pytest.raises(PackError, match="holds other shards \\(sample_rate was 8000, now 16000\\); choose another"):
        make(manifest, out, sample_rate=16000)
    with manifest.open("a") as file:
        file.write('{"audio_filepath": "recordings/1.wav", "id": "more"}\n')
    with pytest.raises(PackError, match="holds other shards \\(other manifests\\); choose another folder"):
        make(manifest, out)
    assert files_of(out) == before
    with pytest.raises(PackError, match=r"holds manifest\.jsonl of something else"):
        make(manifest, copy_of(out, tmp_path / "copy", without="pack.json"))
    with pytest.raises(PackError, match="is damaged; delete the folder"):
        damaged = copy_of(out, tmp_path / "damaged", without="shard-000000.tar")
        (damaged / "pack.json").write_text("{}")
        make(manifest, damaged)
    with pytest.raises(PackError, match=r"shard-000000\.tar was removed from the folder"):
        write_manifest(manifest, read_manifest(manifest)[:-1])
        make(manifest, copy_of(out, tmp_path / "gone", without="shard-000000.tar"))
    with FileLock(out / "pack.lock"), pytest.raises(PackError, match="another process packs into this folder"):
        make(manifest, out)


def copy_of(source: Path, target: Path, *, without: str) -> Path:
    target.mkdir()
    for name, content in files_of(source).items():
        if name != without:
            (target / name).write_bytes(content)
    return target


def test_shards_at_an_address_are_those_of_a_folder(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of fsspec stands for object storage; tests/test_remote.py has S3."""
    address = "memory://packed/shards"
    local = make(manifest, tmp_path / "shards")
    write, count = shards_module._add, iter(range(9))

    def broken(*arguments: Any) -> Any:
        if next(count) == 8:
            raise StorageError("the network is gone")
        return write(*arguments)

    monkeypatch.setattr(shards_module, "_add", broken)
    with pytest.raises(StorageError, match="the network is gone"):
        make(manifest, address)
    monkeypatch.undo()
    assert make(manifest, address) == local
    found = fsspec.filesystem("memory")
    assert {Path(name).name: found.cat_file(name) for name in found.ls("/packed/shards", detail=False)} == files_of(
        tmp_path / "shards"
    )
    store = AudioStore(address, sample_rate=RATE)
    corpus = pack(read_manifest(manifest), RATE, tmp_path / "p.arrow")
    for index, line in enumerate(read_file(f"{address}/manifest.jsonl").splitlines()):
        np.testing.assert_array_equal(store.read(json.loads(line)), corpus.samples(index))


@pytest.mark.parametrize(
    ("text", "size"), [("1G", 10**9), ("500M", 5 * 10**8), ("1.5k", 1500), ("1", 0), ("0M", 0), ("999G", 0), ("xM", 0)]
)
def test_sizes(text: str, size: int) -> None:
    if size:
        assert parse_size(text) == size
    else:
        with pytest.raises(PackError, match=f"--shards {text}: must be a size up to 100G"):
            parse_size(text)


def test_on_the_command_line(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"data: {{train: {manifest}, validation: v.jsonl}}\nfeatures: {{sample_rate: 8000}}\n"
    )
    done = run_asr("pack", "c.yaml", "-o", "shards", "--shards", "60k", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shards: 16 utterances, 12 s, in ") and "shards of flac" in done.stdout
    assert done.stderr.endswith("next: asr train c.yaml --set data.train=shards\n")
    assert files_of(tmp_path / "shards") == files_of_made(manifest, tmp_path / "made")
    with manifest.open("a") as file:
        file.write('{"audio_filepath": "none.wav"}\n')
    left = run_asr("pack", manifest, "-o", "opus", "--format", "opus", "--sample-rate", 16000, cwd=tmp_path)
    assert left.returncode == 1 and "asr: 1 line is left out; all others are packed:" in left.stderr
    assert "none.wav: no such file" in left.stderr and len(rows_of(tmp_path / "opus")) == 16


def files_of_made(manifest: Path, out: Path) -> dict[str, bytes]:
    make(manifest, out)
    return files_of(out)
