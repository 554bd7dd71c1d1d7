"""Transcripts: the one result type of transcription, alignment and streams. No torch here."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

PAUSE = 0.5  # seconds without a word that end a segment
UNSURE_MARK = "[?]"  # follows a word of low confidence in ELAN files, as in CHAT


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its start and end in seconds, and its confidence in 0..1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """The words between two pauses, at least one, and start and end of their speech in seconds."""

    words: tuple[Word, ...]
    start: float
    end: float

    @property
    def text(self) -> str:
        """The words, a space between them."""
        return text_of(self.words)

    @property
    def confidence(self) -> float:
        """The mean confidence of the words, in 0..1."""
        return sum(word.confidence for word in self.words) / len(self.words)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A text of an n-best list, and its score in nats."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording or of a part of it, its duration in seconds, and its words.

    Times count from the start of the whole recording. `words` are empty for a model that cannot time them (attention
    without CTC). `channel` counts from 1; None is the average of all channels. `nbest` holds the n-best list if one was
    asked for, best first; its first text is `text`. `unbiased` is the text without hotwords, `posterior` the
    probability of `text` in a closed set of phrases. `nearest` is the most probable phrase where none of them was
    accepted. `audio` is the file that was transcribed, if it was one. `speech` are starts and ends of the speech
    between pauses, found in the sound: the bounds of segments.
    """

    text: str
    duration: float
    words: tuple[Word, ...] = ()
    channel: int | None = None
    nbest: tuple[Alternative, ...] = ()
    unbiased: str | None = None
    posterior: float | None = None
    nearest: Alternative | None = None
    audio: Path | None = field(default=None, compare=False)
    speech: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The words divided at the pauses between `speech`; without it, at half a second or more without a word."""
        return split_by_speech(self.words, self.speech) if self.speech else split_at_pauses(self.words)

    def to_dict(self) -> dict[str, Any]:
        """Return what the transcript holds as dicts, lists, strings and numbers that `json.dumps` takes.

        Times are rounded to milliseconds, confidences and scores to a thousandth. Fields that were not asked for
        (`channel`, `posterior`, `nbest`) are left out.
        """
        row: dict[str, Any] = {"text": self.text, "duration": round(self.duration, 3)}
        if self.channel is not None:
            row["channel"] = self.channel
        row |= self.certainty()
        row["segments"] = [segment_row(segment) for segment in self.segments]
        row["words"] = [word_row(word) for word in self.words]
        return row

    def certainty(self) -> dict[str, Any]:
        """Return the fields `posterior` and `nbest` of `to_dict`, each if the transcript has it."""
        row: dict[str, Any] = {} if self.posterior is None else {"posterior": round(self.posterior, 4)}
        if self.nbest:
            row["nbest"] = [{"text": one.text, "score": round(one.score, 3)} for one in self.nbest]
        return row

    def save(self, path: str | Path) -> None:
        """Write a file in the format that the suffix names: txt, json, jsonl, srt, vtt, tsv, ctm, TextGrid or eaf.

        The file is written whole or not at all. Formats that name the recording name `audio`; without it, the recording
        is taken to have the name of the file with the suffix .wav. Raises AsrError for another suffix, and for a format
        that needs the times of words if the transcript has none.
        """
        from asr.writers import save

        save(self, Path(path))


def word_row(word: Word) -> dict[str, Any]:
    """Return a word as a dict: times to the millisecond, confidence to a thousandth."""
    return {key: value if isinstance(value, str) else round(value, 3) for key, value in asdict(word).items()}


def segment_row(segment: Segment) -> dict[str, Any]:
    """Return a segment as a dict: times to the millisecond, confidence to a thousandth."""
    numbers = {"start": segment.start, "end": segment.end, "confidence": segment.confidence}
    return {"text": segment.text, **{key: round(value, 3) for key, value in numbers.items()}}


def split_at_pauses(words: Sequence[Word], pause: float = PAUSE) -> tuple[Segment, ...]:
    """Divide words where at least `pause` seconds pass without one."""
    cuts = [i for i in range(1, len(words)) if words[i].start - words[i - 1].end >= pause]
    bounds = zip([0, *cuts], [*cuts, len(words)], strict=True)
    return tuple(Segment(tuple(words[i:j]), words[i].start, words[j - 1].end) for i, j in bounds if i < j)


def split_by_speech(words: Sequence[Word], speech: Sequence[tuple[float, float]]) -> tuple[Segment, ...]:
    """Divide words in the middle of the pauses between `speech`, starts and ends in seconds, in order.

    A segment has the bounds of its speech, although a word may reach into the pause beside it.
    """
    middles = [(before[1] + after[0]) / 2 for before, after in pairwise(speech)]
    groups = groupby(words, key=lambda word: bisect(middles, (word.start + word.end) / 2))
    return tuple(Segment(tuple(group), *speech[index]) for index, group in groups)


def text_of(words: Sequence[Word]) -> str:
    """Return the texts of words, a space between them."""
    return " ".join(word.text for word in words)


def widest_gap(words: Sequence[Word]) -> int:
    """Return the index after the longest pause between two words; of equal pauses, the one nearest the middle."""
    return max(
        range(1, len(words)),
        key=lambda i: (round(words[i].start - words[i - 1].end, 2), -abs(2 * i - len(words))),
    )
