"""The transcript of a model -> the draft of a document; what a person checked stays as it is."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from asr.errors import AsrError
from asr.serving.workspace.document import Document, Segment
from asr.transcript import Transcript, Word

_NUMBERED = re.compile(r"s([0-9]{1,9})")
Gap = tuple[float, float]


def drafted(transcript: Transcript, offset: float = 0.0) -> list[Segment]:
    """Return the segments of a transcript whose recording began `offset` seconds after that of the document.

    The n-best list belongs to the whole transcript, so only a single segment has it. Raises AsrError for a text
    without times.
    """
    if transcript.text and not transcript.words:
        raise AsrError("this model cannot tell when words are spoken, as segments need it; choose a model with CTC")
    segments = [
        Segment(
            id=f"draft{number}",
            start=segment.start + offset,
            end=segment.end + offset,
            text=segment.text,
            words=tuple(replace(word, start=word.start + offset, end=word.end + offset) for word in segment.words),
        )
        for number, segment in enumerate(transcript.segments)
    ]
    return [replace(segments[0], nbest=transcript.nbest)] if len(segments) == 1 else segments


def with_draft(document: Document, draft: Sequence[Segment], start: float, end: float, model: str) -> Document:
    """Return the document with a draft between `start` and `end` seconds, in place of what nobody checked there.

    Checked segments stay, and segments that reach beyond the bounds. Words of the draft in the time of these segments
    are left out. New segments get ids that no segment of the document has had.
    """
    kept = [one for one in document.segments if one.checked or one.start < start or one.end > end]
    numbers = [int(match[1]) for one in document.segments if (match := _NUMBERED.fullmatch(one.id))]
    number = max(numbers, default=0)
    new = []
    for part in _in_gaps(draft, _gaps(kept, start, end)):
        number += 1
        new.append(replace(part, id=f"s{number}"))
    segments = sorted([*kept, *new], key=lambda one: one.start)
    return replace(document, segments=tuple(segments), model=model)


def widened(document: Document, start: float, end: float) -> tuple[float, float]:
    """Return bounds that cut no segment which nobody checked."""
    touched = [one for one in document.segments if not one.checked and one.start < end and one.end > start]
    return min([start, *(one.start for one in touched)]), max([end, *(one.end for one in touched)])


def _gaps(kept: Sequence[Segment], start: float, end: float) -> list[Gap]:
    """Return the times between `start` and `end` that no segment of `kept` has."""
    gaps, position = [], start
    for one in kept:
        if one.end <= start or one.start >= end:
            continue
        if one.start > position:
            gaps.append((position, one.start))
        position = max(position, one.end)
    return [*gaps, (position, end)] if position < end else gaps


def _in_gaps(draft: Sequence[Segment], gaps: Sequence[Gap]) -> Iterator[Segment]:
    """Yield the parts of a draft that lie in the gaps: the words whose middle lies there."""
    for segment in draft:
        for gap, words in groupby(segment.words, key=lambda word: _gap_of(word, gaps)):
            if gap is None:
                continue
            inside = tuple(words)
            is_whole = len(inside) == len(segment.words)
            start = segment.start if inside[0] is segment.words[0] else inside[0].start
            end = segment.end if inside[-1] is segment.words[-1] else inside[-1].end
            yield replace(
                segment,
                start=max(start, gap[0]),
                end=min(end, gap[1]),
                text=segment.text if is_whole else " ".join(word.text for word in inside),
                words=inside,
                nbest=segment.nbest if is_whole else (),
            )


def _gap_of(word: Word, gaps: Sequence[Gap]) -> Gap | None:
    middle = (word.start + word.end) / 2
    return next((gap for gap in gaps if gap[0] <= middle < gap[1]), None)
