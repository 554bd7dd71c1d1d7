"""Words -> subtitles (cues) of at most two lines of 42 characters, divided at pauses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr.transcript import Segment, Word, widest_gap

LINE, LINES = 42, 2
LONGEST = 7.0  # seconds of a cue, the usual limit for reading


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle: its start and end in seconds, and one or two lines."""

    start: float
    end: float
    lines: tuple[str, ...]


def cues(segments: Sequence[Segment]) -> list[Cue]:
    """Lay out segments as cues, in order and without overlap; a word without a letter has no cue.

    A segment too long for a cue is divided between words. `-->`, which separates times, becomes `-- >` in a text.
    """
    made = []
    waiting = [_shown(segment) for segment in reversed(segments)]
    while waiting:
        group = waiting.pop()
        words = group.words
        lines = _layout(words)
        if words and lines and (len(words) == 1 or group.end - group.start <= LONGEST):
            made.append(Cue(group.start, group.end, lines))
        elif len(words) > 1:
            middle = widest_gap(words)
            waiting.append(replace(group, words=words[middle:], start=words[middle].start))
            waiting.append(replace(group, words=words[:middle], end=words[middle - 1].end))
    return made


def _shown(segment: Segment) -> Segment:
    """Return a segment with words that fit on a line."""
    return replace(segment, words=tuple(part for word in segment.words for part in _parts(word)))


def _parts(word: Word) -> Iterator[Word]:
    """Divide a word longer than a line, as in scripts that write no spaces, into pieces of one line."""
    shown = " ".join(word.text.split()).replace("-->", "-- >")
    pieces = [shown[i : i + LINE] for i in range(0, len(shown), LINE)]
    step = (word.end - word.start) / max(len(pieces), 1)
    for number, text in enumerate(pieces):
        yield replace(word, text=text, start=word.start + number * step, end=word.start + (number + 1) * step)


def _layout(words: Sequence[Word]) -> tuple[str, ...]:
    """Lay out words on one line, or on two lines of about equal length; return nothing if they do not fit."""
    texts = [word.text for word in words]
    whole = " ".join(texts)
    if len(whole) <= LINE:
        return (whole,)
    if len(whole) > LINES * LINE + 1:
        return ()
    halves = [(" ".join(texts[:i]), " ".join(texts[i:])) for i in range(1, len(texts))]
    fitting = [pair for pair in halves if max(map(len, pair)) <= LINE]
    return min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])), default=())


def clock(seconds: float, point: str) -> str:
    """Format `3661.5` as `01:01:01.500`, with the decimal point of the subtitle format."""
    milliseconds = round(seconds * 1000)
    hours, minutes = milliseconds // 3_600_000, milliseconds // 60_000 % 60
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000 % 60:02}{point}{milliseconds % 1000:03}"
