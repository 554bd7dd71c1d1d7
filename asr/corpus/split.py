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


def top_up(parts: list[list[Utterance]], index: int, least: int, by: Callable[[Utterance], str]) -> None:
    """Move utterances from the part before `index` to the part `index` until it has `least` of them.

    All utterances of one key are moved, the keys of the highest hashes first. With more data and an equal `least`,
    utterances only ever move back.
    """
    keys = sorted(dict.fromkeys(map(by, parts[index - 1])), key=hash_fraction)
    while len(parts[index]) < least and len(keys) > 1:
        key = keys.pop()
        parts[index] += [utterance for utterance in parts[index - 1] if by(utterance) == key]
        parts[index - 1] = [utterance for utterance in parts[index - 1] if by(utterance) != key]


def fill(
    parts: list[list[Utterance]], fractions: Sequence[float], by: Callable[[Utterance], str] = lambda u: u.id
) -> list[tuple[Utterance, int]]:
    """Move utterances into each part that has a share but no utterance; return them with the index of their new part.

    All utterances of one key are moved: the key whose hash is nearest to the range of the empty part, from the part
    that exceeds its share most. Parts stay as they are if there are fewer keys than parts with a share.
    """
    keys = [dict.fromkeys(map(by, part)) for part in parts]
    wanted = [index for index, fraction in enumerate(fractions) if fraction > 0]
    moved: list[tuple[Utterance, int]] = []
    if sum(map(len, keys)) < len(wanted):
        return moved
    begin = 0.0
    for index, fraction in enumerate(fractions):
        middle = (begin + fraction / 2) / sum(fractions)
        begin += fraction
        if index not in wanted or parts[index]:
            continue
        surplus = {
            origin: len(found) - sum(map(len, keys)) * fractions[origin] / sum(fractions)
            for origin, found in enumerate(keys)
            if len(found) > 1
        }
        origin = max(surplus, key=lambda origin: surplus[origin])
        key = min(keys[origin], key=lambda key: (abs(hash_fraction(key) - middle), key))
        del keys[origin][key]
        keys[index][key] = None
        parts[index] = [utterance for utterance in parts[origin] if by(utterance) == key]
        parts[origin] = [utterance for utterance in parts[origin] if by(utterance) != key]
        moved += [(utterance, index) for utterance in parts[index]]
    return moved
