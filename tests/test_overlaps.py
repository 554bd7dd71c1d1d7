"""Overlapping utterances: every pair is counted once, and neighbours that only touch are none."""

import random
from pathlib import Path

from asr.corpus.overlaps import TOLERANCE, overlaps
from asr.utterance import Utterance


def part(start: float, end: float | None, speaker: str | None = None, audio: str = "a.wav") -> Utterance:
    return Utterance(f"{audio}@{start}", Path(audio), "x", start, None if end is None else end - start, speaker)


def test_pairs_equal_those_of_all_comparisons() -> None:
    random.seed(1)
    rows = []
    for _ in range(200):
        start = random.uniform(0, 60)
        rows.append(part(start, start + random.uniform(0, 3), random.choice("ab"), random.choice(["x.wav", "y.wav"])))
    expected = others = 0
    for place, first in enumerate(rows):
        for second in rows[place + 1 :]:
            early, late = sorted((first, second), key=lambda row: row.offset)
            long_enough = min(first.duration or 0, second.duration or 0) > TOLERANCE
            if (
                first.audio == second.audio
                and long_enough
                and early.offset + (early.duration or 0) > late.offset + TOLERANCE
            ):
                expected += 1
                others += first.speaker != second.speaker
    found = list(overlaps(rows))
    assert expected > 50 and sum(row.count for row in found) == expected
    assert sum(row.speakers for row in found) == others


def test_whole_recordings_and_neighbours() -> None:
    assert list(overlaps([part(0, 1), part(1 - TOLERANCE / 2, 2), part(0, 5, audio="b.wav")])) == []
    (whole,) = overlaps([part(0, None), part(9, 10)])
    assert (whole.earlier, whole.later, whole.count, whole.speakers) == (0, 1, 1, 0)
    assert sum(row.count for row in overlaps([part(0, 1)] * 1000)) == 1000 * 999 // 2
