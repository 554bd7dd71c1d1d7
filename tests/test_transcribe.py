"""`asr transcribe` and `asr align` as a user calls them: what is read, what is written, what is said where."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer
from oracles import random_waveforms
from typer.testing import CliRunner, Result

from asr.audio import load_audio
from asr.cli import app
from asr.cli.inputs import parse_channels
from asr.corpus.manifest import read_manifest
from asr.decoders import Recording
from asr.decoding.phrases import Rejection
from asr.errors import AsrError
from asr.recognition.transcribe import joined
from asr.transcript import Alternative


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a tree of recordings, one of them none."""
    folder = tmp_path_factory.mktemp("field work")
    fresh_recognizer().save(folder / "m.safetensors")
    for name, samples in zip(("a", "day 1/b", "day 1/tape/c"), random_waveforms(3, 3), strict=True):
        path = folder / "tree" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 8000)
    (folder / "tree" / "notes.txt").write_text("no recording")
    (folder / "bad.wav").write_text("no recording")
    return folder


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object, input: bytes | None = None) -> Result:
    monkeypatch.chdir(folder)
    return CliRunner().invoke(app, list(map(str, arguments)), input=input)


def transcribe(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object, input: bytes | None = None) -> Result:
    return run(folder, monkeypatch, "transcribe", "m.safetensors", *arguments, "--device", "cpu", input=input)


def test_text_goes_to_stdout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = transcribe(folder, monkeypatch, "tree/a.wav")
    assert one.exit_code == 0 and one.stdout.strip() and "\t" not in one.stdout
    many = transcribe(folder, monkeypatch, "tree")
    assert [line.split("\t")[0] for line in many.stdout.splitlines()] == [
        "tree/a.wav", "tree/day 1/b.wav", "tree/day 1/tape/c.wav"
    ]  # fmt: skip
    assert many.stdout.splitlines()[0].split("\t")[1] == one.stdout.strip()
    assert transcribe(folder, monkeypatch, "tree/**/*.wav").stdout == many.stdout
    piped = transcribe(folder, monkeypatch, "-", input=(folder / "tree" / "a.wav").read_bytes())
    assert piped.stdout == one.stdout


