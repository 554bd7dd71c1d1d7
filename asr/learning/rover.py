"""ROVER: the texts of several recognisers, whatever they are, combined by a vote on each word.

After Fiscus 1997, "A post-processing system to yield reduced word error rates: recognizer output voting error
reduction". The texts are aligned one after another into slots, and each slot has the word of most texts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asr.corpus.manifest import with_hypothesis
from asr.errors import AsrError, ManifestError
from asr.scoring.readers import Entry, read_entries
from asr.utterance import Utterance

_SUBSTITUTION, _GAP = 4, 3  # costs of an alignment, as in NIST's sctk: two gaps cost more than a substitution
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
    costs = [[_GAP * column for column in range(len(words) + 1)]]
    for slot in slots:
        above, skipped = costs[-1], 0 if "" in slot else _GAP
        row = [above[0] + skipped]
        for column, word in enumerate(words):
            replaced = above[column] + (0 if word in slot else _SUBSTITUTION)
            row.append(min(replaced, above[column + 1] + skipped, row[column] + _GAP))
        costs.append(row)
    found: list[Slot] = []
    place, column = len(slots), len(words)
    while place or column:
        here = costs[place][column]
        slot, word = slots[place - 1] if place else [], words[column - 1] if column else ""
        if place and column and here == costs[place - 1][column - 1] + (0 if word in slot else _SUBSTITUTION):
            place, column = place - 1, column - 1
            found.append([*slot, word])
        elif place and here == costs[place - 1][column] + (0 if "" in slot else _GAP):
            place -= 1
            found.append([*slot, ""])
        else:
            column -= 1
            found.append([*[""] * number, word])
    return found[::-1]


def combine_files(paths: Sequence[Path]) -> tuple[list[Utterance], int]:
    """Combine the hypotheses of manifests that `asr transcribe -o` wrote for the same recordings.

    Returns the lines of the first manifest with the combined hypotheses, and how many of them differ from those of the
    first manifest. Raises AsrError for fewer than two files, and ManifestError that names a file without hypotheses, or
    the ids that one file has and another lacks.
    """
    if len(paths) < 2:
        raise AsrError("a vote needs the hypotheses of at least two models, and three are better; name more files")
    listed = [{entry.id: entry for entry in read_entries(path, hypotheses=True)} for path in paths]
    first = listed[0]
    for path, entries in zip(paths, listed, strict=True):
        _require_equal_ids(paths[0], first, path, entries)
    lines, changed = [], 0
    for name, entry in first.items():
        text = " ".join(combine([entries[name].text.split() for entries in listed]))
        changed += text != " ".join(entry.text.split())
        line = entry.utterance
        if line is None:
            raise ManifestError(f"{paths[0]}: is no manifest; write it with `asr transcribe -o NAME.jsonl`")
        extra = {
            field: value for field, value in line.extra.items() if field not in ("nbest", "posterior", "pred_text")
        }
        lines.append(with_hypothesis(replace(line, extra=extra), text))
    return lines, changed


def _require_equal_ids(one: Path, first: dict[str, Entry], path: Path, entries: dict[str, Entry]) -> None:
    for lacking, missing in ((path, first.keys() - entries.keys()), (one, entries.keys() - first.keys())):
        if missing:
            named = ", ".join(sorted(missing)[:_NAMED]) + (" …" if len(missing) > _NAMED else "")
            raise ManifestError(
                f"{lacking}: lacks {len(missing)} of the recordings: {named}; transcribe all with each model"
            )
