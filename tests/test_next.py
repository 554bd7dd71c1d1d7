"""What to transcribe next: a greedy choice by brute force, silence and transcripts left out, ELAN files, refusals."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, fresh_recognizer, spell
from processes import run_asr
from pympi.Elan import Eaf

from asr.api import load_transcriber
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AsrError, ConfigError
from asr.exporting.onnx import to_onnx
from asr.learning.candidates import Candidate, find_candidates
from asr.learning.next import suggest, transcripts_of, write_suggestions
from asr.learning.ranking import Known, choose
from asr.learning.transcribed import Transcribed, without_copies
from asr.model_file import read_metadata
from asr.recognition.recognizer import Recognizer
from asr.recognition.trained_lengths import TrainedLengths
from asr.transcript import Word
from asr.utterance import Utterance

NOTHING = Known(Counter(), frozenset(), frozenset())


def candidate(
    name: str, units: Sequence[int], doubt: float = 0.5, seconds: float = 2.0, start: float = 0.0
) -> Candidate:
    words = tuple(Word(str(unit), start, start + seconds, 0.5) for unit in units)
    return Candidate(
        Utterance(name, Path(f"/{name}.wav")), start, start + seconds, tuple(units), (doubt,) * len(units), words
    )


def value(chosen: Sequence[Candidate], everything: Sequence[Candidate], known: Known) -> float:
    """The value of a set, written down anew: the sum of sqrt(occurrences) (sqrt(examples) - sqrt(examples before))."""
    doubts = [d for one in everything for d in one.doubts]
    mean = sum(doubts) / len(doubts)

    def patterns(one: Candidate) -> list[tuple[object, float]]:
        edged, doubts = [0, *one.units, 0], [one.doubts[0], *one.doubts, one.doubts[-1]]
        threes = [(tuple(edged[i : i + 3]), sum(doubts[i : i + 3]) / 3) for i in range(len(one.units))]
        return threes + [((one.voice, unit), doubt) for unit, doubt in zip(one.units, one.doubts, strict=True)]

    occurrences = Counter(pattern for one in everything for pattern, _ in patterns(one))
    examples: Counter[object] = Counter()
    for one in chosen:
        for pattern, doubt in patterns(one):
            examples[pattern] += doubt / mean  # type: ignore[assignment]
    before = known.patterns
    return sum(
        sqrt(occurrences[p]) * (sqrt(before[p] + count) - sqrt(before[p]))  # type: ignore[index]
        for p, count in examples.items()
    )


def test_each_choice_adds_most_value_for_its_seconds() -> None:
    generator = np.random.default_rng(0)
    pool = [
        replace(
            candidate(f"{i % 3}", generator.integers(1, 5, length := generator.integers(2, 8)).tolist(),
                      seconds=float(generator.uniform(1, 4)), start=10.0 * i),
            doubts=tuple(generator.uniform(0.1, 0.9, length)),
        )
        for i in range(12)
    ]  # fmt: skip
    known = Known.of([("1 2", [1, 2, 3], "/0.wav"), ("3", [2, 2, 1], "x")])
    chosen = list(choose(pool, known, seconds=14.0))
    left, taken, seconds = list(pool), list[Candidate](), 14.0
    for choice in chosen:  # a greedy choice without a queue and without differences
        fitting = [one for one in left if one.seconds <= seconds]
        gains = [(value([*taken, one], pool, known) - value(taken, pool, known)) / (one.seconds + 1) for one in fitting]
        best = fitting[int(np.argmax(gains))]
        assert choice.candidate is best and choice.gain == pytest.approx(max(gains))
        taken.append(best)
        left.remove(best)
        seconds -= best.seconds
    assert not [one for one in left if one.seconds <= seconds] and sum(one.seconds for one in taken) <= 14.0
    found = value(taken, pool, known)
    sets = [some for size in range(1, 5) for some in combinations(pool, size) if sum(o.seconds for o in some) <= 14]
    assert found >= 0.63 * max(value(some, pool, known) for some in sets)


def test_doubt_density_and_novelty_come_first() -> None:
    plain = candidate("a", [1, 2, 3])
    hard = candidate("b", [1, 2, 3], doubt=0.9)
    assert next(choose([plain, hard], NOTHING, 9)).candidate is hard
    quick = candidate("c", [1, 2, 3], seconds=1.0)
    assert next(choose([plain, quick], NOTHING, 9)).candidate is quick
    known = Known.of([("1 2 3", [1, 2, 3], "/a.wav")] * 5)
    other = candidate("a", [3, 4, 4])
    first, second = choose([plain, other], known, 9)
    assert first.candidate is other and (first.new_words, second.new_words) == (1, 0)
    assert not first.new_voice and next(choose([candidate("z", [1])], known, 9)).new_voice
    copies = [candidate("a", [1, 2, 3], start=10.0 * i) for i in range(3)]
    order = [one.candidate for one in choose([*copies, other], NOTHING, 6)]
    assert other in order[:2]  # a second copy teaches less than something new
    assert list(choose([], NOTHING, 9)) == []
    certain = [candidate("a", [1, 2], doubt=0.0), candidate("b", [1], doubt=0.0)]
    assert len(list(choose(certain, NOTHING, 9))) == 2


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return fresh_recognizer("abc ")


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of tones: a talk with a pause, another one, silence, noise, and a file that is no recording."""
    folder, generator = tmp_path_factory.mktemp("talks"), np.random.default_rng(0)
    pause = 0.003 * generator.standard_normal(2 * RATE)
    talk = np.concatenate([pause, spell("abcabc", generator), pause, spell("ccbbaa", generator), pause])
    soundfile.write(folder / "talk.wav", talk, RATE)
    soundfile.write(folder / "one.wav", spell("bacbac", generator), RATE)
    soundfile.write(folder / "silence.wav", np.zeros(3 * RATE), RATE)
    soundfile.write(folder / "noise.wav", 0.05 * generator.standard_normal(3 * RATE), RATE)
    (folder / "broken.wav").write_text("no recording")
    return folder


