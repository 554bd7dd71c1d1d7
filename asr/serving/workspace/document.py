"""The document of a recording: its segments, which of them a person checked, and its JSON."""

import math
import re
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

from asr.corpus.manifest import parse_json
from asr.errors import AsrError
from asr.serving.workspace.retime import SURE, retime
from asr.transcript import Alternative, Transcript, Word, word_row
from asr.writers.clean import writable
from asr.writers.json import lay_out

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BREAKS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_LONGEST_TEXT = 20_000  # characters of a segment
_MOST = 100_000  # segments of a document
_TOUCH = 0.0011  # seconds that two segments may overlap, because times are rounded
_ROUNDED = 0.001  # seconds that rounding may add
_BEYOND = 0.5  # seconds that a segment may end after the recording, as headers are not exact


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a recording and its text; `checked` if a person read and heard it. Times are in seconds."""

    id: str
    start: float
    end: float
    text: str
    checked: bool = False
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    nbest: tuple[Alternative, ...] = ()

    @property
    def confidence(self) -> float | None:
        """The mean confidence of the words, in 0..1; None without words."""
        return sum(word.confidence for word in self.words) / len(self.words) if self.words else None


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds that people worked, and seconds of audio that they checked in this time."""

    seconds: float = 0.0
    audio: float = 0.0

    def plus(self, seconds: float, audio: float) -> "Work":
        """Return the sum; the audio of segments that are no longer checked is taken off."""
        return Work(self.seconds + seconds, max(self.audio + audio, 0.0))


NO_WORK = Work()


@dataclass(frozen=True, slots=True)
class Document:
    """The segments of a recording, in order and without overlap, and what is kept with them.

    `model` is the name of the model that made the draft. `typed` is the work from nothing, `corrected` the work on
    drafts. `written` are digests of the other files of the document, as they were written last.
    """

    segments: tuple[Segment, ...] = ()
    model: str | None = None
    typed: Work = NO_WORK
    corrected: Work = NO_WORK
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_typed(self) -> bool:
        """True if people began from nothing, and no model has made a draft since."""
        return self.typed.seconds > 0 and self.model is None

    @property
    def checked(self) -> tuple[Segment, ...]:
        """The segments that a person checked."""
        return tuple(segment for segment in self.segments if segment.checked)

    @property
    def checked_seconds(self) -> float:
        """The duration of the checked segments."""
        return sum(segment.end - segment.start for segment in self.checked)

    @property
    def confidence(self) -> float | None:
        """The mean confidence of the words that nobody checked; None if there are none."""
        values = [word.confidence for segment in self.segments if not segment.checked for word in segment.words]
        return sum(values) / len(values) if values else None

    def transcript(self, duration: float) -> Transcript:
        """Return the text and the words of all segments, as the writers of files take them."""
        words = tuple(word for segment in self.segments for word in segment.words)
        text = " ".join(segment.text for segment in self.segments if segment.text)
        speech = tuple((segment.start, segment.end) for segment in self.segments)
        return Transcript(text, duration, words, speech=speech)


def in_order(segments: Iterable[Segment], duration: float | None) -> tuple[Segment, ...]:
    """Return segments as a document holds them: in order of time, on one line, with words that spell the text.

    Segments that a person checked have sure words. Times are rounded to milliseconds. Raises AsrError that names a
    segment whose times are impossible or overlap those of another one, or whose id is not its own.
    """
    ordered: list[Segment] = []
    ids: set[str] = set()
    for segment in sorted(segments, key=lambda one: (one.start, one.end)):
        if not _ID.fullmatch(segment.id) or segment.id in ids:
            raise AsrError(f"segment {segment.id[:80]!r}: give each segment an id of its own, of letters and digits")
        ids.add(segment.id)
        if len(segment.text) > _LONGEST_TEXT:
            raise AsrError(f"segment {segment.id}: has more than {_LONGEST_TEXT} characters; divide it")
        start, end = round(segment.start, 3), round(segment.end, 3)
        if duration is not None and duration < end <= duration + _BEYOND:
            end = round(duration, 3)
        if not (math.isfinite(start) and math.isfinite(end) and 0.0 <= start < end):
            raise AsrError(f"segment {segment.id}: begins at {start:g} s and ends at {end:g} s; correct its borders")
        if duration is not None and end > duration + _ROUNDED:
            raise AsrError(
                f"segment {segment.id}: ends at {end:g} s, but the recording has {duration:.3f} s; shorten it"
            )
        if ordered and start < (before := ordered[-1]).end:
            if before.end - start > _TOUCH or before.end >= end:
                raise AsrError(
                    f"segments {before.id} and {segment.id} overlap from {start:g} to {min(before.end, end):g} s; "
                    "move a border"
                )
            start = before.end
        ordered.append(_tidy(replace(segment, start=start, end=end)))
        if len(ordered) > _MOST:
            raise AsrError(f"the document has more than {_MOST} segments; divide the recording")
    return tuple(ordered)


