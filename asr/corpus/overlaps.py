"""Utterances of one recording that overlap in time: two people at once, of whom a model learns one text."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.utterance import Utterance

TOLERANCE = 0.05  # seconds; neighbours that share less do not overlap


@dataclass(frozen=True, slots=True)
class Overlap:
    """An utterance that begins before earlier ones of its recording end."""

    later: int  # its place in the sequence that was searched
    earlier: int  # the place of one of the others
    count: int  # the number of the others
    speakers: int  # the number of the others that have another speaker


def overlaps(utterances: Sequence[Utterance]) -> Iterator[Overlap]:
    """Yield each utterance that shares more than TOLERANCE of its recording with utterances that begin before it.

    An utterance without a duration ends with its recording.
    """
    parts: dict[Path, list[int]] = defaultdict(list)
    for place, utterance in enumerate(utterances):
        parts[utterance.audio].append(place)
    for places in parts.values():
        active: list[tuple[float, int]] = []  # ends and places, the first end on top
        speakers: Counter[str | None] = Counter()
        for place in sorted(places, key=lambda place: (utterances[place].offset, place)):
            row = utterances[place]
            end = float("inf") if row.duration is None else row.offset + row.duration
            if end <= row.offset + TOLERANCE:
                continue
            while active and active[0][0] <= row.offset + TOLERANCE:
                speakers[utterances[heapq.heappop(active)[1]].speaker] -= 1
            if active:
                yield Overlap(place, active[0][1], len(active), len(active) - speakers[row.speaker])
            heapq.heappush(active, (end, place))
            speakers[row.speaker] += 1
