"""Tone marks: which they are is a matter of the language, so the user shows them."""

import unicodedata

from asr.errors import AsrError


def tone_marks(letters: str) -> str:
    """The marks on some letters: `"áà"` gives U+0300 and U+0301; tone letters such as ˥ stand for themselves.

    Raises AsrError if there are none.
    """
    marks = {mark for mark in unicodedata.normalize("NFD", letters) if unicodedata.category(mark) in ("Mn", "Sk")}
    if not marks:
        raise AsrError(f"--tones {letters}: has no marks; write letters with every tone mark on one, such as áà")
    return "".join(sorted(marks))


def without_marks(text: str, marks: str) -> str:
    """The text without these marks; others on the same letter stay. NFC."""
    letters = unicodedata.normalize("NFD", text).translate(dict.fromkeys(map(ord, marks)))
    return " ".join(unicodedata.normalize("NFC", letters).split())
