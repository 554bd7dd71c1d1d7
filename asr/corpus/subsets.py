"""Nested subsets of a corpus: its utterances in the order of the hashes of their ids.

The order does not depend on the order of the manifest, and a new utterance moves no other one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby

from asr.errors import ManifestError
from asr.utterance import Utterance


def in_order(utterances: Iterable[Utterance], by: str = "id", *, seed: int = 0) -> list[Utterance]:
    """Sort utterances by the hash of a field; each seed gives another order."""
    salt = f"{seed} " if seed else ""

    def key(utterance: Utterance) -> bytes:
        return hashlib.sha256(f"{salt}{getattr(utterance, by)}".encode()).digest()

    return sorted(utterances, key=key)


def first(utterances: Sequence[Utterance], minutes: float) -> list[Utterance]:
    """Return the first utterances that together last at most `minutes`. Raises ManifestError without durations."""
    count, total = 0, 0.0
    for utterance in utterances:
        total += seconds([utterance])
        if total > 60 * minutes:
            break
        count += 1
    return list(utterances[:count])


def hold_out(utterances: Sequence[Utterance], minutes: float, by: str) -> list[Utterance]:
    """Return utterances with whole ids or texts, in the order of their hashes, until they last `minutes`."""
    held_out: list[Utterance] = []
    for _, group in groupby(in_order(utterances, by), key=lambda utterance: getattr(utterance, by)):
        if seconds(held_out) > 60 * minutes or not minutes:
            break
        held_out += group
    return held_out


def seconds(utterances: Iterable[Utterance]) -> float:
    """Return how long utterances last together. Raises ManifestError if one of them states no duration."""
    found = list(utterances)
    if missing := [utterance.id for utterance in found if utterance.duration is None]:
        raise ManifestError(f"{len(missing)} lines state no duration, {missing[0]!r} first: add `duration` in seconds")
    return sum(utterance.duration or 0.0 for utterance in found)
