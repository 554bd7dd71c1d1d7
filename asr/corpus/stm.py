"""Lines of NIST's STM (segment time marks), which is a corpus, and also a file of references to score.

Format: `recording channel speaker start end [<label>] text` in each line, as sclite's manual describes it.
"""

import re
from typing import NamedTuple

_IGNORED = "ignore_time_segment_in_scoring"  # the text of a segment that is not scored
_LONGEST = 1e7  # seconds; a larger number is not a time


class Segment(NamedTuple):
    """A segment of an STM file; its channel is (recording, channel), times are in seconds."""

    channel: tuple[str, str]
    speaker: str
    start: float
    end: float
    text: str

    @property
    def id(self) -> str:
        return f"{'-'.join(self.channel)}-{self.start:.2f}-{self.end:.2f}"

    @property
    def ignored(self) -> bool:
        return self.text.lower() == _IGNORED


def parse_segment(line: str) -> Segment:
    """Parse one line of an STM file. Raises ValueError for a line that is no segment."""
    fields = line.split()
    if len(fields) < 5:
        raise ValueError(f"has {len(fields)} fields, not `recording channel speaker start end [<label>] text`")
    recording, channel, speaker, start, end = fields[:5]
    text = fields[6:] if len(fields) > 5 and re.fullmatch("<[^<>]*>", fields[5]) else fields[5:]
    segment = Segment((recording, channel), speaker, parse_seconds(start), parse_seconds(end), " ".join(text))
    if segment.end <= segment.start:
        raise ValueError(f"ends at {end} s, where or before it starts ({start} s)")
    return segment


def parse_seconds(text: str) -> float:
    """Parse a number of seconds. Raises ValueError for a number that is no time."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < _LONGEST:
        raise ValueError(f"{text[:40]!r} is not a number of seconds")
    return value