def test_a_tree_is_mirrored_and_not_done_twice(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    done = transcribe(folder, monkeypatch, "tree", "-f", "txt,json", "-o", out)
    assert done.exit_code == 0 and done.stdout == ""
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {f"{name}.{kind}" for name in ("a", "day 1/b", "day 1/tape/c") for kind in ("txt", "json")}
    (out / "day 1" / "b.txt").unlink()
    (out / "a.txt").write_text("mine")
    again = transcribe(folder, monkeypatch, "tree", "-f", "txt,json", "-o", out, "--skip-existing")
    assert again.exit_code == 0 and "2 of 3 recordings have their files" in again.stderr
    assert (out / "day 1" / "b.txt").exists() and (out / "a.txt").read_text() == "mine"
    assert "3 of 3" in transcribe(folder, monkeypatch, "tree", "-o", out, "--skip-existing").stderr


def test_what_cannot_be_transcribed_is_listed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.eaf").write_text("<html/>")
    done = transcribe(folder, monkeypatch, "bad.wav", "tree/a.wav", "gone.wav", "-o", tmp_path)
    assert (tmp_path / "a.txt").exists()
    assert "bad.wav: is not a recording" in done.stderr and "gone.wav: no such file" in done.stderr
    assert isinstance(done.exception, AsrError)
    assert str(done.exception) == "2 of 3 recordings could not be transcribed:\n  bad.wav\n  gone.wav"
    (folder / "tree" / "a.eaf").write_text("<html/>")
    done = transcribe(folder, monkeypatch, "tree/a.wav", "tree/day 1/b.wav", "-f", "eaf", "-o", tmp_path)
    (folder / "tree" / "a.eaf").unlink()
    assert "a.eaf: is XML but no ELAN file" in done.stderr and "1 of 2" in str(done.exception)
    assert (tmp_path / "b.eaf").exists()


def test_channels_and_silence(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = random_waveforms(4, 1)[0]
    soundfile.write(tmp_path / "call.wav", np.stack([sound, 0 * sound], axis=1), 8000)
    split = transcribe(folder, monkeypatch, tmp_path / "call.wav", "--channels", "split")
    first, second = split.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/call.wav-1\t") and second == f"{tmp_path}/call.wav-2\t"
    assert "call.wav-2: no speech found" in split.stderr and "call.wav-1: no" not in split.stderr
    transcribe(folder, monkeypatch, tmp_path / "call.wav", "--channels", "split", "-f", "json", "-o", tmp_path)
    assert json.loads((tmp_path / "call-2.json").read_text())["channel"] == 2
    rows = tmp_path / "rows.jsonl"
    transcribe(folder, monkeypatch, tmp_path / "call.wav", "--channels", "split", "-o", rows)
    assert [(row.id[-6:], row.extra["channel"]) for row in read_manifest(rows)] == [(".wav-1", 1), (".wav-2", 2)]
    mixed = transcribe(folder, monkeypatch, tmp_path / "call.wav", "--channels", "2")
    assert mixed.stdout == "\n" and mixed.exit_code == 0


def test_wrong_calls_say_what_is_allowed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    for arguments, message in (
        (["tree/a.wav", "--channels", "0"], "--channels 0: must be mix, split, or the number"),
        (["tree/a.wav", "-f", "doc"], "'doc' is no output format"),
        (["tree/a.wav", "-f", "srt", "-o", "x.jsonl"], "x.jsonl: is one manifest"),
        (["tree", "--eaf", "x.eaf", "-f", "eaf"], "goes with -f eaf and one recording"),
        (["*.mp3"], r"*.mp3: holds no recordings"),
        ([tmp_path / "a.wav", "tree/a.wav", "-f", "txt"], "would both be written to a.wav"),
        (["tree/a.wav", "tree", "-f", "txt"], "tree/a.wav: is named twice"),
        (["tree/a.wav", ""], "INPUT '': is an empty name"),
        (["tree/a.wav", "-f", "srt", "-o", tmp_path / "x.txt"], "is a file in the format txt, and -f names srt"),
        (["tree", "-o", tmp_path / "x.txt"], "x.txt: is one file, and there are 3 recordings; name a folder"),
        (["tree/a.wav", "--channels", "split", "-o", tmp_path / "x.txt"], "--channels split makes several"),
    ):
        done = transcribe(folder, monkeypatch, *arguments)
        assert isinstance(done.exception, AsrError) and message in str(done.exception)
    assert [parse_channels(value) for value in ("mix", "split", "12")] == ["mix", "split", 12]


def test_align(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = transcribe(folder, monkeypatch, "tree/a.wav").stdout
    (tmp_path / "a.txt").write_text(heard.upper(), encoding="utf-8")
    done = run(folder, monkeypatch, "align", "m.safetensors", "tree/a.wav", tmp_path / "a.txt", "--device", "cpu")
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    assert done.exit_code == 0 and [row[3] for row in rows] == heard.upper().split()
    assert f"{len(rows)} of {len(rows)} words found" in done.stderr
    files = run(
        folder, monkeypatch, "align", "m.safetensors", "tree/a.wav", tmp_path / "a.txt",
        "-f", "TextGrid,srt,tsv", "-o", tmp_path / "out",
    )  # fmt: skip
    assert files.exit_code == 0 and files.stdout == ""
    assert (tmp_path / "out" / "a.tsv").read_text(encoding="utf-8") == done.stdout
    assert (tmp_path / "out" / "a.TextGrid").exists() and (tmp_path / "out" / "a.srt").exists()

    monkeypatch.setattr("asr.recognition.align.SURE", 0.0)
    made = run(
        folder, monkeypatch, "align", "m.safetensors", "tree/a.wav", tmp_path / "a.txt", "--make-corpus", tmp_path
    )
    rows = read_manifest(tmp_path / "a.jsonl", require_text=True)
    assert made.exit_code == 0 and rows[0].audio == folder / "tree" / "a.wav"
    assert " ".join(row.text or "" for row in rows) == " ".join(heard.upper().split())
    monkeypatch.setattr("asr.recognition.align.SURE", 1.1)
    none = run(
        folder, monkeypatch, "align", "m.safetensors", "tree/a.wav", tmp_path / "a.txt", "--make-corpus", tmp_path
    )
    assert "no segment is aligned well enough" in str(none.exception)
    for text, message in (("gone.txt", "gone.txt: cannot be read"), ("tree/a.wav", "tree/a.wav:1: is not UTF-8")):
        wrong = run(folder, monkeypatch, "align", "m.safetensors", "tree/a.wav", text)
        assert message in str(wrong.exception)


def test_standard_input_in_any_container(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, rate = soundfile.read(folder / "tree" / "a.wav")
    flac = io.BytesIO()
    soundfile.write(flac, samples, rate, format="FLAC")
    assert transcribe(folder, monkeypatch, "-", input=flac.getvalue()).stdout == (
        transcribe(folder, monkeypatch, "tree/a.wav").stdout
    )


def test_nbest_and_hotwords(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hypotheses = tmp_path / "nbest.jsonl"
    done = transcribe(folder, monkeypatch, "tree", "--nbest", "4", "-o", hypotheses)
    assert done.exit_code == 0, done.stderr
    for row in read_manifest(hypotheses):
        guesses = row.extra["nbest"]
        assert len(guesses) == 4 == len({guess["text"] for guess in guesses})
        assert guesses[0]["text"] == row.extra["hypothesis"]
        assert [g["score"] for g in guesses] == sorted((g["score"] for g in guesses), reverse=True)
    transcribe(folder, monkeypatch, "tree/a.wav", "--nbest", "2", "-f", "json", "-o", tmp_path)
    shown = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    first = read_manifest(hypotheses)[0]
    assert shown["text"] == first.extra["hypothesis"] and shown["nbest"] == first.extra["nbest"][:2]

    second = first.extra["nbest"][1]["text"]
    (tmp_path / "names.txt").write_text(f"{second}\t6\n", encoding="utf-8")  # with much more it would be said twice
    steered = transcribe(folder, monkeypatch, "tree/a.wav", "--hotwords", tmp_path / "names.txt")
    assert steered.stdout == second + "\n" and "hotwords changed 1 of 1 texts" in steered.stderr
    (tmp_path / "names.txt").write_text(f"{second}\t0\n", encoding="utf-8")
    idle = transcribe(folder, monkeypatch, "tree/a.wav", "--hotwords", tmp_path / "names.txt")
    assert idle.stdout == shown["text"] + "\n" and "hotwords changed 0 of 1 texts" in idle.stderr
    (tmp_path / "names.txt").write_text("ab\nZoë\n", encoding="utf-8")
    wrong = transcribe(folder, monkeypatch, "tree/a.wav", "--hotwords", tmp_path / "names.txt")
    assert "names.txt:2: 'Zoë' holds" in str(wrong.exception) and "'ë' (U+00EB" in str(wrong.exception)


def test_nbest_lists_of_segments_are_joined() -> None:
    left = (Alternative("a", -1.0), Alternative("", -2.0), Alternative("b", -4.0))
    right = (Alternative("", -3.0), Alternative("a", -1.5))
    found = joined(left, right, 4)
    assert found == (Alternative("a", -3.5), Alternative("a a", -2.5), Alternative("", -5.0), Alternative("b a", -5.5))
    assert joined((Alternative("", 0.0),), left, 2) == left[:2]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_phrases(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: float) -> None:
    """The hypothesis of best path is the best of the phrases; the threshold in the model file accepts or rejects it."""
    heard = [line.split("\t")[1] for line in transcribe(folder, monkeypatch, "tree").stdout.splitlines()[:2]]
    listed, rows = tmp_path / "list.txt", tmp_path / "rows.jsonl"
    listed.write_text(f"{heard[0]}\n{{x}} = {heard[1]} | \u00e9\u00e9\u00e9\n{{x}}\n", encoding="utf-8")
    recognizer = fresh_recognizer()
    recognizer.rejection = Rejection(threshold=threshold)
    recognizer.save(tmp_path / "m")
    options = (tmp_path / "m", "tree/a.wav", "tree/day 1/b.wav", "--device", "cpu", "--phrases", listed)
    done = run(folder, monkeypatch, "transcribe", *options, "--nbest", "3", "-o", rows)
    assert done.exit_code == 0 and "no speech found" not in done.stderr
    nearest = [f"none of {listed}; the nearest is {text!r} with probability " for text in heard]
    assert [message in done.stderr for message in nearest] == [bool(threshold)] * 2
    for row, text in zip(read_manifest(rows), heard, strict=True):
        texts = [guess["text"] for guess in row.extra["nbest"]]
        assert row.extra["hypothesis"] == texts[0] == ("" if threshold else text) and text in texts
        assert row.extra["posterior"] == pytest.approx(math.exp(row.extra["nbest"][0]["score"]), abs=1e-3)
    run(folder, monkeypatch, "transcribe", *options, "-f", "json", "-o", tmp_path)
    shown = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert shown["text"] == ("" if threshold else heard[0]) and "nbest" not in shown
    assert {word["confidence"] for word in shown["words"]} <= {round(shown["posterior"], 3)}
    wrong = transcribe(folder, monkeypatch, "tree", "--phrases", "x", "--hotwords", "y")
    assert "--phrases and --hotwords exclude each other" in str(wrong.exception)


def test_odd_names_reach_no_terminal_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_recognizer().save(tmp_path / "run" / "model.safetensors")
    (tmp_path / "in").mkdir()
    for name, samples in zip(
        ("a.wav", "a.flac", "\x1b[31m\nred.wav", "-x.wav", "c:d.wav"), random_waveforms(3, 5), strict=True
    ):
        soundfile.write(tmp_path / "in" / name, samples, 8000)
    texts = run(tmp_path, monkeypatch, "transcribe", "run", "in", "--device", "cpu")
    assert [line.split("\t")[0] for line in texts.stdout.splitlines()] == [
        "in/\\x1b[31m\\nred.wav", "in/-x.wav", "in/a.flac", "in/a.wav", "in/c:d.wav"
    ]  # fmt: skip
    files = run(tmp_path, monkeypatch, "transcribe", "run", "in", "-f", "txt", "--device", "cpu")
    assert files.exit_code == 0 and files.stdout == "" and "written: 5 files in ." in files.stderr
    assert "'in/a.flac' -> a.flac, 'in/a.wav' -> a.wav" in files.stderr and "not safe for files" in files.stderr
    assert "\x1b" not in texts.stderr + files.stderr
    written = sorted(path.name for path in tmp_path.glob("*.txt"))
    assert written[:1] + written[2:] == ["-x.txt", "a.flac.txt", "a.wav.txt", "c:d.txt"]
    assert written[1].startswith("_[31m_red~")


@pytest.mark.parametrize("fault", [MemoryError(), OSError(5, "Input/output error"), RecursionError()])
def test_a_recording_that_the_system_does_not_give_stops_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def read(recording: Recording, *arguments: object, **options: object) -> object:
        if recording.path.name == "b.wav":
            raise fault
        return load_audio(recording, *arguments, **options)

    monkeypatch.setattr("asr.recognition.longform.load_audio", read)
    done = transcribe(folder, monkeypatch, "tree")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["tree/a.wav", "tree/day 1/tape/c.wav"]
    assert "asr: tree/day 1/b.wav: " in done.stderr and "1 of 3 recordings could not be" in str(done.exception)


def test_a_bug_in_reading_is_not_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.recognition.longform.load_audio", lambda *arguments, **options: {}["bug"])
    assert isinstance(transcribe(folder, monkeypatch, "tree").exception, KeyError)


def test_align_writes_one_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(transcribe(folder, monkeypatch, "tree/a.wav").stdout, encoding="utf-8")
    arguments = ("align", "m.safetensors", "tree/a.wav", tmp_path / "a.txt", "--device", "cpu", "-o")
    done = run(folder, monkeypatch, *arguments, tmp_path / "one.vtt")
    assert done.exit_code == 0 and f"written: {tmp_path / 'one.vtt'}" in done.stderr
    assert (tmp_path / "one.vtt").read_text().startswith("WEBVTT")
    wrong = run(folder, monkeypatch, *arguments, tmp_path / "folder")
    assert "folder: is a folder; name the formats of its files with -f" in str(wrong.exception)
