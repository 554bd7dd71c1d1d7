"""Stable splits: each key is assigned by its own hash, so that new data never moves an utterance to another split."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from asr.utterance import Utterance


def hash_fraction(key: str) -> float:
    """Return a number in [0, 1) that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big") / 2**64


def split(
    utterances: Iterable[Utterance],
    fractions: Sequence[float],
    by: Callable[[Utterance], str] = lambda u: u.id,
) -> list[list[Utterance]]:
    """Divide utterances by the hash of `by(utterance)` into one list for each fraction, of about that share."""
    total = sum(fractions)
    parts: list[list[Utterance]] = [[] for _ in fractions]
    for utterance in utterances:
        position, index = hash_fraction(by(utterance)) * total, 0
        while index < len(fractions) - 1 and position >= fractions[index]:
            position -= fractions[index]
            index += 1
        parts[index].append(utterance)
    return parts
