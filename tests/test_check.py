"""The check of a corpus: every planted fault is found and nothing else; the command, the cache, the parallel run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY
from planted import RATE, Corpus, encoded, run_check, sentence, speech, wav
from processes import run_asr

from asr.config import Config
from asr.corpus import check_files
from asr.corpus.check import check, name_splits, settings_of
from asr.corpus.check_audio import inspect_file
from asr.corpus.check_verdicts import SUSPECT, UNUSABLE, VERDICTS
from asr.errors import AsrError


@pytest.fixture
def planted(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path)
    plant, healthy = corpus.plant, speech(2.0, 999)
    plant("unreadable", "train", "unreadable.wav", b"This is not a recording.\n" * 20)
    plant("zero length", "train", "empty.wav", b"")
    plant("header only", "train", "header.wav", wav(b"", 0))
    plant("truncated", "train", "truncated.wav", wav(bytes(2 * round(3.1 * RATE)), 2 * 8 * RATE))
    longer = encoded(speech(2.5, 1009), "WAV", "PCM_16")
    plant("doubtful length", "train", "longer.wav", wav(longer[44:], 2 * 2 * RATE))
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
    corpus.add("train", "two.wav", speech(4.0, 1008), duration=2.5)
    plant("overlapping speech", "train", "two.wav", speech(4.0, 1008), offset=2.0, duration=2.0)
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
    assert {verdict for verdict, _ in found} == set(VERDICTS) - {"no words"}  # of data.train_on_empty
    messages = {finding.verdict: finding.found for finding in report.findings}
    assert messages["truncated"] == "its header promises 8.0 s, the data holds 3.1 s"
    assert messages["infeasible for CTC"] == "77 units + 3 repeats need 80 frames, the audio gives 76"
    assert "'а' is U+0430 CYRILLIC SMALL LETTER A" in messages["look-alike letters"]
    assert "U+200B, ZERO WIDTH SPACE" in messages["hidden characters"]
    assert "the file ends at 2.00 s" in messages["beyond the end"]
    assert re.fullmatch(r"overlaps .*train.jsonl:\d+", messages["overlapping speech"])
    # Training uses every line except the unusable ones.
    names = {utterance.audio.name for utterance in report.usable("train")}
    unusable = {subject for verdict, subject in planted.expected if VERDICTS[verdict][0] == UNUSABLE}
    lines = {json.loads(line)["audio_filepath"] for line in planted.lines["train"] if line != "{oops"}
    assert names == lines - unusable


def test_a_healthy_corpus_has_no_findings(tmp_path: Path) -> None:
    Corpus(tmp_path).write()
    assert run_check(tmp_path).findings == []


def test_the_only_speaker_of_a_corpus_may_be_in_all_splits(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for split, rows in corpus.lines.items():
        corpus.lines[split] = [json.dumps({**json.loads(row), "speaker": "ana"}) for row in rows]
    corpus.write()
    assert run_check(tmp_path).findings == []


def test_lines_that_can_be_scored_are_only_suspect_outside_training(tmp_path: Path) -> None:
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
    assert {row["verdict"] for row in findings} == set(VERDICTS) - {"no words"}
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
    assert done.returncode == 1 and "cannot be written" in done.stderr


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


def test_the_training_split_is_named_train_or_is_the_first() -> None:
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


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="no such manifest"):
        run_check(tmp_path)


def test_feasibility_counts_the_units_of_the_configuration(tmp_path: Path) -> None:
    """Forty digraphs fit into 2 s at 30 ms per frame; their eighty characters do not."""
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
