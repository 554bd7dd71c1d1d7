"""Words -> cues of at most two lines of 42 characters, broken at pauses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr.transcript import Word, segments, widest_gap

LINE, LINES = 42, 2
LONGEST = 7.0  # seconds a cue stays, as is usual for reading


@dataclass(frozen=True, slots=True)
class Cue:
    """Start and end in seconds, and one or two lines."""

    start: float
    end: float
    lines: tuple[str, ...]


def cues(words: Sequence[Word]) -> list[Cue]:
    """Cues for all words, in order and without overlap."""
    made = []
    waiting = [list(segment) for segment in segments([part for word in words for part in _parts(word)])][::-1]
    while waiting:
        group = waiting.pop()
        lines = _layout(group)
        if lines and (len(group) == 1 or group[-1].end - group[0].start <= LONGEST):
            made.append(Cue(group[0].start, group[-1].end, lines))
        else:
            middle = widest_gap(group)
            waiting += [group[middle:], group[:middle]]
    return made


def _parts(word: Word) -> Iterator[Word]:
    """A word longer than a line in pieces of a line each, as in scripts that write no spaces."""
    pieces = [word.text[i : i + LINE] for i in range(0, len(word.text), LINE)]
    step = (word.end - word.start) / len(pieces)
    for number, text in enumerate(pieces):
        yield replace(word, text=text, start=word.start + number * step, end=word.start + (number + 1) * step)


def _layout(words: Sequence[Word]) -> tuple[str, ...]:
    """The words on one line, or on two as even as can be; nothing if they do not fit."""
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
    """`3661.5` -> `01:01:01.500`, with the decimal point of the format."""
    milliseconds = round(seconds * 1000)
    hours, minutes = milliseconds // 3_600_000, milliseconds // 60_000 % 60
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000 % 60:02}{point}{milliseconds % 1000:03}"
