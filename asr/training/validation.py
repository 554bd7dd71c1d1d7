"""Validation on several manifests: the name of each, and its utterances in the corpus of all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.manifest import read_manifest
from asr.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Part:
    """A manifest: its name, and the indices of its utterances in the corpus of all manifests."""

    name: str
    indices: list[int]


def parts_of(manifests: Sequence[str], utterances: Sequence[Utterance], *, text_field: str = "text") -> list[Part]:
    """Return the part of each manifest in `utterances`; an empty list for a single manifest.

    `utterances` are those of the manifests, in order, without the unusable ones. A manifest without usable utterances
    has no part.
    """
    if len(manifests) == 1:
        return []
    found, next_one = [], 0
    for name, manifest in zip(part_names(manifests), manifests, strict=True):
        first = next_one
        for line in read_manifest(manifest, text_field=text_field):
            if next_one < len(utterances) and _is_same(line, utterances[next_one]):
                next_one += 1
        if next_one > first:
            found.append(Part(name, list(range(first, next_one))))
    return found


def part_names(manifests: Sequence[str]) -> list[str]:
    """Return the names of manifests for people: without suffix, with their folder if names repeat, or else the path."""
    paths = [Path(manifest) for manifest in manifests]
    names = [path.stem for path in paths]
    for longer in ([f"{path.parent.name}/{path.stem}" for path in paths], list(manifests)):
        times = Counter(names)
        names = [more if times[name] > 1 else name for name, more in zip(names, longer, strict=True)]
    return names


def _is_same(line: Utterance, utterance: Utterance) -> bool:
    return (line.id, line.audio, line.offset) == (utterance.id, utterance.audio, utterance.offset)
