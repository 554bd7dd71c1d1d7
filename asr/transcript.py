"""What is said in a recording, and when: the one result type of transcription and alignment. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass

PAUSE = 0.5  # seconds without a word that end a segment


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its start and end in seconds, and its confidence in 0..1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Guess:
    """A text that may have been said, and its score in nats."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording or of a part of it, its duration in seconds, and its words.

    Times count from the start of the whole recording. `channel` counts from 1; None is the average of all. `nbest` are
    the best guesses if they were asked for, the first of them the text; `unsteered` is the text without hotwords,
    `posterior` that of the text in a closed set.
    """

    text: str
    duration: float
    words: tuple[Word, ...] = ()
    channel: int | None = None
    nbest: tuple[Guess, ...] = ()
    unsteered: str | None = None
    posterior: float | None = None

    def segments(self) -> list[tuple[Word, ...]]:
        """The words between pauses."""
        return segments(self.words)


def segments(words: Sequence[Word], pause: float = PAUSE) -> list[tuple[Word, ...]]:
    """Words divided where at least `pause` seconds pass without one."""
    cuts = [i for i in range(1, len(words)) if words[i].start - words[i - 1].end >= pause]
    return [tuple(words[i:j]) for i, j in zip([0, *cuts], [*cuts, len(words)], strict=True) if i < j]


def spoken(words: Sequence[Word]) -> str:
    """The text of words."""
    return " ".join(word.text for word in words)


def widest_gap(words: Sequence[Word]) -> int:
    """The index after the longest pause between words; of equal ones the one nearest the middle."""
    return max(
        range(1, len(words)),
        key=lambda i: (round(words[i].start - words[i - 1].end, 2), -abs(2 * i - len(words))),
    )
