"""`asr transcribe --shard`, `--status` and `--merge`: the results of one process, whatever happens to the processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bulk_input import FAILED, LINES, write_input
from conftest import RATE, fresh_recognizer, largest_file
from oracles import random_waveforms
from typer.testing import CliRunner, Result

from asr.cli import app
from asr.corpus.manifest import read_manifest, write_manifest
from asr.recognition.recognizer import Recognizer
from asr.utterance import Utterance

_BLOCKED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import asr.cli.bulk as bulk
from asr.cli import main
rows = bulk.transcribe_rows
def blocked(*arguments, **options):
    for number, row in enumerate(rows(*arguments, **options)):
        yield row
        if number == 1:
            print("blocked", flush=True)
            sys.stdin.read()
bulk.transcribe_rows = blocked
main()
"""  # a command that stops after two rows of each shard until its stdin is closed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the input, and `one.jsonl`, what one process writes of it."""
    folder = tmp_path_factory.mktemp("bulk input")
    write_input(folder)
    done = CliRunner().invoke(
        app, ["transcribe", str(folder / "model.onnx"), str(folder / "input.jsonl"), "-o", str(folder / "one.jsonl")]
    )
    assert done.exit_code == 1 and "2 of 13 recordings could not be transcribed" in str(done.exception)
    return folder


