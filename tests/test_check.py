"""The check of a corpus: one planted with every fault is found out, fault by fault, and nothing else is accused."""

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY, run_asr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.audio import load_audio
from asr.config import Config
from asr.corpus import check_files
from asr.corpus.check import Report, check, name_splits, settings_of
from asr.corpus.check_audio import Figures, inspect_file
from asr.corpus.check_text import Scripts, character_table, hidden_characters, unknown_words, usual_speeds
from asr.corpus.check_verdicts import SUSPECT, UNUSABLE, VERDICTS
from asr.errors import AsrError, AudioError
from asr.lengths import resampled_length
from asr.text import Normalizer, Units

RATE = 16000
SPEED = 14.0  # characters a second
WORDS = ("bado", "kela", "mitu", "nosa", "pivu", "rago", "tiwe", "ulga", "yefi", "zomu", "hela", "duke")


def speech(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Noise that swells and ebbs like syllables, `(N,)`: no two seeds alike."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return 0.05 * generator.standard_normal(len(time)) * (1 + np.sin(2 * np.pi * 4 * time))


def sentence(seed: int) -> str:
    return " ".join(np.random.default_rng(seed).permutation(WORDS)[:6])


def wav(data: bytes, promised: int, rate: int = RATE) -> bytes:
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + promised, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return head + struct.pack("<4sI", b"data", promised) + data


def encoded(samples: np.ndarray, container: str, subtype: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def run_check(folder: Path) -> Report:
    splits, training = name_splits([folder / "train.jsonl", folder / "test.jsonl"])
    return check(
        splits,
        training=training,
        sample_rate=RATE,
        hop_ms=10,
        subsampling=4,
        normalizer=Normalizer(),
        segment=Units(()).split,
    )


class Corpus:
    """A folder with `train.jsonl` and `test.jsonl`; `expected` are `(verdict, subject)` of what is planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: dict[str, list[str]] = {"train": [], "test": []}
        self.expected: set[tuple[str, str]] = set()
        self.seed = 0
        for split, count in (("train", 24), ("test", 8)):
            for number in range(count):
                self.add(split, f"{split}-{number}.wav", speaker=f"{split}-{number % 2}")

    def add(
        self, split: str, name: str, samples: np.ndarray | bytes | None = None, text: str | None = "", **row: object
    ) -> None:
        """A line and its recording: a healthy one where `samples` and `text` are not given."""
        self.seed += 1
        text = sentence(self.seed) if text == "" else text
        if samples is None:
            samples = speech(len(text or "some words of usual length") / SPEED, self.seed)
        if isinstance(samples, bytes):
            (self.folder / name).write_bytes(samples)
        else:
            soundfile.write(self.folder / name, samples, RATE)
        row = {"audio_filepath": name, "text": text, **row}
        self.lines[split].append(json.dumps({key: value for key, value in row.items() if value is not None}))

    def plant(self, verdict: str, split: str, name: str, *content: object, **row: object) -> None:
        self.add(split, name, *content, **row)  # type: ignore[arg-type]
        self.expected.add((verdict, name))

    def write(self) -> None:
        for split, lines in self.lines.items():
            (self.folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def planted(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path)
    plant, healthy = corpus.plant, speech(2.0, 999)
    plant("unreadable", "train", "unreadable.wav", b"This is not a recording.\n" * 20)
    plant("zero length", "train", "empty.wav", b"")
    plant("header only", "train", "header.wav", wav(b"", 0))
    plant("truncated", "train", "truncated.wav", wav(bytes(2 * round(3.1 * RATE)), 2 * 8 * RATE))
    plant("beyond the end", "train", "beyond.wav", healthy, offset=1.5, duration=8)
    plant("silent", "train", "silent.wav", np.zeros(2 * RATE))
    plant("clipped", "train", "clipped.wav", (20 * speech(2.0, 1000)).clip(-0.98, 0.98))
    plant("coarse steps", "train", "coarse.wav", np.round(speech(2.0, 1001) * 128) / 128)
    plant("DC offset", "train", "offset.wav", 0.05 + speech(2.0, 1002))
    plant("inverted channel", "train", "inverted.wav", np.outer(speech(2.0, 1003), (1, -1)))
    plant("dead channel", "train", "dead.wav", np.outer(speech(2.0, 1004), (1, 0)))
    plant("low sample rate", "train", "telephone.wav", encoded(speech(2.0, 1005, 8000), "WAV", "PCM_16", 8000))
    plant("audio without transcript", "train", "untranscribed.wav", None, None)
    plant("empty transcript", "train", "blank.wav", healthy * 0.9, " ")
    plant("hidden characters", "train", "hidden.wav", None, "bado\u200b kela \x07nosa rago yefi")
    plant("look-alike letters", "test", "twin.wav", None, "bado kel\u0430 pivu rago zomu")
    plant("unusual speed", "test", "slow.wav", speech(9.0, 1006), "zomu hela")
    plant("infeasible for CTC", "train", "fast.wav", speech(3.0, 1007), "aa" + "dakelo" * 11 + "bbccdukes")
    plant(
        "duplicate audio", "test", "copy.flac", encoded(soundfile.read(tmp_path / "train-3.wav")[0], "FLAC", "PCM_16")
    )
    plant("duplicate text", "test", "again.wav", None, sentence(5))  # the fifth of training
    corpus.lines["train"].append(json.dumps({"audio_filepath": "nowhere.wav", "text": "rago bado"}))
    corpus.expected.add(("missing audio", "nowhere.wav"))
    corpus.lines["train"].append("{oops")
    corpus.expected.add(("bad line", f"train.jsonl:{len(corpus.lines['train'])}"))
    corpus.add("test", "shared.wav", speaker="train-0")
    corpus.expected.add(("shared speaker", f"test.jsonl:{len(corpus.lines['test'])}"))
    soundfile.write(tmp_path / "unlisted.wav", healthy, RATE)
    corpus.expected.add(("unlisted audio", "unlisted.wav"))
    corpus.write()
    return corpus


def test_every_planted_fault_is_found_and_nothing_else(planted: Corpus) -> None:
    report = run_check(planted.folder)
    found = {
        (finding.verdict, finding.file.name if finding.file else f"{finding.manifest.name}:{finding.line}")  # type: ignore[union-attr]
        for finding in report.findings
    }
    assert found == planted.expected
    assert len(report.findings) == len(found)
    assert {verdict for verdict, _ in found} == set(VERDICTS)
    said = {finding.verdict: finding.found for finding in report.findings}
    assert said["truncated"] == "its header promises 8.0 s, the data holds 3.1 s"
    assert said["infeasible for CTC"] == "77 units + 3 repeats need 80 frames, the audio gives 76"
    assert "'а' is U+0430 CYRILLIC SMALL LETTER A" in said["look-alike letters"]
    assert "U+200B, ZERO WIDTH SPACE" in said["hidden characters"]
    assert "the file ends at 2.00 s" in said["beyond the end"]
    # What training takes: every line but the unusable ones.
    names = {utterance.audio.name for utterance in report.usable("train")}
    unusable = {subject for verdict, subject in planted.expected if VERDICTS[verdict][0] == UNUSABLE}
    lines = {json.loads(line)["audio_filepath"] for line in planted.lines["train"] if line != "{oops"}
    assert names == lines - unusable


def test_a_healthy_corpus_has_no_findings(tmp_path: Path) -> None:
    Corpus(tmp_path).write()
    assert run_check(tmp_path).findings == []


def test_outside_training_what_can_be_scored_is_only_suspect(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for split in ("train", "test"):
        corpus.plant("silent", split, f"silent-{split}.wav", np.zeros(2 * RATE))
    corpus.write()
    severities = {finding.file.name: finding.severity for finding in run_check(tmp_path).findings if finding.file}
    assert severities == {"silent-train.wav": UNUSABLE, "silent-test.wav": SUSPECT}


def test_command_line(planted: Corpus) -> None:
    planted.lines["train"].append(
        '{"audio_filepath": "train-0.wav", "text": "lone \\ud800 surrogate", "id": "\\udc80"}'
    )
    planted.write()
    (planted.folder / "c.yaml").write_text("data: {train: train.jsonl, validation: v.jsonl}\nmodel: {subsampling: 4}\n")
    arguments = ["check", "train.jsonl", "test.jsonl", "--config", "c.yaml", "-o", "out/table.jsonl"]
    done = run_asr(*arguments, cwd=planted.folder)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    unusable = 1 + sum(severity == UNUSABLE for severity, _ in VERDICTS.values())  # one line each, and the surrogate
    assert done.stderr.splitlines()[-1] == f"asr: {unusable} lines are unusable; training leaves them out"
    assert "training is train" in done.stdout and len(done.stdout.splitlines()) < 80
    table = [json.loads(line) for line in (planted.folder / "out/table.jsonl").read_text("utf-8").split("\n")[:-1]]
    findings = [row for row in table if row["kind"] == "finding"]
    assert {row["verdict"] for row in findings} == set(VERDICTS)
    for row in findings:
        assert row["found"] and row["cure"] and (row["file"] or row["manifest"])
    lines = {row["id"]: row["figures"] for row in table if row["kind"] == "line"}
    assert lines["offset.wav"]["dc_offset"] == pytest.approx(0.05, abs=1e-3)
    assert lines["dead.wav"]["channels"] == 2 and lines["telephone.wav"]["sample_rate"] == 8000
    twin = next(row for row in table if row["kind"] == "character" and row["glyph"] == "а")
    assert twin["flags"] == ["look-alike", "singleton", "only outside training"]

    healthy = planted.folder / "healthy"
    healthy.mkdir()
    Corpus(healthy).write()
    done = run_asr("check", "train.jsonl", "test.jsonl", "--config", "no.yaml", cwd=healthy)
    assert (done.returncode, done.stdout) == (1, "")
    done = run_asr("check", "train.jsonl", "test.jsonl", cwd=healthy)
    assert done.returncode == 0 and "unusable: 0" in done.stdout and "suspect: 0" in done.stdout
    done = run_asr("check", "train.jsonl", "-o", "train.jsonl/x", cwd=healthy)
    assert done.returncode == 1 and "cannot write the table" in done.stderr


def test_results_are_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(tmp_path)
    corpus.write()
    first = run_check(tmp_path)
    decoded: list[str] = []

    def spy(path: Path, parts: object) -> list[object]:
        decoded.append(path.name)
        return inspect_file(path, parts)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(check_files, "inspect_file", spy)
    assert run_check(tmp_path) == first and decoded == []
    samples, _ = soundfile.read(tmp_path / "train-1.wav")
    soundfile.write(tmp_path / "train-1.wav", 0 * samples, RATE)
    assert [finding.verdict for finding in run_check(tmp_path).findings] == ["silent"]
    assert decoded == ["train-1.wav"]
    for garbage in (b"", b"\xff\n", b'{"format": 0}\n', b'{"format": 1}\n[1]\n'):
        (tmp_path / "train.jsonl.checked").write_bytes(garbage)
        decoded.clear()
        run_check(tmp_path)
        assert len(decoded) == 24


def test_parallel_processes_give_the_same_and_load_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Corpus(tmp_path).write()
    first = run_check(tmp_path)
    for cache in tmp_path.glob("*.checked"):
        cache.unlink()
    monkeypatch.setattr(check_files, "_FILES_PER_PROCESS", 1)
    monkeypatch.setattr(check_files, "cpu_count", lambda: 2)
    assert run_check(tmp_path) == first
    code = "import asr.corpus.check_report, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def figures(path: Path, part: tuple[float, float | None] = (0.0, None)) -> Figures:
    (inspection,) = inspect_file(path, [part])
    assert inspection.figures is not None, inspection
    return inspection.figures


def test_figures_against_plain_numpy(tmp_path: Path) -> None:
    """On a recording of several blocks, whole and in parts."""
    stereo = np.stack([speech(40.0, 1), 0.3 * speech(40.0, 2) + 0.002], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, RATE)
    samples, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
    for start, stop in ((0, 40), (0.5, 39.25), (17, 17.5)):
        cut = samples[round(start * RATE) : round(stop * RATE)]
        result = figures(tmp_path / "x.wav", (start, stop - start))
        mono, levels = cut.mean(axis=1), cut.std(axis=0)
        assert (result.num_samples, result.channels, result.bits) == (len(cut), 2, 16)
        assert result.peak == pytest.approx(np.abs(cut).max(), abs=1e-5)
        assert result.rms == pytest.approx(mono.std(), rel=1e-3)
        assert result.dc_offset == pytest.approx(cut.mean(axis=0)[1], abs=1e-5)
        assert result.balance == pytest.approx(levels[1] / levels[0], rel=1e-3)
        assert result.correlation == pytest.approx(np.corrcoef(cut.T)[0, 1], abs=1e-3)


def test_clipping_counts_flat_tops_not_loud_ones(tmp_path: Path) -> None:
    flat = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)  # 160 samples a period
    soundfile.write(tmp_path / "x.wav", (2 * flat).clip(-0.9, 0.9), RATE)
    share = 1 - 2 * np.arcsin(0.45) / np.pi
    assert figures(tmp_path / "x.wav").clipped == pytest.approx(share, abs=0.02)
    soundfile.write(tmp_path / "x.wav", 0.999 * np.sin(2 * np.pi * 1000.3 * np.arange(RATE) / RATE), RATE)
    assert figures(tmp_path / "x.wav").clipped == 0


def test_same_content_in_every_lossless_format(tmp_path: Path) -> None:
    contents = set()
    for container, subtype in (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16")):
        path = tmp_path / f"x.{subtype}"
        path.write_bytes(encoded(np.round(speech(1.0, 3) * 32768) / 32768, container, subtype))
        contents.add(figures(path).content)
    assert len(contents) == 1
    soundfile.write(tmp_path / "y.wav", speech(1.0, 4), RATE)
    assert figures(tmp_path / "y.wav").content not in contents


def test_what_lies_before_damage_is_usable(tmp_path: Path) -> None:
    whole = encoded(speech(10.0, 5), "FLAC", "PCM_16")
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    early, late, all_of_it = inspect_file(tmp_path / "cut.flac", [(0.5, 2.0), (6.0, 2.0), (0.0, None)])
    assert early.figures and early.figures.duration == 2.0
    assert late.fault == all_of_it.fault and late.fault in ("truncated", "unreadable")


def test_overlapping_parts_across_splits_are_the_same_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", speech(20.0, 6), RATE)
    parts = {"train": [(0, 3), (4, 3)], "test": [(8, 3), (6.5, 1)]}
    for split, spans in parts.items():
        rows = [
            {"audio_filepath": "long.wav", "text": f"{split} at {start}", "offset": start, "duration": duration}
            for start, duration in spans
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (finding,) = run_check(tmp_path).findings
    assert finding.verdict == "duplicate audio" and finding.id == "long.wav@6.5"
    assert finding.found == f"overlaps {tmp_path / 'train.jsonl'}:2, in train and test"


def test_resampled_length_is_that_of_the_audio_loaded() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        source, target = (int(rate) for rate in generator.choice([8000, 11025, 16000, 22050, 24000, 44100, 48000], 2))
        samples = np.zeros(int(generator.integers(100, 9000)), np.float32)
        assert len(load_audio(samples, target, source_rate=source)) == resampled_length(len(samples), source, target)


# Text ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("plain, ASCII\ttext\r\n", ""),
        ("na\u00efve \u4f60\u597d \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ""),
        ("a\u200bb\ufeffc\u00add", "\u200b\ufeff\u00ad"),
        ("bell\x07 \ufffd \ue000 \u202e", "\x07\ufffd\ue000\u202e"),
    ],
)
def test_hidden_characters(text: str, hidden: str) -> None:
    assert set(hidden_characters(text)) == set(hidden)


def test_look_alikes_are_not_orthographies() -> None:
    latin = ["kata kama", "mat\u0430"]  # a Cyrillic а among Latin ones
    scripts = Scripts(latin)
    assert [*scripts.foreign_letters(latin[1])] == [("mat\u0430", "\u0430")] and scripts.is_look_alike("\u0430")
    russian = Scripts(["\u043a\u043e\u0442 \u043c\u0430\u043c\u0430 \u043b\u0430\u043ca", "cat"])
    assert [letter for _, letter in russian.foreign_letters("\u043b\u0430\u043ca")] == ["a"]
    assert russian.is_look_alike("a") and not [*russian.foreign_letters("\u043a\u043e\u0442 cat")]
    # A Greek epsilon that is the only one a Latin orthography has is no slip; beside a Latin one it is.
    assert not Scripts(["bh\u03b5\u03b5"]).is_look_alike("\u03b5")
    assert Scripts(["bh\u03ad", "b\u025b"]).is_look_alike("\u03ad")


def test_character_table() -> None:
    rows = [("train", "t:1", "kata 7"), ("train", "t:2", "kata"), ("test", "v:1", "k\u0101t\u0430")]
    scripts = Scripts(text for *_, text in rows)
    table = {row.glyph: row for row in character_table(rows, "train", scripts, list)}
    assert table["k"].counts == {"train": 2, "test": 1} and table["k"].flags == [] and table["k"].first == "t:1"
    assert table["7"].flags == ["digit", "singleton"]
    assert table["\u0101"].flags == ["singleton", "only outside training"]
    assert table["\u0430"].flags == ["look-alike", "singleton", "only outside training"]
    graphemes = character_table([("train", "t:1", "x")], "train", scripts, lambda text: ["e\u0331\u0301"])
    assert graphemes[0].code_points == "U+0065 U+0331 U+0301"
    assert graphemes[0].name == "LATIN SMALL LETTER E + COMBINING MACRON BELOW + COMBINING ACUTE ACCENT"


def test_unknown_words() -> None:
    texts = {"train": ["a b", "c"], "test": ["a d d", "b"], "validation": []}
    assert unknown_words(texts, "train") == {"test": (2, 4), "validation": (0, 0)}


def test_usual_speeds_ignore_the_outliers_themselves() -> None:
    generator = np.random.default_rng(0)
    speeds = 12 * np.exp(0.1 * generator.standard_normal(100))
    low, high = usual_speeds([*speeds, 0.1, 0.2, 500, 700])
    assert low == pytest.approx(6, rel=0.1) and high == pytest.approx(24, rel=0.1)
    assert usual_speeds([10] * 30) == pytest.approx((5, 20))
    assert usual_speeds([1, 100]) == (0, float("inf"))


def test_the_training_split_is_named_so_or_the_first() -> None:
    assert name_splits([Path("a/test.jsonl"), Path("a/train-clean.jsonl")])[1] == "train-clean"
    assert name_splits([Path("a/x.jsonl"), Path("b/x.jsonl")]) == (
        {"a/x.jsonl": [Path("a/x.jsonl")], "b/x.jsonl": [Path("b/x.jsonl")]},
        "a/x.jsonl",
    )


def test_every_verdict_is_documented() -> None:
    page = (REPOSITORY / "docs" / "check.md").read_text(encoding="utf-8")
    for verdict, (severity, cure) in VERDICTS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {verdict} |"))
        assert f"| {severity} |" in row and row.endswith(f"| {cure} |")


# Hostile files ------------------------------------------------------------------------------------------------

SOUND = speech(1.0, 7, 8000)
FORMATS = {
    "wav": encoded(SOUND, "WAV", "PCM_16", 8000),
    "wav-extensible": encoded(np.outer(SOUND, (1, 0.5)), "WAVEX", "PCM_24", 8000),
    "wav-float": encoded(SOUND, "WAV", "FLOAT", 8000),
    "flac": encoded(SOUND, "FLAC", "PCM_16", 8000),
    "vorbis": encoded(SOUND, "OGG", "VORBIS", 8000),
    "opus": encoded(SOUND, "OGG", "OPUS", 8000),
    "aiff": encoded(SOUND, "AIFF", "PCM_16", 8000),
}


@pytest.mark.parametrize("name", FORMATS)
@settings(
    max_examples=40, deadline=20_000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    flips=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255) | st.sampled_from([0, 0x7F, 0x80, 0xFF]))),
    length=st.none() | st.integers(0, 8000),
)
def test_damaged_headers_end_in_a_verdict(
    name: str, flips: list[tuple[int, int]], length: int | None, tmp_path: Path
) -> None:
    content = bytearray(FORMATS[name])
    for position, value in flips:
        content[position % len(content)] = value
    path = tmp_path / "damaged"
    path.write_bytes(content[:length])
    tracemalloc.start()
    try:
        (inspection,) = inspect_file(path, [(0.0, None)])
        try:
            assert np.isfinite(load_audio(path, 16000)).all()
        except AudioError as error:
            assert str(path) in str(error)
            assert inspection.fault in ("", error.fault)
        else:
            assert inspection.figures
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert inspection.figures or (inspection.fault in VERDICTS and inspection.message)


def flac_that_promises(samples: int) -> bytes:
    content = bytearray(FORMATS["flac"])
    content[21:26] = bytes([content[21] & 0xF0 | samples >> 32]) + (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def wave64_that_promises(size: int) -> bytes:
    content = bytearray(encoded(SOUND, "W64", "PCM_16", 8000))
    at = content.index(b"data") + 16
    content[at : at + 8] = size.to_bytes(8, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        lambda: wav(bytes(1000), 2**31 - 1000),
        lambda: flac_that_promises(2**31),
        lambda: flac_that_promises(2**36 - 1),
        lambda: wave64_that_promises(2**40),
        lambda: encoded(SOUND, "AU", "PCM_16", 8000).replace(struct.pack(">I", 16000), struct.pack(">I", 2**31), 1),
        lambda: wav(SOUND.astype("<i2").tobytes(), 16000, rate=1),
    ],
    ids=["wav", "flac", "flac-most", "w64", "au", "1-hertz"],
)  # fmt: skip
def test_a_header_that_promises_gigabytes_costs_no_memory(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "boast"
    path.write_bytes(make())
    tracemalloc.start()
    (inspection,) = inspect_file(path, [(0.0, None)])
    try:
        load_audio(path, 16000)
    except AudioError:
        assert inspection.fault
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert inspection.fault or inspection.figures


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        for number in range(3):
            file.write(speech(60.0, number))
    tracemalloc.start()
    inspections = inspect_file(tmp_path / "long.flac", [(float(start), 10.0) for start in range(0, 180, 10)])
    assert tracemalloc.get_traced_memory()[1] < 4e6  # all of it would be 11.5 MB
    tracemalloc.stop()
    assert all(inspection.figures and inspection.figures.duration == 10 for inspection in inspections)


def test_folders_pipes_and_odd_names(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for name in ("folder.wav", "x" * 300, "lone \ud800 surrogate"):
        (inspection,) = inspect_file(tmp_path / name, [(0.0, None)])
        assert inspection.fault in ("unreadable", "missing audio") and inspection.message
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        assert inspect_file(tmp_path / "pipe.wav", [(0.0, None)])[0].fault == "unreadable"


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="no such manifest"):
        run_check(tmp_path)


def test_feasibility_counts_the_units_of_the_configuration(tmp_path: Path) -> None:
    """Forty digraphs fit into 2 s at 30 ms a frame; the eighty characters they are written with do not."""
    corpus = Corpus(tmp_path)
    corpus.add("train", "digraphs.wav", speech(2.0, 7), "ngny" * 20)
    corpus.write()
    (tmp_path / "units.txt").write_text("ng\nny\n")
    data = {"train": "", "validation": ""}
    found = []
    for text in ({}, {"units_file": str(tmp_path / "units.txt")}):
        config = Config.model_validate({"data": data, "features": {"sample_rate": RATE}, "text": text})
        report = check({"train": [tmp_path / "train.jsonl"]}, training="train", **settings_of(config))
        found.append([str(f.found) for f in report.findings if f.verdict == "infeasible for CTC"])
    assert found == [["80 units + 0 repeats need 80 frames, the audio gives 67"], []]