def recordings(folder: Path) -> list[Utterance]:
    return [Utterance(path.name, path) for path in sorted(folder.glob("*.wav"))]


def test_candidates_are_speech_with_its_bounds(model: Recognizer, talks: Path) -> None:
    with short_pieces(model):
        pool = find_candidates(model, recordings(talks))
    assert {one.utterance.id for one in pool.candidates} == {"one.wav", "talk.wav"}
    assert [str(error).partition(":")[0] for error in pool.errors] == [str(talks / "broken.wav")]
    assert pool.silent > 6 + 3 * 1.4
    for one in pool.candidates:
        assert len(one.units) == len(one.doubts) and all(0 <= doubt <= 1 for doubt in one.doubts)
        assert 0 <= one.start < one.end
        if one.utterance.id == "talk.wav":  # speech is from 2.0 to 3.1 s and from 5.1 to 6.2 s
            assert one.start > 1.7 and one.end < 6.5 and not (one.start < 3.4 and one.end > 4.8)
    offset = find_candidates(model, [Utterance("part", talks / "talk.wav", offset=4.0, duration=4.0)]).candidates
    assert all(one.start > 4.9 - 0.2 and one.end < 6.5 for one in offset) and len(offset) == 1
    assert all(4.0 <= word.start < word.end <= 8.0 for word in offset[0].words)


@contextmanager
def short_pieces(model: Recognizer) -> Iterator[None]:
    """Let the model divide recordings longer than a second, at pauses of half a second."""
    before, model.trained_lengths = model.trained_lengths, TrainedLengths(longest=1.0, pause=0.5)
    yield
    model.trained_lengths = before


