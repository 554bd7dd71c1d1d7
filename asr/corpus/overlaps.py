"""Utterances of one recording that overlap in time: two people at once, of whom a model learns one text."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from asr.utterance import Utterance

TOLERANCE = 0.05  # seconds; neighbours that touch by less do not overlap


def overlapping(utterances: Iterable[Utterance]) -> list[tuple[Utterance, Utterance]]:
    """Return the pairs of utterances that share more than TOLERANCE of a recording, the earlier utterance first.

    An utterance without a duration ends with its recording. Equal parts of a recording count too.
    """
    parts: dict[Path, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        parts[utterance.audio].append(utterance)
    pairs = []
    for group in parts.values():
        active: list[Utterance] = []
        for utterance in sorted(group, key=lambda row: row.offset):
            active = [other for other in active if _end(other) > utterance.offset + TOLERANCE]
            pairs += [(other, utterance) for other in active if _end(utterance) > utterance.offset + TOLERANCE]
            active.append(utterance)
    return pairs


def _end(utterance: Utterance) -> float:
    return float("inf") if utterance.duration is None else utterance.offset + utterance.duration
