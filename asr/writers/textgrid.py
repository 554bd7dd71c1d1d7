"""Praat TextGrid with a tier of segments and a tier of words. Written in the long text format, as Praat does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.transcript import Transcript

Interval = tuple[float, float, str]


def render(transcript: Transcript, recording: Path) -> str:
    end = max([transcript.duration, *(word.end for word in transcript.words[-1:])])
    tiers = {
        "segments": [(segment.start, segment.end, segment.text) for segment in transcript.segments],
        "words": [(word.start, word.end, word.text) for word in transcript.words],
    }
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        filled = list(_without_gaps(intervals, end))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(filled)}"]
        for index, (start, stop, text) in enumerate(filled, start=1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{index}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {stop:.6f}", f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"


def _without_gaps(intervals: Sequence[Interval], end: float) -> Iterator[Interval]:
    """Fill a tier from 0 to its end, as Praat needs it: with empty intervals in the gaps."""
    position = 0.0
    for start, stop, text in intervals:
        if start > position:
            yield position, start, ""
        yield start, stop, text
        position = stop
    if end > position or not intervals:
        yield position, end, ""