def _tidy(segment: Segment) -> Segment:
    text = writable(_BREAKS.sub(" ", segment.text)).strip()
    words = retime(text, segment.words, segment.start, segment.end)
    if segment.checked:
        words = tuple(replace(word, confidence=SURE) for word in words)
    return replace(segment, text=text, words=tuple(_rounded(word) for word in words))


def _rounded(word: Word) -> Word:
    return Word(word.text, round(word.start, 3), round(word.end, 3), round(min(max(0.0, word.confidence), 1.0), 3))


def to_json(document: Document, audio: str, duration: float | None) -> str:
    """Return the JSON of a document: the fields of a transcript, and beside them what people did.

    `audio` is the name of the recording.
    """
    head = {
        "audio_filepath": audio,
        "duration": None if duration is None else round(duration, 3),
        "text": " ".join(segment.text for segment in document.segments if segment.text),
        "model": document.model,
        "typed": {"seconds": round(document.typed.seconds, 1), "audio": round(document.typed.audio, 3)},
        "corrected": {"seconds": round(document.corrected.seconds, 1), "audio": round(document.corrected.audio, 3)},
        "written": dict(document.written),
    }
    rows = (
        {
            **{key: value for key, value in segment_row(segment).items() if key != "words"},
            "confidence": None if segment.confidence is None else round(segment.confidence, 3),
            "num_words": len(segment.words),
        }
        for segment in document.segments
    )
    return lay_out(head, rows, (word_row(word) for segment in document.segments for word in segment.words))


def segment_row(segment: Segment) -> dict[str, Any]:
    """Return a segment as dicts, lists, strings and numbers."""
    return {
        "id": segment.id,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "checked": segment.checked,
        "speaker": segment.speaker,
        "words": [word_row(word) for word in segment.words],
        "nbest": [{"text": one.text, "score": round(one.score, 3)} for one in segment.nbest],
    }


def from_json(content: str, name: str) -> Document:
    """Return the document that `to_json` wrote, or the draft that `asr transcribe -f json` wrote.

    The recording may be shorter than the document, if it was replaced. Raises AsrError that names a damaged file.
    """
    try:
        row = parse_json(content)
        segments = [_segment(one, number) for number, one in enumerate(row["segments"], start=1)]
        words, counts = [_word(one) for one in row["words"]], [one.get("num_words") for one in row["segments"]]
        return Document(
            segments=in_order(_with_words(segments, words, counts), None),
            model=_optional(row.get("model")),
            typed=_work(row.get("typed", {})),
            corrected=_work(row.get("corrected", {})),
            written={str(key): str(value) for key, value in row.get("written", {}).items()},
        )
    except (AsrError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise AsrError(f"{name}: is damaged ({reason}); correct it, or move it away to begin anew") from None


def is_document(content: str) -> bool:
    """Return whether a text is JSON of a document or of a transcript, and not of another program.

    JSON that is damaged counts as a document, because it may be one.
    """
    try:
        row = parse_json(content)
    except ValueError:
        return True
    return isinstance(row, dict) and isinstance(row.get("segments"), list) and isinstance(row.get("words"), list)


def audio_of(content: str) -> str | None:
    """Return the name of the recording that the JSON of a document states, without folders."""
    try:
        found = parse_json(content)["audio_filepath"]
    except (ValueError, KeyError, TypeError):
        return None
    return re.split(r"[/\\]", found)[-1] if isinstance(found, str) else None


def _segment(row: Mapping[str, Any], number: int) -> Segment:
    nbest = tuple(Alternative(str(one["text"]), float(one["score"])) for one in row.get("nbest", ()))
    return Segment(
        id=str(row.get("id", f"s{number}")),
        start=float(row["start"]),
        end=float(row["end"]),
        text=str(row["text"]),
        checked=row.get("checked") is True,
        speaker=_optional(row.get("speaker")),
        nbest=nbest,
    )


def _word(row: Mapping[str, Any]) -> Word:
    return Word(str(row["text"]), float(row["start"]), float(row["end"]), float(row["confidence"]))


def _with_words(segments: Sequence[Segment], words: Sequence[Word], counts: Sequence[Any]) -> list[Segment]:
    """Give each segment its words: by their number, or else those whose middle lies nearer to it than to others."""
    if all(isinstance(count, int) and count >= 0 for count in counts) and sum(counts) == len(words):
        ends = list(accumulate(counts, initial=0))
        parts = [tuple(words[i:j]) for i, j in pairwise(ends)]
        return [replace(segment, words=part) for segment, part in zip(segments, parts, strict=True)]
    segments = sorted(segments, key=lambda segment: segment.start)
    middles = [(before.end + after.start) / 2 for before, after in pairwise(segments)]
    own: dict[int, list[Word]] = {}
    for word in words if segments else ():
        own.setdefault(bisect(middles, (word.start + word.end) / 2), []).append(word)
    return [replace(segment, words=tuple(own.get(index, ()))) for index, segment in enumerate(segments)]


def _work(row: Mapping[str, Any]) -> Work:
    return Work(float(row.get("seconds", 0.0)), float(row.get("audio", 0.0)))


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)
