"""What the transcripts are like: characters that should not be there, look-alikes, words never seen in training."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

_SPEED_DEVIATIONS = 4.0  # robust standard deviations of the logarithm of the speed …
_SPEED_FACTOR = 2.0  # … and this factor from the median make an outlier
_SPEED_SAMPLE = 20  # utterances below which no speed is unusual
_MIXABLE = ("LATIN", "CYRILLIC", "GREEK")
# Letters that no eye tells apart, in the writings that are mixed up: Cyrillic, Greek, and their Latin twins.
_TWINS = dict(
    zip(
        "АВЕЅІЈКМНОРСТХУасеѕіјорхуһԁ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαενογιυ",
        "ABESIJKMHOPCTXYacesijopxyhd" + "ABEZHIKMNOPTYXaɛvoɣɩʋ",
        strict=True,
    )
)


@dataclass(slots=True)
class Character:
    """One row of the character table: a unit, how often each split holds it, where it comes first."""

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
    """Control, zero-width, private and unassigned characters of a text, and U+FFFD, which replaces lost ones.

    White space is none of them, nor are the joiners U+200C and U+200D: they spell words in Persian and in Indic
    scripts.
    """
    return Counter(
        character
        for character in text
        if character == "\ufffd"
        or (unicodedata.category(character)[0] == "C" and not character.isspace() and character not in "\u200c\u200d")
    )


class Scripts:
    """Which letters of a corpus stand among letters of another script, and which of them are look-alikes."""

    def __init__(self, texts: Iterable[str]) -> None:
        characters = Counter("".join(texts))
        self._letters = {_base(character) for character in characters}
        self._counts: Counter[str] = Counter()
        for character, count in characters.items():
            self._counts[_script(character)] += count

    def strangers(self, text: str) -> Iterator[tuple[str, str]]:
        """`(word, letter)` for each letter in a word of mixed scripts that is of the script the corpus uses less."""
        if text.isascii():
            return
        for word in text.split():
            scripts = {_script(character) for character in word} & set(_MIXABLE)
            if len(scripts) > 1:
                main = max(scripts, key=self._counts.__getitem__)
                for character in word:
                    if _script(character) in scripts - {main}:
                        yield word, character

    def is_look_alike(self, stranger: str) -> bool:
        """Whether the corpus also holds the letter that a stranger looks like: then one of the two is a slip."""
        base = _base(stranger)
        return any(base in pair and self._letters.issuperset(pair) for pair in _TWINS.items())


def _base(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0]


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def character_table(
    texts: Iterable[tuple[str, str, str]], training: str, scripts: Scripts, segment: Callable[[str], Sequence[str]]
) -> list[Character]:
    """Counts the units of `(split, place, normalised text)` rows and flags what is odd, most frequent first.

    Flags: `look-alike` and `other script` (inside words of another), `digit`, `singleton` (once in all), `only
    outside training`, `hidden` (see `hidden_characters`).
    """
    table: dict[str, Character] = {}
    strangers: set[str] = set()
    for split, place, text in texts:
        strangers.update(letter for _, letter in scripts.strangers(text))
        for glyph in segment(text):
            row = table.setdefault(glyph, Character(glyph, first=place))
            row.counts[split] += 1
    for row in table.values():
        odd = strangers.intersection(row.glyph)
        tests = {
            "look-alike": any(map(scripts.is_look_alike, odd)),
            "other script": bool(odd) and not any(map(scripts.is_look_alike, odd)),
            "digit": any(unicodedata.category(character)[0] == "N" for character in row.glyph),
            "singleton": row.counts.total() == 1,
            "only outside training": not row.counts[training],
            "hidden": bool(hidden_characters(row.glyph)),
        }
        row.flags = [flag for flag, holds in tests.items() if holds]
    return sorted(table.values(), key=lambda row: (-row.counts.total(), row.glyph))


def unknown_words(texts: Mapping[str, Sequence[str]], training: str) -> dict[str, tuple[int, int]]:
    """For each split but training: words that training never shows, and all words."""
    known = {word for text in texts[training] for word in text.split()}
    words = {split: [word for text in rows for word in text.split()] for split, rows in texts.items()}
    words.pop(training)
    return {split: (sum(word not in known for word in rows), len(rows)) for split, rows in words.items()}


def usual_speeds(speeds: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest characters per second that are no outliers.

    Logarithms of speeds are compared by median and median absolute deviation, which outliers do not move
    (Hampel 1974): usual is what lies within 4 deviations of the median, or within a factor of 2.
    """
    if len(speeds) < _SPEED_SAMPLE:
        return 0.0, float("inf")
    logs = np.log(speeds)
    median = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - median))
    reach = max(_SPEED_DEVIATIONS * deviation, np.log(_SPEED_FACTOR))
    return float(np.exp(median - reach)), float(np.exp(median + reach))
