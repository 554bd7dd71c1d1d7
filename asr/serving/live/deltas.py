"""Text that may still change -> parts that are told once, and joined give the text so far."""

from collections.abc import Sequence
from itertools import takewhile


class Deltas:
    """Tells a word once another word has followed it in two updates in a row, or once it is final.

    Should a word change after it was told, nothing more is told before the end; the whole text is the truth.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._before: list[str] = []  # words of the last update that another word followed

    def update(self, final: Sequence[str], partial: str) -> str:
        """Take the words that are final and the text after them; return what to tell, or an empty text."""
        following = [*final, *partial.split()[:-1]]
        stable = [
            now for now, _ in takewhile(lambda pair: pair[0] == pair[1], zip(following, self._before, strict=False))
        ]
        self._before = following
        return self._tell(max(stable, list(final), key=len))

    def rest(self, text: str) -> str:
        """Return what of the whole text was not told."""
        return self._tell(text.split())

    def _tell(self, words: list[str]) -> str:
        count = len(self._told)
        if words[:count] != self._told or len(words) == count:
            return ""
        told = (" " if count else "") + " ".join(words[count:])
        self._told = words
        return told
