"""Inspection of transcripts: hidden characters, look-alike letters, unusual speeds, and words not in training."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# An outlier differs from the median by more than both limits.
_SPEED_DEVIATIONS = 4.0  # robust standard deviations of the logarithm of the speed
_SPEED_FACTOR = 2.0  # times faster or slower
_SPEED_SAMPLE = 20  # utterances; with fewer, no speed is unusual
_MIXABLE = ("LATIN", "CYRILLIC", "GREEK")
# Letters of Cyrillic and Greek that look like a Latin letter.
_LOOK_ALIKES = dict(
    zip(
        "АВЕЅІЈКМНОРСТХУасеѕіјорхуһԁ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαενογιυ",
        "ABESIJKMHOPCTXYacesijopxyhd" + "ABEZHIKMNOPTYXaɛvoɣɩʋ",
        strict=True,
    )
)


@dataclass(slots=True)
class Character:
    """One row of the character table: a unit, its count in each split, its first place, and its flags."""

    glyph: str
    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""
    flags: list[str] = field(default_factory=list)

    @property
    def code_points(self) -> str:
        return " ".join(f"U+{ord(character):04X}" for character in self.glyph)

    @property
    def name(self) -> str:
        return " + ".join(unicodedata.name(character, "unnamed") for character in self.glyph)


def hidden_characters(text: str) -> Counter[str]:
    """Count control, zero-width, private and unassigned characters, and U+FFFD, which replaces lost characters.

    White space does not count, nor do the joiners U+200C and U+200D, which spell words in Persian and Indic scripts.
    """
    return Counter(
        character
        for character in text
        if character == "\ufffd"
        or (unicodedata.category(character)[0] == "C" and not character.isspace() and character not in "\u200c\u200d")
    )


class Scripts:
    """The scripts of a corpus, to find letters among letters of another script, and look-alikes among them."""

    def __init__(self, texts: Iterable[str]) -> None:
        characters = Counter("".join(texts))
        self._letters = {_base(character) for character in characters}
        self._counts: Counter[str] = Counter()
        for character, count in characters.items():
            self._counts[_script(character)] += count

    def foreign_letters(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield `(word, letter)` for each letter of the rarer scripts in a word of mixed scripts.

        Scripts are rarer or more frequent in the whole corpus.
        """
        if text.isascii():
            return
        for word in text.split():
            scripts = {_script(character) for character in word} & set(_MIXABLE)
            if len(scripts) > 1:
                main = max(scripts, key=self._counts.__getitem__)
                for character in word:
                    if _script(character) in scripts - {main}:
                        yield word, character

    def is_look_alike(self, letter: str) -> bool:
        """Return True if the corpus also holds the letter that `letter` looks like: one of them is then a mistake."""
        base = _base(letter)
        return any(base in pair and self._letters.issuperset(pair) for pair in _LOOK_ALIKES.items())


def _base(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0]


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def character_table(
    texts: Iterable[tuple[str, str, str]], training: str, scripts: Scripts, segment: Callable[[str], Sequence[str]]
) -> list[Character]:
    """Count and flag the units of `(split, place, normalised text)` rows; the most frequent unit comes first.

    Flags: `look-alike` and `other script` (inside words of another script), `digit`, `singleton` (one occurrence in all
    splits), `only outside training`, `hidden` (see `hidden_characters`).
    """
    table: dict[str, Character] = {}
    foreign: set[str] = set()
    for split, place, text in texts:
        foreign.update(letter for _, letter in scripts.foreign_letters(text))
        for glyph in segment(text):
            row = table.setdefault(glyph, Character(glyph, first=place))
            row.counts[split] += 1
    for row in table.values():
        letters = foreign.intersection(row.glyph)
        tests = {
            "look-alike": any(map(scripts.is_look_alike, letters)),
            "other script": bool(letters) and not any(map(scripts.is_look_alike, letters)),
            "digit": any(unicodedata.category(character)[0] == "N" for character in row.glyph),
            "singleton": row.counts.total() == 1,
            "only outside training": not row.counts[training],
            "hidden": bool(hidden_characters(row.glyph)),
        }
        row.flags = [flag for flag, holds in tests.items() if holds]
    return sorted(table.values(), key=lambda row: (-row.counts.total(), row.glyph))


def unknown_words(texts: Mapping[str, Sequence[str]], training: str) -> dict[str, tuple[int, int]]:
    """Return the number of words not in training, and of all words, for each split except training."""
    known = {word for text in texts[training] for word in text.split()}
    words = {split: [word for text in rows for word in text.split()] for split, rows in texts.items()}
    words.pop(training)
    return {split: (sum(word not in known for word in rows), len(rows)) for split, rows in words.items()}


def usual_speeds(speeds: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest usual speed, in characters per second.

    A usual speed lies within 4 deviations of the median, or within a factor of 2 of it. The median and the median
    absolute deviation of the logarithms are used, because outliers do not move them (Hampel 1974).
    """
    if len(speeds) < _SPEED_SAMPLE:
        return 0.0, float("inf")
    logs = np.log(speeds)
    median = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - median))
    reach = max(_SPEED_DEVIATIONS * deviation, np.log(_SPEED_FACTOR))
    return float(np.exp(median - reach)), float(np.exp(median + reach))
