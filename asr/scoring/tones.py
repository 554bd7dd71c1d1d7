"""Tone marks, which the user names by example, since they differ between languages."""

import unicodedata

from asr.errors import AsrError


def tone_marks(letters: str) -> str:
    """Return the marks on some letters: `"áà"` gives U+0300 and U+0301; tone letters such as ˥ stand for themselves.

    Raises AsrError if there are none.
    """
    marks = {mark for mark in unicodedata.normalize("NFD", letters) if unicodedata.category(mark) in ("Mn", "Sk")}
    if not marks:
        raise AsrError(f"--tones {letters}: has no marks; write letters with every tone mark on one, such as áà")
    return "".join(sorted(marks))


def without_marks(text: str, marks: str) -> str:
    """Return the text in NFC without these marks; other marks on a letter stay."""
    letters = unicodedata.normalize("NFD", text).translate(dict.fromkeys(map(ord, marks)))
    return " ".join(unicodedata.normalize("NFC", letters).split())
