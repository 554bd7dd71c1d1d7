"""Texts that every format can hold: no ends of lines within a word, no control characters, no lone surrogates."""

import re
from dataclasses import replace

from asr.transcript import Transcript

_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")  # would end a line or a field
_UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # in XML, in UTF-8, on terminals


def clean(transcript: Transcript) -> Transcript:
    """Return the transcript with texts that `writable` leaves as they are, and spaces for tabs and ends of lines."""
    words = (replace(word, text=_one_line(word.text)) for word in transcript.words)
    nbest = (replace(one, text=_one_line(one.text)) for one in transcript.nbest)
    return replace(transcript, text=_one_line(transcript.text), words=tuple(words), nbest=tuple(nbest))


def writable(text: str) -> str:
    """Return text with U+FFFD in place of each character that XML or UTF-8 cannot hold, or that a terminal obeys."""
    return _UNWRITABLE.sub("\ufffd", text)


def _one_line(text: str) -> str:
    return writable(_BREAKS.sub(" ", text))
