"""ROVER: the texts of several recognisers, whatever they are, combined by a vote on each word.

After Fiscus 1997, "A post-processing system to yield reduced word error rates: recognizer output voting error
reduction". The texts are aligned one after another into slots, and each slot has the word of most texts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from asr.corpus.manifest import with_hypothesis
from asr.errors import AsrError, ManifestError
from asr.scoring.readers import Entry, read_entries
from asr.utterance import Utterance

_SUBSTITUTION, _GAP = 4, 3  # costs of an alignment, as in NIST's sctk: two gaps cost more than a substitution
_WORD_ALONE, _SLOT_ALONE, _BOTH = range(3)  # moves of an alignment
_NAMED = 5  # ids that one file has and another lacks, in messages
Slot = list[str]  # the word of each text so far, or "" for a text without a word there


def combine(texts: Sequence[Sequence[str]]) -> list[str]:
    """Combine the words of several texts: in each slot of their alignment, the word that most texts have there.

    No word counts as a word. Of words with equally many votes, the word of the earliest text wins.
    """
    slots: list[Slot] = []
    for number, words in enumerate(texts):
        slots = _aligned(slots, words, number)
    votes = (Counter(slot) for slot in slots)  # a Counter keeps the order of texts, and `max` the first of equals
    return [word for vote in votes if (word := max(vote, key=vote.__getitem__))]


def _aligned(slots: Sequence[Slot], words: Sequence[str], number: int) -> list[Slot]:
    """Add the words of text `number` to the slots of the texts before it, at the lowest cost."""
    moves = _moves(slots, words)
    found: list[Slot] = []
    place, column = len(slots), len(words)
    while place or column:
        move = moves[place, column]
        if move == _BOTH:
            place, column = place - 1, column - 1
            found.append([*slots[place], words[column]])
        elif move == _SLOT_ALONE:
            place -= 1
            found.append([*slots[place], ""])
        else:
            column -= 1
            found.append([*[""] * number, words[column]])
    return found[::-1]


def _moves(slots: Sequence[Slot], words: Sequence[str]) -> np.ndarray:
    """Return the last move of the cheapest alignment of each number of slots with each number of words.

    Of moves that cost the same, a word in a slot comes first, then a slot without a word. A byte for each pair: the
    texts of a recording of an hour have thousands of words.
    """
    spoken = np.array(words, object)
    free = {word: spoken == word for word in {word for slot in slots for word in slot} & set(words)}
    gaps = _GAP * np.arange(len(words) + 1, dtype=np.int32)
    moves = np.full((len(slots) + 1, len(words) + 1), _WORD_ALONE, np.uint8)
    costs = gaps
    for place, slot in enumerate(slots, start=1):
        both = costs[:-1] + np.int32(_SUBSTITUTION)
        for word in set(slot) & free.keys():
            both[free[word]] = costs[:-1][free[word]]
        alone = costs + np.int32(0 if "" in slot else _GAP)
        least = alone - gaps
        least[1:] = np.minimum(least[1:], both - gaps[1:])
        costs = np.minimum.accumulate(least) + gaps  # a word alone costs a gap more than the column before it
        moves[place, costs == alone] = _SLOT_ALONE
        moves[place, 1:][costs[1:] == both] = _BOTH
    return moves


def combine_files(paths: Sequence[Path]) -> tuple[list[Utterance], int]:
    """Combine the hypotheses of manifests that `asr transcribe -o` wrote for the same recordings.

    Words are compared after NFC, as in scores. Returns the lines of the first manifest with the combined hypotheses,
    and how many of them differ from those of the first manifest. Raises AsrError for fewer than two files, and
    ManifestError that names a file without hypotheses, or the ids that one file has and another lacks.
    """
    if len(paths) < 2:
        raise AsrError("a vote needs the hypotheses of at least two models, and three are better; name more files")
    listed = [{entry.id: entry for entry in read_entries(path, hypotheses=True)} for path in paths]
    first = listed[0]
    for path, entries in zip(paths, listed, strict=True):
        _require_equal_ids(paths[0], first, path, entries)
    lines, changed = [], 0
    for name, entry in first.items():
        words = [normalize("NFC", entries[name].text).split() for entries in listed]
        combined = combine(words)
        changed += combined != words[0]
        line = entry.utterance
        if line is None:
            raise ManifestError(f"{paths[0]}: is no manifest; write it with `asr transcribe -o NAME.jsonl`")
        extra = {
            field: value for field, value in line.extra.items() if field not in ("nbest", "posterior", "pred_text")
        }
        lines.append(with_hypothesis(replace(line, extra=extra), " ".join(combined)))
    return lines, changed


def _require_equal_ids(one: Path, first: dict[str, Entry], path: Path, entries: dict[str, Entry]) -> None:
    for lacking, missing in ((path, first.keys() - entries.keys()), (one, entries.keys() - first.keys())):
        if missing:
            named = ", ".join(sorted(missing)[:_NAMED]) + (" …" if len(missing) > _NAMED else "")
            raise ManifestError(
                f"{lacking}: lacks {len(missing)} of the recordings: {named}; transcribe all with each model"
            )
