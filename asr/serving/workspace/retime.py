"""The words of a corrected text: words that stayed keep their times, new words share the time between them."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from asr.transcript import Word

SURE = 1.0  # confidence of a word that a person wrote
_SHORTEST = 0.01  # seconds that a word without times of its own gets, if the segment has them


def retime(text: str, words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """Return the words of `text`, in order, without overlap, between `start` and `end` in seconds.

    `words` are those of the text before it was corrected. A word that stayed keeps its confidence, and its times if
    they lie in the segment.
    """
    tokens = text.split()
    if tokens == [word.text for word in words] and _are_timed(words, start, end):
        return tuple(words)
    known: list[Word | None] = [None] * len(tokens)
    matcher = SequenceMatcher(None, [word.text for word in words], tokens, autojunk=False)
    for old, new, size in matcher.get_matching_blocks():
        known[new : new + size] = words[old : old + size]
    timed: list[Word] = []
    waiting: list[Word] = []  # words that need times, after the last word of `timed`
    for token, word in zip(tokens, known, strict=True):
        position = timed[-1].end if timed else start
        if word is None or not _fits(word, position, end):
            waiting.append(Word(token, 0.0, 0.0, SURE if word is None else word.confidence))
            continue
        room = word.start - (timed[-1].start if timed else start)  # with that of the word before
        if waiting and room < _SHORTEST * (len(waiting) + 1):
            waiting.append(word)
            continue
        _share(timed, waiting, start, word.start)
        timed.append(Word(token, max(word.start, position), min(word.end, end), word.confidence))
    _share(timed, waiting, start, end)
    return tuple(timed)


def _are_timed(words: Sequence[Word], start: float, end: float) -> bool:
    """Return whether words follow each other between two times, and each has a time if there is enough for all."""
    edges = [start, *(edge for word in words for edge in (word.start, word.end)), end]
    is_short = end - start < _SHORTEST * len(words)
    return all(a <= b for a, b in pairwise(edges)) and (is_short or all(word.start < word.end for word in words))


def _fits(word: Word, position: float, end: float) -> bool:
    """Return whether a word has at least the shortest time after `position`, and before `end`."""
    return min(word.end, end) - max(word.start, position) >= _SHORTEST and word.start >= position - _SHORTEST


def _share(timed: list[Word], waiting: list[Word], start: float, end: float) -> None:
    """Move the waiting words to `timed`: they share the time to `end` by their lengths.

    If there is too little time, they share that of the words before them too.
    """
    while timed and waiting and end - timed[-1].end < _SHORTEST * len(waiting):
        waiting.insert(0, timed.pop())
    position = timed[-1].end if timed else start
    total = sum(len(word.text) for word in waiting)
    for word in waiting:
        length = max(end - position, 0.0) * len(word.text) / total
        total -= len(word.text)
        timed.append(Word(word.text, position, position + length, word.confidence))
        position += length
    waiting.clear()
