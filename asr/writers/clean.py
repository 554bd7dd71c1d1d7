"""Texts that every format can hold: no ends of lines within a word, no control characters, no lone surrogates."""

import re
from dataclasses import replace

from asr.transcript import Transcript

_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")  # would end a line or a field
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # in XML, in UTF-8, on terminals


def without_breaks(transcript: Transcript) -> Transcript:
    """Return the transcript with a space in place of tabs, ends of lines and other separators."""
    words = (replace(word, text=_BREAKS.sub(" ", word.text)) for word in transcript.words)
    return replace(transcript, text=_BREAKS.sub(" ", transcript.text), words=tuple(words))


def writable(text: str) -> str:
    """Return text with U+FFFD in place of each character that XML or UTF-8 cannot hold, or that a terminal obeys."""
    return _UNWRITABLE.sub("\ufffd", text)