@pytest.fixture
def out(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to the folder of the input, and return a folder for shards."""
    monkeypatch.chdir(place)
    return tmp_path / "my out"


def asr(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["transcribe", *map(str, arguments)])


def shards(out: Path, shard: str, *arguments: object) -> Result:
    return asr("model.onnx", "input.jsonl", "-o", out, "--shard", shard, *arguments)


def said(result: Result, status: int) -> str:
    """Return all that a command said; its exit status must be `status`."""
    assert result.exit_code == status, (result.exception, result.output)
    return result.output + (str(result.exception) if status == 1 else "")


def merged(out: Path) -> bytes:
    said(asr("-o", out, "--merge", out.parent / "all.jsonl"), 0)
    return (out.parent / "all.jsonl").read_bytes()


def names(out: Path) -> list[str]:
    """Return the names of the files that a user sees, without locks."""
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


@contextmanager
def blocked(out: Path, shard: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that has written two rows of a shard, and waits."""
    command = ["transcribe", "model.onnx", "input.jsonl", "-o", str(out), "--shard", shard]
    process = subprocess.Popen(
        [sys.executable, "-c", _BLOCKED, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "blocked\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("count", [1, 3, 20])
def test_any_number_of_shards_gives_the_results_of_one_process(out: Path, place: Path, count: int) -> None:
    for number in (2, 1) if count == 3 else ():  # in any order
        told = said(shards(out, f"{number}/{count}"), 0)
        assert f"next: asr transcribe -o '{out}' --status" in told
    told = said(shards(out, f"all/{count}"), 0)
    assert f"next: asr transcribe -o '{out}' --merge '{out}/all.hyp.jsonl'" in told
    assert len([name for name in names(out) if name.startswith("shard-")]) == count
    rows = [json.loads(line) for number in range(1, count + 1) for line in read(out, number, count)]
    assert [row["id"] for row in rows] == [f"line-{number}" for number in range(LINES)]
    assert [number for number, row in enumerate(rows) if "error" in row] == list(FAILED)
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert errors == [rows[number] for number in FAILED]
    found = merged(out)
    (place / "all.jsonl").unlink(missing_ok=True)
    told = said(asr("-o", out, "--merge", "all.jsonl"), 0)
    assert "written: all.jsonl, 11 lines" in told and f"2 lines could not be transcribed; see {out}/errors" in told
    assert "next: asr score input.jsonl all.jsonl" in told
    assert (place / "all.jsonl").read_bytes() == (place / "one.jsonl").read_bytes() != found  # other paths
    assert read_manifest(out.parent / "all.jsonl") == read_manifest(place / "one.jsonl")


def read(out: Path, number: int, count: int) -> list[str]:
    return (out / f"shard-{number:04}-of-{count:04}.jsonl").read_text(encoding="utf-8").splitlines()


def test_a_finished_shard_is_skipped_without_loading_the_model(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(shards(out, "2/3"), 0)
    monkeypatch.setattr("asr.cli.bulk.load_transcriber", None)
    before = (out / "shard-0002-of-0003.jsonl").stat()
    assert f"shard 2/3 is done: {out}/shard-0002-of-0003.jsonl" in said(shards(out, "2/3"), 0)
    assert (out / "shard-0002-of-0003.jsonl").stat() == before


def test_status_counts_and_names_the_next_command(out: Path) -> None:
    said(shards(out, "2/3", "--channels", 1, "--salvage"), 0)
    told = said(asr("-o", out, "--status"), 1)
    assert "shards  1 of 3 done, 0 held, 2 open\nlines   4 of 13\nhours   0.00 of 0.00\nerrors  1, in " in told
    assert "open    1, 3\n" in told
    step = f"next: asr transcribe model.onnx input.jsonl -o '{out}' --shard all/3 --channels 1 --salvage"
    assert step in told
    said(shards(out, "all/3", "--channels", 1, "--salvage"), 0)
    told = said(asr("-o", out, "--status"), 0)
    assert "shards  3 of 3 done, 0 held, 0 open" in told and "--merge" in told and "errors  2, in" in told


@pytest.mark.parametrize("end", ["KILL", "TERM", "INT"])
def test_a_shard_that_was_interrupted_begins_again(out: Path, place: Path, end: str) -> None:
    said(shards(out, "3/3"), 0)
    with blocked(out, "all/3") as process:
        assert f"shard 1/3: is held by {os.uname().nodename}, process {process.pid}" in said(shards(out, "1/3"), 1)
        told = said(asr("-o", out, "--status"), 1)
        assert "1 of 3 done, 1 held, 1 open\n" in told and f"held    1 by {os.uname().nodename}, process" in told
        assert "shard 2/3: 4 lines" in said(shards(out, "all/3"), 0)  # shard 1 is left to its process
        process.send_signal(getattr(signal, f"SIG{end}"))
        process.wait()
    drafts = [name for name in names(out) if name.endswith(".part")]
    assert len(drafts) == (0 if end == "INT" else 1)
    assert "2 of 3 done, 0 held, 1 open" in said(asr("-o", out, "--status"), 1)
    assert "shard 1/3: 3 lines" in said(shards(out, "all/3"), 0)
    assert names(out) == ["bulk.json", "errors.jsonl", "input", *(f"shard-000{n}-of-0003.jsonl" for n in (1, 2, 3))]
    said(asr("-o", out, "--merge", place / f"{end}.jsonl"), 0)
    assert (place / f"{end}.jsonl").read_bytes() == (place / "one.jsonl").read_bytes()


def test_two_processes_share_the_shards(out: Path, place: Path) -> None:
    command = [sys.executable, "-m", "asr", "transcribe", "model.onnx", "input.jsonl", "-o", out, "--shard", "all/13"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = "".join(process.communicate()[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], told
    done = [line.partition(":")[0] for line in told.splitlines() if line.startswith("shard ")]
    assert sorted(done) == sorted(f"shard {number}/13" for number in range(1, 14))  # each once
    said(asr("-o", out, "--merge", "shared.jsonl"), 0)
    assert (place / "shared.jsonl").read_bytes() == (place / "one.jsonl").read_bytes()


def test_another_job_in_the_same_folder_is_refused(out: Path, place: Path) -> None:
    said(shards(out, "1/3"), 0)
    begin = f"{out}: holds another bulk transcription: "
    assert begin + "the number of shards was 3, now 4; name another folder" in said(shards(out, "2/4"), 1)
    assert begin + "--nbest was 0, now 3; name" in said(shards(out, "2/3", "--nbest", 3), 1)
    (place / "other.jsonl").write_text("\n\n" + (place / "input.jsonl").read_text())  # empty lines are no lines
    told = said(asr("model.onnx", "other.jsonl", "-o", out, "--shard", "2/3"), 1)
    assert "the input was input.jsonl (SHA-256 " in told and "now other.jsonl (SHA-256 " in told
    fresh_recognizer("xyz").save(place / "other.safetensors")
    told = said(asr("other.safetensors", "input.jsonl", "-o", out, "--shard", "2/3"), 1)
    assert "the model was model.onnx (SHA" in told and "now other.safetensors (SHA" in told
    assert names(out) == ["bulk.json", "input", "shard-0001-of-0003.jsonl"]
    said(shards(out, "2/3"), 0)


def test_a_call_that_cannot_work_leaves_no_folder(out: Path, place: Path) -> None:
    (place / "words.txt").write_text("xyz\n")
    for arguments, message in (
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "0/3"], "--shard 0/3: must be I/N or all/N, with I from"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "4/3"], "--shard 4/3: must be"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/9999999"], "at most 100000"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "one"], "--shard one: must be"),
        (["model.onnx", "input.jsonl", "--shard", "1/3"], "name a folder for them: -o out"),
        (["model.onnx", "input.jsonl", "-o", "x.jsonl", "--shard", "1/3"], "name a folder for them: -o out"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/3", "-f", "srt"], "excludes -f, --skip-existing and"),
        (["model.onnx", "-", "-o", out, "--shard", "1/3"], "INPUT -: standard input cannot be divided"),
        (["none.onnx", "input.jsonl", "-o", out, "--shard", "1/3"], "none.onnx: cannot be read: No such file"),
        (["input.jsonl", "input.jsonl", "-o", out, "--shard", "1/3"], "input.jsonl: is damaged or no safetensors file"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/3", "--device", "cuda"], "is an exported model, which"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/3", "--channels", "x"], "--channels x: must be mix"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/3", "--phrases", "words.txt"], "xyz"),
        (["model.onnx", "input.jsonl", "-o", out, "--shard", "1/3", "--hotwords", "none.txt"], "none.txt: cannot be"),
        (["model.onnx", "--stream", "-", "--shard", "1/3"], "excludes INPUT and the options of files"),
        (["-o", out, "--status"], "holds no bulk.json; name the folder -o"),
        (["--status"], "--status: name the folder of the shards with -o"),
        (["--merge", "x.jsonl"], "--merge: name the folder of the shards with -o"),
        (["model.onnx", "-o", out, "--status"], "--status: goes with the folder -o, and nothing else"),
        (["-o", out, "--merge", "x.jsonl", "--nbest", "2"], "--merge FILE: goes with the folder -o, and nothing"),
    ):
        assert message in said(asr(*arguments), 1), arguments
        assert not out.exists(), arguments
    assert asr("--shard", "1/3").exit_code == 2


def test_merge_needs_all_shards_and_a_file_of_its_own(out: Path, place: Path) -> None:
    for number in (1, 4, 7):
        said(shards(out, f"{number}/8"), 0)
    told = said(asr("-o", out, "--merge", "new.jsonl"), 1)
    assert "5 of 8 shards are missing: 2-3, 5-6, 8; transcribe them; or take the 3 shards that are there: cat" in told
    assert not (place / "new.jsonl").exists()
    said(shards(out, "all/8"), 0)
    for name, message in (
        (out / "shard-0001-of-0008.jsonl", "must be a new manifest NAME.jsonl, and no file of"),
        (out / "errors.jsonl", "must be a new manifest"),
        ("new.txt", "must be a new manifest NAME.jsonl"),
        ("input.jsonl", "--merge input.jsonl: is also an input, which would be replaced"),
    ):
        before = (out / "shard-0001-of-0008.jsonl").read_bytes()
        assert message in said(asr("-o", out, "--merge", name), 1)
        assert (out / "shard-0001-of-0008.jsonl").read_bytes() == before
    with (out / "shard-0002-of-0008.jsonl").open("ab") as file:
        file.write(b'{"id": "cut')
    told = said(asr("-o", out, "--merge", "new.jsonl"), 1)
    assert "shard-0002-of-0008.jsonl:" in told and "is no row of a manifest; remove this shard" in told
    assert not (place / "new.jsonl").exists()
    plan = json.loads((out / "bulk.json").read_text())
    for damaged, place in (
        ("{", "all: Invalid JSON"),
        (json.dumps({"jobs": 1}), "job: Field required"),
        (json.dumps({**plan, "shards": plan["shards"][1:]}), "all: Value error, it has 7 of 8 shards"),
        (json.dumps({**plan, "job": {**plan["job"], "inputs": [{"path": 1, "sha256": "a"}]}}), "job.inputs.0.path: "),
    ):
        (out / "bulk.json").write_text(damaged)
        assert f"bulk.json: is damaged ({place}" in said(asr("-o", out, "--status"), 1)


def test_a_full_disk_keeps_finished_shards(out: Path, place: Path) -> None:
    """The second shard of two is larger than a file may be."""
    said(shards(out, "1/2"), 0)
    with largest_file((out / "shard-0001-of-0002.jsonl").stat().st_size // 2):
        assert "shard-0002-of-0002.jsonl: cannot be written: File too large" in said(shards(out, "2/2"), 1)
    assert names(out) == ["bulk.json", "errors.jsonl", "input", "shard-0001-of-0002.jsonl"]
    said(shards(out, "2/2"), 0)
    said(asr("-o", out, "--merge", "disk.jsonl"), 0)
    assert (place / "disk.jsonl").read_bytes() == (place / "one.jsonl").read_bytes()


def test_options_of_the_search_and_channels(out: Path, place: Path) -> None:
    stereo = np.stack([np.resize(wave, 9000) for wave in random_waveforms(1, 2)], 1)
    soundfile.write(place / "stereo.wav", stereo, RATE)
    (place / "words.txt").write_text("abc\ncab\n")
    inputs = ["stereo.wav", "audio/00.wav", "audio/01.wav"]
    for number, options in enumerate((["--channels", "split", "--nbest", "2"], ["--phrases", "words.txt"])):
        said(asr("model.onnx", *inputs, "-o", f"plain-{number}.jsonl", *options), 0)
        there = out / str(number)
        said(asr("model.onnx", *inputs, "-o", there, "--shard", "all/2", *options), 0)
        told = said(asr("-o", there, "--status"), 0)
        assert "lines   3 of 3\nhours   ? of ?\nerrors  0\n" in told
        said(asr("-o", there, "--merge", f"all-{number}.jsonl"), 0)
        assert (place / f"all-{number}.jsonl").read_bytes() == (place / f"plain-{number}.jsonl").read_bytes()
        assert not (there / "errors.jsonl").exists()
    assert (place / "all-0.jsonl").read_text().count("\n") == 4 and "posterior" in (place / "all-1.jsonl").read_text()


def test_ids_may_repeat_in_two_manifests_but_not_in_one(out: Path, place: Path) -> None:
    lines = [Utterance("same", place / "audio" / f"0{number}.wav") for number in (0, 1)]
    for number, line in enumerate(lines):
        write_manifest(place / f"same-{number}.jsonl", [line])
    said(asr("model.onnx", "same-0.jsonl", "same-1.jsonl", "-o", out, "--shard", "all/2"), 0)
    rows = [json.loads(line) for number in (1, 2) for line in read(out, number, 2)]
    assert [row["audio_filepath"][-6:] for row in rows] == ["00.wav", "01.wav"]
    write_manifest(place / "twice.jsonl", [lines[0], replace(lines[1], text="b")])
    told = said(asr("model.onnx", "twice.jsonl", "-o", out.parent / "2", "--shard", "1/2"), 1)
    assert "twice.jsonl:2: id 'same' repeats line 1; ids must differ" in told


def test_a_folder_of_recordings_that_changed_is_another_input(out: Path, place: Path) -> None:
    folder = out.parent / "day"
    folder.mkdir()
    for number, wave in enumerate(random_waveforms(2, 3)):
        soundfile.write(folder / f"{number}.wav", wave, RATE)
    said(asr("model.onnx", folder, "-o", out, "--shard", "1/2"), 0)
    soundfile.write(folder / "new.wav", wave, RATE)
    told = said(asr("model.onnx", folder, "-o", out, "--shard", "2/2"), 1)
    assert f"the input was {folder} (SHA-256 " in told and f", now {folder} (SHA-256 " in told
    (folder / "new.wav").unlink()
    said(asr("model.onnx", folder, "-o", out, "--shard", "2/2"), 0)
    said(asr("-o", out, "--status"), 0)


def test_names_that_are_not_utf_8(out: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    try:
        soundfile.write(out.parent / "cafe.wav", random_waveforms(2, 1)[0], RATE)
        (out.parent / "cafe.wav").rename(out.parent / name)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    said(asr("model.onnx", out.parent / name, "-o", "plain.jsonl"), 0)
    said(asr("model.onnx", out.parent / name, "-o", out, "--shard", "1/1"), 0)
    said(asr("-o", out, "--merge", "merged.jsonl"), 0)
    assert Path("merged.jsonl").read_bytes() == Path("plain.jsonl").read_bytes()
    assert "caf\\\\xe9.wav" in Path("plain.jsonl").read_text(encoding="utf-8")


def test_a_model_that_equalises_hears_a_speaker_in_all_shards(out: Path, place: Path) -> None:
    plain = fresh_recognizer()
    features = plain.config.features.model_copy(update={"equalize": True})
    model = Recognizer(plain.config.model_copy(update={"features": features}), plain.units)
    model.acoustic_model.load_state_dict(plain.acoustic_model.state_dict())
    model.save(place / "equal.safetensors")
    said(asr("equal.safetensors", "input.jsonl", "-o", "equal.jsonl", "--device", "cpu"), 1)
    said(asr("equal.safetensors", "input.jsonl", "-o", out, "--shard", "all/4", "--device", "cpu"), 0)
    said(asr("-o", out, "--merge", "equal.merged.jsonl"), 0)
    assert (place / "equal.merged.jsonl").read_bytes() == (place / "equal.jsonl").read_bytes()


def test_lines_of_the_input_that_were_changed_are_named(out: Path) -> None:
    said(shards(out, "1/2"), 0)
    file = out / "input" / "shard-0002-of-0002.jsonl"
    file.write_text(file.read_text()[:-9])
    assert "input/shard-0002-of-0002.jsonl: was changed (" in said(shards(out, "2/2"), 1)
    file.unlink()
    assert "input/shard-0002-of-0002.jsonl: cannot be read" in said(shards(out, "2/2"), 1)
