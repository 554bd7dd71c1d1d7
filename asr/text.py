"""The normaliser and the units: from a transcript to the indices that a model emits, and back."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from asr.errors import TextError, raise_problems
from asr.files import read_lines
from asr.wording import counted

BLANK = 0
UnitKind = Literal["characters", "graphemes", "decomposed", "phones"]
# The joiners U+200C and U+200D stay, because they spell words in Persian and in Indic scripts.
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad"))
_JOINERS = "\u200c\u200d"
TYPEWRITTEN = str.maketrans("’‐‑", "'--")  # text editors replace the ASCII apostrophe and hyphen
_TURKIC = str.maketrans("Iİ", "ıi")


class Normalizer:
    """The normaliser of training text, references and hypotheses; `str(normalizer)` lists its steps.

    It composes characters (Unicode NFC), removes zero-width characters and byte-order marks, and collapses white space
    to single spaces. With `strip_punctuation`, a space replaces each punctuation mark and symbol (Unicode categories P
    and S). Two exceptions stay: characters of `keep_inside_words` inside a word, and tone letters such as ˥. `lower`
    converts to lower case; with `lower="turkic"`, I becomes ı and İ becomes i. Normalising twice changes nothing.
    """

    def __init__(
        self,
        *,
        lower: Literal[False, True, "turkic"] = False,
        strip_punctuation: bool = False,
        keep_inside_words: str = "'",
    ) -> None:
        self.lower = lower
        self.strip_punctuation = strip_punctuation
        self.keep_inside_words = keep_inside_words

    def __call__(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
        if self.strip_punctuation:
            text = _strip_punctuation(text.translate(TYPEWRITTEN), self.keep_inside_words)
        if self.lower == "turkic":
            text = text.translate(_TURKIC)
        if self.lower:
            text = unicodedata.normalize("NFC", text.lower())
        return " ".join(text.split())

    def __str__(self) -> str:
        steps = ["NFC, white space collapsed"]
        if self.strip_punctuation:
            kept = f" except {self.keep_inside_words} inside words" if self.keep_inside_words else ""
            steps.append(f"punctuation stripped{kept}")
        if self.lower:
            steps.append("lower case" + (" (turkic)" if self.lower == "turkic" else ""))
        return ", ".join(steps)


class Units:
    """The alphabet of a model: index 0 is the CTC blank, then each symbol has one index.

    `kind` says what a unit is. `characters`: code points of NFC. `graphemes`: a base character with its combining
    marks. `decomposed`: base characters and marks as separate units (NFD; Hangul as single letters). `phones`: words
    between spaces. Characters and decomposed units may have several code points (digraphs); a text is then split from
    left to right, and the longest unit that fits is taken.
    """

    def __init__(self, symbols: Sequence[str], kind: UnitKind = "characters") -> None:
        self.symbols = tuple(symbols)
        self.kind = kind
        if len(set(self.symbols)) != len(self.symbols) or "" in self.symbols:
            raise TextError("units must be distinct and not empty; remove empty and repeated units")
        self._index = {symbol: index for index, symbol in enumerate(self.symbols, start=BLANK + 1)}
        long = sorted((symbol for symbol in self.symbols if len(symbol) > 1), key=len, reverse=True)
        self._longest = len(long[0]) if long else 1
        self._pattern = re.compile("|".join([*map(re.escape, long), "."]), re.DOTALL)

    @classmethod
    def learn(cls, texts: Iterable[str], kind: UnitKind = "characters") -> "Units":
        """Collect the units of normalised training texts, in code point order. Raises TextError if there are none."""
        return cls.of(set().union(*map(cls((), kind).split, texts)), kind)

    @classmethod
    def of(cls, symbols: Iterable[str], kind: UnitKind = "characters") -> "Units":
        """Return the units of training texts that hold these symbols, in code point order. Raises TextError if none."""
        ordered = sorted(symbols)
        if not ordered:
            raise TextError("the training texts hold no characters; fill in the `text` fields of the manifest")
        return cls(ordered, kind)

    def __len__(self) -> int:
        """Return the number of indices, blank included: `V`."""
        return len(self.symbols) + 1

    def split(self, text: str) -> list[str]:
        """Split a normalised text into units; a character that is not a unit becomes an element of its own."""
        if self.kind == "phones":
            return text.split()
        if self.kind == "graphemes":
            return _graphemes(text)
        return self._pattern.findall(self._form(text))

    def unknown(self, text: str) -> Counter[str]:
        """Count the elements of `text` that are not units."""
        return Counter(unit for unit in self.split(text) if unit not in self._index)

    def encode(self, text: str) -> list[int]:
        """Return the indices `(L,)` of a normalised text. Raises TextError that names each unknown character."""
        if unknown := self.unknown(text):
            raise TextError(
                f"{text[:80]!r}{'…' * (len(text) > 80)} holds {describe_characters(unknown)}, and the model has "
                "no unit for it; correct the text"
            )
        return [self._index[unit] for unit in self.split(text)]

    def decode(self, indices: Iterable[int]) -> str:
        """Return the text, in NFC, of unit indices without blanks."""
        separator = " " if self.kind == "phones" else ""
        return unicodedata.normalize("NFC", separator.join(self.symbols[index - 1] for index in indices))

    def ambiguities(self, text: str) -> Counter[str]:
        """Count the parts of `text` that several sequences of units can spell: with units n, g and ng, each `ng`."""
        if self.kind in ("graphemes", "phones") or self._longest == 1:
            return Counter()
        text = self._form(text)
        spans = [
            (start, end)
            for start in range(len(text))
            for end in range(start + 1, min(start + self._longest, len(text)) + 1)
            if text[start:end] in self._index
        ]
        reached, finishing = {0}, {len(text)}
        for start, end in spans:
            if start in reached:
                reached.add(end)
        for start, end in reversed(spans):
            if end in finishing:
                finishing.add(start)
        found: Counter[str] = Counter()
        part, part_end, readings = 0, 0, 0
        for start, end in [*((s, e) for s, e in spans if s in reached and e in finishing), (len(text), len(text))]:
            if start >= part_end:  # no unit of any reading crosses `start`, so a part ends here
                if readings > 1:
                    found[text[part:part_end]] += 1
                part, readings = start, 0
            part_end, readings = max(part_end, end), readings + 1
        return found

    def _form(self, text: str) -> str:
        return unicodedata.normalize("NFD", text) if self.kind == "decomposed" else text


def read_units(path: str | Path, kind: UnitKind = "characters") -> list[str]:
    """Read a units file: UTF-8, one unit per line, without the space between words.

    Raises TextError that lists every faulty line: empty lines, lines with white space, and repeated units (after NFC).
    """
    path = Path(path)
    lines = "\n".join(read_lines(path, TextError)).rstrip().split("\n")
    normalize = Normalizer()
    lines_of_units: dict[str, int] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        unit = unicodedata.normalize("NFD" if kind == "decomposed" else "NFC", normalize(line))
        if not unit:
            problems.append(f"{path}:{number}: is empty; write one unit per line (the space is added by itself)")
        elif " " in unit:
            problems.append(f"{path}:{number}: {unit!r} holds white space; write one unit per line and nothing else")
        elif unit in lines_of_units:
            problems.append(f"{path}:{number}: {unit!r} repeats line {lines_of_units[unit]}; delete one of the lines")
        lines_of_units.setdefault(unit, number)
    raise_problems(problems, TextError)
    return list(lines_of_units)


def is_punctuation(character: str) -> bool:
    """Return True for a punctuation mark or symbol: Unicode category P or S, except tone letters."""
    category = unicodedata.category(character)
    # Phonologists use modifier symbols beyond Latin-1 as letters: tones such as ˥ and ꞊, the colon of Budu.
    return category[0] in "PS" and not (category == "Sk" and character > "\xff")


def ctm_field(text: str) -> str:
    """Return a name or word as one field of a CTM: `_` replaces white space, control characters, and an empty text.

    A field that begins with `;;` would start a comment, so `_` is put before it.
    """
    visible = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text)
    field = "_".join(visible.split()) or "_"
    return f"_{field}" if field.startswith(";;") else field


def describe_characters(counts: Counter[str]) -> str:
    """List characters, most frequent first: `'ä' (U+00E4, LATIN SMALL LETTER A WITH DIAERESIS) 3 times, …`."""
    described = ", ".join(
        f"{unit[:20]!r} ({' '.join(f'U+{ord(character):04X}' for character in unit[:20])}, "
        f"{' + '.join(unicodedata.name(character, 'unnamed') for character in unit[:20])}) "
        f"{counted('{} time<s>', count)}"
        for unit, count in counts.most_common(20)
    )
    return described + (f", and {len(counts) - 20} others" if len(counts) > 20 else "")


def _strip_punctuation(text: str, keep: str) -> str:
    stripped = []
    for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        inside_word = not any(neighbour.isspace() or is_punctuation(neighbour) for neighbour in (before, after))
        stripped.append(" " if is_punctuation(character) and not (character in keep and inside_word) else character)
    return "".join(stripped)


def _graphemes(text: str) -> list[str]:
    """Split a text into base characters, each with the combining marks and joiners after it."""
    clusters: list[str] = []
    for character in text:
        if clusters and (unicodedata.category(character)[0] == "M" or character in _JOINERS):
            clusters[-1] += character
        else:
            clusters.append(character)
    return clusters
