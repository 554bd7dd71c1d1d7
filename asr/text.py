"""Normaliser and units: from a transcript to the indices a model emits, and back."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from asr.errors import TextError

BLANK = 0
# Not the joiners U+200C and U+200D: they spell words in Persian and in Indic scripts.
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad"))


class Normalizer:
    """The one normaliser, run alike on training text, references and hypotheses.

    Unicode NFC, zero-width characters and byte-order marks removed, white space collapsed to single spaces;
    with `lower`, lower case.
    """

    def __init__(self, *, lower: bool = False) -> None:
        self.lower = lower

    def __call__(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
        if self.lower:
            text = unicodedata.normalize("NFC", text.lower())
        return " ".join(text.split())

    def __str__(self) -> str:
        return "NFC, white space collapsed" + (", lower case" if self.lower else "")


class Units:
    """The alphabet of a model: index 0 is the CTC blank, then one index for each symbol."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        if len(set(self.symbols)) != len(self.symbols) or "" in self.symbols:
            raise TextError("units must be distinct and not empty")
        self._index = {symbol: index for index, symbol in enumerate(self.symbols, start=BLANK + 1)}

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "Units":
        """The characters of normalised training texts, in code point order. Raises TextError if there are none."""
        characters = sorted(set().union(*texts))
        if not characters:
            raise TextError("the training texts hold no characters; the manifest's `text` fields are empty")
        return cls(characters)

    def __len__(self) -> int:
        """Number of indices, blank included: the `V` of `(B, S, V)`."""
        return len(self.symbols) + 1

    def unknown(self, text: str) -> Counter[str]:
        """Characters of `text` that are not units, with their counts."""
        return Counter(character for character in text if character not in self._index)

    def encode(self, text: str) -> list[int]:
        """Indices of a normalised text. Raises TextError naming each unknown character by code point."""
        if unknown := self.unknown(text):
            raise TextError(f"{text!r} holds {describe_characters(unknown)}, which the model has no unit for")
        return [self._index[character] for character in text]

    def decode(self, indices: Iterable[int]) -> str:
        """The text of a sequence of unit indices without blanks."""
        return "".join(self.symbols[index - 1] for index in indices)


def describe_characters(counts: Counter[str]) -> str:
    """`'ä' (U+00E4, LATIN SMALL LETTER A WITH DIAERESIS) 3 times, …`, most frequent first."""
    return ", ".join(
        f"{character!r} (U+{ord(character):04X}, {unicodedata.name(character, 'unnamed')}) {count} times"
        for character, count in counts.most_common()
    )
