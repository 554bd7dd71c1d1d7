"""Rules for the texts of a corpus, found by looking at its training texts: what a model need not learn to write.

What is not clear stays as it is, and the reason says so.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from asr.text import TYPEWRITTEN, Normalizer, is_punctuation

_APOSTROPHE = "'"
_MIXED = 0.25  # share of words with capitals; if more have a capital after a small letter, capitals are letters
_AT_EDGES = 0.01  # share of all words; a mark at the edges of more words may be a letter there
_UNBALANCED = 0.2  # share of the edges; apostrophes that begin and end words about equally often are quotes
_FEW = 2  # times that a mark may be in a doubtful place
_NAMED = 4  # marks that a reason names
_BRACKETS = ("Ps", "Pe", "Pi", "Pf")  # Unicode categories of brackets and quotes
# Unicode names of marks that no spelling uses as a letter at the edge of a word.
_SENTENCE = ("STOP", "COMMA", "COLON", "QUESTION", "EXCLAMATION", "DANDA", "ELLIPSIS", "QUOTATION", "PERIOD")


@dataclass(frozen=True, slots=True)
class Rule:
    """The value of one setting of the section `text` of a configuration, and the reason in one sentence."""

    setting: str
    value: Literal[False, True, "turkic"] | str
    reason: str


@dataclass(slots=True)
class _Places:
    """How often a mark is inside words, at their beginning, at their end, and alone."""

    inside: int = 0
    before: int = 0
    after: int = 0
    alone: int = 0

    @property
    def edges(self) -> int:
        return self.before + self.after

    @property
    def total(self) -> int:
        return self.inside + self.edges + self.alone


def find_rules(texts: Iterable[str]) -> list[Rule]:
    """Return the rules for training texts: `lower`, `strip_punctuation`, `keep_inside_words` and `units`.

    A rule for `keep_inside_words` is there only if punctuation is stripped.
    """
    normalize = Normalizer()
    normalized = [normalize(text).translate(TYPEWRITTEN) for text in texts]
    return [_lower(normalized), *_punctuation(normalized), _units(normalized)]


def _lower(texts: Sequence[str]) -> Rule:
    words = Counter(word for text in texts for word in text.split())
    capital = {word: count for word, count in words.items() if any(map(_is_capital, word))}
    number = sum(capital.values())
    if not number:
        return Rule("lower", False, "the texts have no capitals")
    if not any(map(str.islower, "".join(words))):
        return Rule("lower", False, "all letters are capitals")
    mixed = {word: count for word, count in capital.items() if _has_inner_capital(word)}
    if sum(mixed.values()) > max(_MIXED * number, _FEW):
        return Rule(
            "lower",
            False,
            f"not sure: {sum(mixed.values())} of {number} words with capitals have them after small letters, such as "
            f"{max(mixed, key=lambda word: mixed[word])}, so capitals may be letters of their own",
        )
    both = sum(count for word, count in capital.items() if word.lower() in words)
    reason = f"{number} of {words.total()} words have capitals, {both} of them are also written small"
    if {"ı", "İ"} & set("".join(words)):
        return Rule("lower", "turkic", f"{reason}; the texts have ı or İ, so I becomes ı")
    return Rule("lower", True, reason)


def _is_capital(character: str) -> bool:
    return unicodedata.category(character) in ("Lu", "Lt")


def _has_inner_capital(word: str) -> bool:
    """Return whether a capital follows a small letter; not in parts such as O'Neil and Nord-Ost."""
    return any(a.islower() and _is_capital(b) for a, b in pairwise(word))


def _punctuation(texts: Sequence[str]) -> list[Rule]:
    places = _places(texts)
    if not places:
        return [Rule("strip_punctuation", False, "the texts have no punctuation")]
    limit = max(_FEW, _AT_EDGES * sum(len(text.split()) for text in texts))
    doubtful = {mark: found for mark, found in places.items() if _letters_at_edges(mark, found) > limit}
    if doubtful:
        mark, found = max(doubtful.items(), key=lambda item: item[1].edges)
        return [
            Rule(
                "strip_punctuation",
                False,
                f"not sure: {mark} begins {found.before} words, ends {found.after}, and is inside {found.inside}, so "
                "it may be a letter; if it is none, write true",
            )
        ]
    kept = [mark for mark, found in places.items() if _is_inside_words(mark, found)]
    left_out = {mark: found.total for mark, found in places.items() if mark not in kept}
    lost = sum(places[mark].edges + places[mark].alone for mark in kept)
    if not left_out and not lost:
        return [Rule("strip_punctuation", False, f"{_names(kept)} inside words only, as letters are")]
    reason = f"{_names(left_out or kept)} mark sentences {sum(left_out.values()) or lost} times, and are not spoken"
    inside = [mark for mark in kept if mark != _APOSTROPHE]
    why = f"{_names(kept)} inside words, as letters are" if kept else "no mark is inside words"
    return [
        Rule("strip_punctuation", True, reason),
        Rule(
            "keep_inside_words",
            "".join([_APOSTROPHE, *inside]),
            why + (f"; left out at the edges of words, {lost} times" if lost else ""),
        ),
    ]


def _places(texts: Sequence[str]) -> dict[str, _Places]:
    """Count the places of each mark, the most frequent mark first."""
    places: dict[str, _Places] = {}
    for text in texts:
        for before, mark, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
            if not is_punctuation(mark):
                continue
            found = places.setdefault(mark, _Places())
            begins, ends = (not (side.isspace() or is_punctuation(side)) for side in (after, before))
            if begins and ends:
                found.inside += 1
            elif begins:
                found.before += 1
            elif ends:
                found.after += 1
            else:
                found.alone += 1
    return dict(sorted(places.items(), key=lambda item: (-item[1].total, item[0])))


def _is_sentence_mark(mark: str) -> bool:
    """Return whether a mark belongs to sentences by its Unicode name or category: stops, brackets, quotes, dashes."""
    category = unicodedata.category(mark)
    return category in (*_BRACKETS, "Pd") or any(name in unicodedata.name(mark, "") for name in _SENTENCE)


def _is_inside_words(mark: str, found: _Places) -> bool:
    """Return whether a mark is a part of words; brackets and the stops of scripts without spaces never are."""
    category = unicodedata.category(mark)
    if category in _BRACKETS or (not mark.isascii() and _is_sentence_mark(mark) and category != "Pd"):
        return False
    return found.inside > found.total / 2


def _letters_at_edges(mark: str, found: _Places) -> int:
    """Count the places at the edges of words where a mark may be a letter: a glottal stop, an ejective, a click."""
    if mark in "?!:" and found.before > found.after:  # ?ata, !xoo
        return found.before
    if _is_sentence_mark(mark) and not _is_inside_words(mark, found):
        return 0
    if mark == _APOSTROPHE and abs(found.before - found.after) <= _UNBALANCED * found.edges:
        return 0
    return found.edges


def _names(marks: Iterable[str]) -> str:
    marks = list(marks)
    return " ".join(marks[:_NAMED]) + (" …" if len(marks) > _NAMED else "")


def _units(texts: Sequence[str]) -> Rule:
    if any("HANGUL SYLLABLE" in unicodedata.name(character, "") for character in set("".join(texts))):
        return Rule("units", "decomposed", "the syllables of Hangul are many, their letters are few")
    return Rule("units", "characters", "docs/text.md tells when graphemes, phones or a list of digraphs are better")
