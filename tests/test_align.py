"""Alignment of whole recordings, with log-probabilities made here in place of a model's."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import fresh_recognizer

import asr.recognition.align
from asr.decoding.times import LINGER
from asr.errors import AsrError
from asr.recognition.align import align, spell, well_aligned
from asr.recognition.longform import RecordingEnd, SegmentFrames
from asr.recognition.recognizer import Recognizer

STRIDE = 0.04  # seconds of a frame of the recogniser below


def say(recognizer: Recognizer, said: list[tuple[str, int]], frames: int) -> torch.Tensor:
    """Log-probabilities of words that begin at frames: two frames a letter, a space before, blank elsewhere."""
    probabilities = torch.full((frames, len(recognizer.units)), 0.0005)
    probabilities[:, 0] = 1.0
    for word, first in said:
        for number, unit in enumerate(recognizer.units.encode(" " + word)):
            rows = slice(first + 2 * number - 2, first + 2 * number)
            probabilities[rows, 0] = 0.0005
            probabilities[rows, unit] = 1.0
    return (probabilities / probabilities.sum(dim=1, keepdim=True)).log()


@pytest.fixture
def recognizer() -> Recognizer:
    return fresh_recognizer("abcdefgh ")


SAID = [("abc", 10), ("de", 30), ("fgh", 60), ("bad", 80), ("cafe", 120)]


def hear(
    monkeypatch: pytest.MonkeyPatch,
    recognizer: Recognizer,
    said: list[tuple[str, int]] = SAID,
    seconds: float = 150 * STRIDE,
) -> None:
    """A recording of `seconds` in two segments of 150 frames, with a pause between that no segment covers."""
    rows = say(recognizer, said, 150)
    parts = [SegmentFrames(rows[2:100], 2), SegmentFrames(rows[110:], 110), RecordingEnd(seconds)]
    monkeypatch.setattr(asr.recognition.align, "compute", lambda *_: iter([(None, part) for part in parts]))


def test_words_stand_where_they_are_said(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> None:
    hear(monkeypatch, recognizer)
    found = align(recognizer, "x.wav", "Abc, de fgh\n\nbad — cafe!")
    words = found.transcript.words
    assert [word.text for word in words] == ["Abc,", "de", "fgh", "bad —", "cafe!"]
    assert [round(word.start / STRIDE + 0.5) for word in words] == [frame for _, frame in SAID]
    ends = [(frame + 2 * len(text) - 0.5) * STRIDE + LINGER for text, frame in SAID]
    assert [word.end for word in words] == pytest.approx(ends)
    assert all(word.confidence > 0.8 for word in words)
    assert (found.unspoken, found.unwritten) == ((), ())
    assert found.report() == ["5 of 5 words found"]


def test_the_last_word_ends_with_the_recording(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> None:
    hear(monkeypatch, recognizer, seconds=5.12)  # 0.02 s after the last frame of "cafe"
    found = align(recognizer, "x.wav", "abc de fgh bad cafe")
    assert found.transcript.words[-1].end == 5.12
    assert well_aligned(found, Path("x.wav"), "x")[-1].offset < 5.12


def test_what_is_not_said_and_not_written_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer
) -> None:
    hear(monkeypatch, recognizer)
    found = align(recognizer, "x.wav", "abc de hahaha gaga bad cafe bebe")
    assert [word.text for word in found.transcript.words] == ["abc", "de", "bad", "cafe"]
    assert found.unspoken == ("hahaha", "gaga", "bebe")
    ((start, end),) = found.unwritten
    assert abs(start / STRIDE - 60) < 3 and abs(end / STRIDE - 66) < 3
    assert [[word.text for word in group] for group in found.groups] == [["abc", "de"], ["bad", "cafe"]]
    assert found.report()[:2] == ["4 of 7 words found", "not spoken: hahaha gaga bebe"]
    segments = well_aligned(found, Path("x.wav"), "x")
    assert [segment.text for segment in segments] == ["abc", "de", "bad", "cafe"]  # 0.4 s and more between them
    for segment, (_, frame) in zip(segments, [SAID[0], SAID[1], SAID[3], SAID[4]], strict=True):
        assert segment.offset == pytest.approx((frame - 0.5) * STRIDE - 0.1, abs=0.002)
        assert segment.duration is not None and segment.offset + segment.duration <= 150 * STRIDE


def test_segments_to_train_on_are_sure_and_short(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> None:
    hear(monkeypatch, recognizer)
    found = align(recognizer, "x.wav", "abc de fgh bad cafe")
    monkeypatch.setattr(asr.recognition.align, "_PAUSE", 100.0)
    assert [segment.text for segment in well_aligned(found, Path("x.wav"), "x")] == ["abc de fgh bad cafe"]
    monkeypatch.setattr(asr.recognition.align, "LONGEST", 3.2)
    assert [segment.text for segment in well_aligned(found, Path("x.wav"), "x")] == ["abc de fgh bad", "cafe"]
    monkeypatch.setattr(asr.recognition.align, "_PAUSE", 0.01)
    monkeypatch.setattr(asr.recognition.align, "_MARGIN", 9.0)  # halfway to the next word
    spans = [(row.offset, row.offset + (row.duration or 0.0)) for row in well_aligned(found, Path("x.wav"), "x")]
    assert len(spans) == 5 and all(a[1] == pytest.approx(b[0], abs=0.002) for a, b in itertools.pairwise(spans))
    monkeypatch.setattr(asr.recognition.align, "SURE", 1.0)
    assert well_aligned(found, Path("x.wav"), "x") == []


def test_spelling(recognizer: Recognizer) -> None:
    texts, units = spell(recognizer, '... "Bad 12 ÀGE')
    assert texts == ['... "Bad 12', "ÀGE"]
    assert [recognizer.units.decode(word) for word in units] == ["bad", "ge"]
    for text in ("", "1 2 …"):
        with pytest.raises(AsrError, match="no word that the model has units for"):
            spell(recognizer, text)


def test_the_whole_text_may_be_wrong(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> None:
    hear(monkeypatch, recognizer)
    found = align(recognizer, "x.wav", "hhhhhhhh gggggggg")
    assert found.unspoken == ("hhhhhhhh", "gggggggg") and found.transcript.text == "" and len(found.unwritten) == 5


def test_a_recording_of_an_hour_takes_little_memory() -> None:
    """90,000 frames and 100,000 states: all moves at a time would be 9 GB. Measured in docs/align.md; here a tenth."""
    from asr.decoding import forced

    generator = np.random.default_rng(0)
    words = [generator.integers(2, 9, 5).tolist() for _ in range(300)]
    rows = np.full((6000, 9), -8.0, np.float32)
    rows[:, 0] = 0.0
    starts = np.arange(300) * 20 + 3
    for word, start in zip(words, starts.tolist(), strict=True):
        for number, unit in enumerate(word):
            rows[start + 2 * number, [0, unit]] = [-8.0, 0.0]
    target = forced.words_target(words)
    assert len(rows) * len(target.units) > forced._TABLE_BYTES / 2
    states = forced.best_states(rows, target)
    assert [int(np.searchsorted(states, 10 * index + 1)) for index in range(300)] == starts.tolist()