def test_what_is_transcribed_is_left_out_under_any_name(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    samples, _ = soundfile.read(talks / "one.wav", dtype="int16")
    soundfile.write(tmp_path / "other name.flac", samples, RATE, subtype="PCM_16")
    shutil.copy(talks / "talk.wav", tmp_path / "copy.wav")
    done = [Utterance("x", talks / "one.wav", "bacbac"), Utterance("y", talks / "talk.wav", "abc", 1.5, 1.8)]
    transcribed = Transcribed([*done, Utterance("z", talks / "talk.wav", None, 5.0, 2.0)])
    assert transcribed.spans(Utterance("f", tmp_path / "other name.flac")) == [(0.0, float("inf"))]
    assert transcribed.spans(Utterance("c", tmp_path / "copy.wav")) == [(1.5, 3.3)]
    assert transcribed.spans(Utterance("n", talks / "noise.wav")) == ()
    assert transcribed.spans(Utterance("b", talks / "broken.wav")) == ()
    assert {path.name: original.name for path, original in transcribed.copies.items()} == {
        "other name.flac": "one.wav",
        "copy.wav": "talk.wav",
    }
    kept, copies = without_copies([*recordings(talks), *recordings(tmp_path)])
    assert [one.id for one in kept] == [path.name for path in sorted(talks.glob("*.wav"))]
    assert {path.name: original.name for path, original in copies.items()} == {"copy.wav": "talk.wav"}

    said: list[str] = []
    asked = [*recordings(tmp_path), Utterance("t", talks / "one.wav", "abc")]
    with short_pieces(model):
        found, failed = suggest(model, asked, done, 600, said.append)
    assert found and not failed and all(one.choice.candidate.start > 4.5 for one in found)
    assert any(line.startswith("copies of transcribed recordings, left out: ") for line in said)
    assert "1 line has a text already, and is left out" in said
    with pytest.raises(AsrError, match="nothing is left to transcribe"):
        suggest(model, [Utterance("s", talks / "silence.wav")], done, 600, said.append)
    assert "0 segments to choose from, 0 s; 3 s are silence or noise" in said


def test_the_command_writes_elan_files_that_prepare_reads(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    arguments = ("next", "model.safetensors", talks, "--minutes", 5, "--transcribed", "done.jsonl")
    write_manifest(tmp_path / "done.jsonl", [Utterance("x", talks / "noise.wav", "abc abc")])
    listed = run_asr(*arguments, cwd=tmp_path)
    assert listed.returncode == 1, listed.stderr  # for broken.wav, which stops no other
    assert listed.stderr.splitlines()[-1] == "asr: 1 of 5 recordings could not be read, and are named above"
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert {Path(row[0]).name for row in rows} == {"one.wav", "talk.wav"}
    assert all(float(row[1]) < float(row[2]) and "letters in doubt: " in row[3] for row in rows)
    assert "broken.wav" in listed.stderr and "next: " not in listed.stderr
    for option, count in (("--empty", 0), (None, len(rows))):
        out = tmp_path / f"out {option}"
        done = run_asr(*arguments, "-o", out, *([option] if option else []), cwd=tmp_path)
        assert done.returncode == 1 and done.stdout == listed.stdout
        assert done.stderr.splitlines()[-2].startswith("next: correct the files, then asr prepare ")
        lines = read_manifest(out / "next.jsonl")
        assert [(str(u.audio), f"{u.offset:.2f}") for u in lines] == [(row[0], row[1]) for row in rows]
        assert all(u.text is None and u.extra["reason"] for u in lines)
        bounds = []
        for path in sorted(out.glob("*.eaf")):
            annotations = Eaf(path).get_annotation_data_for_tier("asr")
            bounds += [(path.stem, start, end) for start, end, _ in annotations]
            assert annotations == sorted(annotations)
            assert sum(bool(text) for _, _, text in annotations) == (len(annotations) if count else 0)
        wanted = [(u.audio.stem, 1000 * u.offset, 1000 * (u.offset + (u.duration or 0.0))) for u in lines]
        assert sorted(bounds) == [(name, round(start), round(end)) for name, start, end in sorted(wanted)]
    again = run_asr(*arguments, "-o", out, cwd=tmp_path)
    assert again.returncode == 1 and again.stdout == "" and "holds an earlier choice" in again.stderr
    (out / "next.jsonl").unlink()
    again = run_asr(*arguments, "-o", out, cwd=tmp_path)
    assert again.returncode == 1 and "is there already, and may hold your transcripts" in again.stderr
    path = next((tmp_path / "out --empty").glob("*.eaf"))
    eaf = Eaf(path)
    start, end, _ = eaf.get_annotation_data_for_tier("asr")[0]
    eaf.remove_annotation("asr", start + 1)
    eaf.add_annotation("asr", start, end, "abc")
    eaf.to_file(str(path))
    prepared = run_asr("prepare", "out --empty", "-o", "data/new", "--tier", "asr", "--split", "1", cwd=tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    (line,) = [one for file in (tmp_path / "data/new").glob("*.jsonl") for one in read_manifest(file)]
    assert line.text == "abc" and line.offset == pytest.approx(start / 1000, abs=0.001)


def test_refusals(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    refused = run_asr("next", "model.safetensors", talks, "--empty", cwd=tmp_path)
    assert refused.returncode == 1 and "--empty: goes with -o DIR" in refused.stderr
    refused = run_asr("next", "model.safetensors", "-", cwd=tmp_path)
    assert refused.returncode == 1 and "-: standard input has no name" in refused.stderr
    with pytest.raises(AsrError, match=r"the shortest segment lasts 1\.\d s, longer than all that may be chosen"):
        suggest(model, [Utterance("one", talks / "one.wav")], [], 0.5, print)
    said: list[str] = []
    config = model.config
    assert transcripts_of(config, [], said.append) == [] and "--transcribed" in said[0] and len(said) == 2
    assert read_metadata(tmp_path / "model.safetensors")["config"]["data"]["train"] == ["t.jsonl"]

    class Attention(Recognizer):
        has_ctc = False

    attention = Attention(config, model.units)
    with pytest.raises(ConfigError, match="has no CTC output"):
        find_candidates(attention, recordings(talks))


def test_the_choice_is_deterministic_and_files_equal(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    names = {path: Path(path.stem) for path in talks.glob("*.wav")}
    contents = []
    for number in range(2):
        found, failed = suggest(model, recordings(talks), [], 600, lambda line: None)
        assert [str(error).partition(":")[0] for error in failed] == [str(talks / "broken.wav")]
        files = write_suggestions(tmp_path / f"{number}" / "x", found, names, empty=False)
        contents.append([(tmp_path / f"{number}" / "x" / "next.jsonl").read_bytes()])
        assert [path.name for path in files] and json.loads(contents[-1][0].splitlines()[0])["gain"] > 0
    assert contents[0] == contents[1]


def test_an_exported_model_chooses_alike(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    with short_pieces(model):
        (tmp_path / "model.onnx").write_bytes(to_onnx(model))
        ours, _ = suggest(model, recordings(talks), [], 600, lambda line: None)
    theirs, _ = suggest(load_transcriber(tmp_path / "model.onnx"), recordings(talks), [], 600, lambda line: None)
    assert [(one.choice.candidate.start, one.choice.candidate.units) for one in theirs] == [
        (one.choice.candidate.start, one.choice.candidate.units) for one in ours
    ]
    assert [one.choice.gain for one in theirs] == pytest.approx([one.choice.gain for one in ours], rel=1e-3)


def test_links_in_a_circle_and_odd_names_stop_nothing(model: Recognizer, talks: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    folder = tmp_path / "field"
    folder.mkdir()
    (folder / "loop.wav").symlink_to("loop.wav")
    shutil.copy(talks / "one.wav", os.fsencode(folder) + b"/t\xff.wav")
    arguments = ("next", "model.safetensors", "field", "--transcribed", "done.jsonl")
    write_manifest(tmp_path / "done.jsonl", [Utterance("x", folder / "loop.wav", "abc")])
    done = run_asr(*arguments, "-o", "out", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "asr: field/loop.wav: is a link to loop.wav, which does not exist" in done.stderr
    (line, *_) = read_manifest(tmp_path / "out" / "next.jsonl")
    assert line.audio.name == "t\\xff.wav" and line.id.startswith("t\\xff@")
    assert len(list((tmp_path / "out").glob("*.eaf"))) == 1
