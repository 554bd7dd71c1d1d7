"""Tar files of other programs: samples of WebDataset, Shar of lhotse, and hostile files."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.corpus.shards import PackError, write_shards
from asr.corpus.storage import AudioStore
from asr.corpus.webdataset import rows_of_tars

RATE = 8000


def sound(number: int, format: str = "FLAC") -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(number).integers(-9000, 9000, 4000 + number).astype(np.int16)
    soundfile.write(file, samples, RATE, format=format)
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes], **options: object) -> None:
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_become_rows(tmp_path: Path, format: int) -> None:
    described = {"text": "eins", "speaker": "s", "duration": 99, "offset": 3, "audio_filepath": "/x.wav"}
    members = {
        "a/000.flac": sound(0),
        "a/000.json": json.dumps(described).encode(),
        "a/001.seg.wav": sound(1, "WAV"),
        "a/001.txt": "zwei ä\n".encode(),
        "a/001.cls": b"7",
        "a/ü002.ogg": sound(2, "OGG"),
    }
    write_tar(tmp_path / "x.tar", members, format=format)
    rows = dict(rows_of_tars(tmp_path))
    assert [row["id"] for row in rows.values()] == ["a/000", "a/001", "a/ü002"]
    first, second, third = rows.values()
    assert (first["text"], first["speaker"]) == ("eins", "s") and not first.keys() & {"duration", "offset"}
    assert (second["text"], second["cls"]) == ("zwei ä", "7") and "text" not in third
    store = AudioStore(tmp_path, sample_rate=RATE)
    assert [len(store.read(row)) for row in rows.values()] == [4000, 4001, 4002]
    packed = write_shards([str(tmp_path)], tmp_path / "shards", sample_rate=RATE)
    assert packed.utterances == 3 and not packed.faults
    found = [json.loads(line) for line in (tmp_path / "shards" / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert [row["duration"] for row in found] == [4000 / RATE, 4001 / RATE, 4002 / RATE]
    assert found[1]["text"] == "zwei ä"


def test_shar_of_lhotse(tmp_path: Path) -> None:
    write_tar(tmp_path / "recording.000000.tar", {"c1.flac": sound(1), "c1.json": b'{"id": "r1", "sources": []}'})
    cut = {"id": "c1", "recording": {"id": "r1"}, "supervisions": [{"text": "eins zwei", "speaker": "s"}]}
    with gzip.open(tmp_path / "cuts.000000.jsonl.gz", "wt") as file:
        file.write(json.dumps(cut) + "\n")
    ((_, row),) = rows_of_tars(tmp_path)
    assert (row["id"], row["text"], row["speaker"]) == ("c1", "eins zwei", "s") and "sources" not in row
    (tmp_path / "cuts.000000.jsonl.gz").write_bytes(b"no gzip")
    ((_, fault),) = rows_of_tars(tmp_path)
    assert "cannot be read to its end" in str(fault)


def test_faulty_samples_do_not_stop_the_others(tmp_path: Path) -> None:
    members = {
        "0.json": b"{}",
        "1.flac": sound(1),
        "1.wav": sound(1, "WAV"),
        "2.flac": sound(2),
        "2.json": b"[1]",
        "3.flac": sound(3),
        "3.json": b"{",
        "4.flac": sound(4),
        "4.txt": b"\xff\xfe",
        "5.flac": b"no audio",
        "6.flac": sound(6),
    }
    write_tar(tmp_path / "x.tar", members)
    packed = write_shards([str(tmp_path)], tmp_path / "shards", sample_rate=RATE)
    assert packed.utterances == 1 and packed.left_out == 6
    for fault, said in zip(packed.faults, ("0 recordings", "2 recordings", "a list", "", "", "not a rec"), strict=True):
        assert fault.startswith(f"{tmp_path}/x.tar:") and said in fault
    (tmp_path / "none").mkdir()
    with pytest.raises(PackError, match=r"holds no manifest\.jsonl and no tar files"):
        write_shards([str(tmp_path / "none")], tmp_path / "other", sample_rate=RATE)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "content",
    [
        header("a.flac", 10**12) + bytes(1024),
        header("a.flac", 5000) + bytes(1024),
        header("a.flac", -512) + bytes(1024),
        header("x", 10**11, tarfile.XHDTYPE) + bytes(4096),
        header("x", 10**11, tarfile.GNUTYPE_LONGNAME) + bytes(4096),
        header("x", -512, tarfile.XHDTYPE) + bytes(4096),
        b"x" * 2000,
    ],
)
def test_hostile_tar_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    ((place, fault),) = rows_of_tars(tmp_path)
    assert isinstance(fault, ValueError) and place == str(tmp_path / "x.tar")
    assert "cannot be read to its end" in str(fault)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(header("a.flac", 0, tarfile.SYMTYPE) + header("b.flac", 0) + bytes(1024))
    ((_, row),) = rows_of_tars(tmp_path)
    assert row["id"] == "b" and row["tar_bytes"] == 0
