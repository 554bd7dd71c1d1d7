"""Reader of NIST's STM (segment time marks): each line is a segment of a recording and an utterance."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.readers.annotations import (
    Context,
    Kind,
    each_line,
    head_lines,
    is_kind,
    read_annotations,
)
from asr.corpus.readers.files import SourceError, is_file
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note
from asr.corpus.readers.tiers import Annotation
from asr.corpus.stm import parse_seconds, parse_segment
from asr.decoders import open_recording
from asr.errors import AudioError, raise_problems

_MOST = 0.8  # share of the lines of an STM that are segments
_DEEPEST = 5  # alternatives inside each other
_DECIMAL = re.compile(r"\d{1,7}\.\d{1,9}")
_ALTERNATIVES = re.compile(r"\{([^{}/]*)(?:/[^{}]*)?\}")
_OPTIONAL = re.compile(r"\(([^\s()]+)\)")
_SOUND = re.compile(r"\[[^\[\]]*\]|<[^<>\s]*>|%\S+|\{[^\s{}]+\}")
_VARIANT = re.compile(r"(?<=\S)\(\d\)")  # TED-LIUM: the pronunciation of the word before it


def _looks_like(head: str) -> bool:
    rows = [line.split() for line in head_lines(head) if not line.startswith(";;")]
    # A file with a few faulty lines is an STM, so that reading it names the lines.
    return bool(rows) and sum(map(_is_segment, rows)) >= _MOST * len(rows)


def _is_segment(fields: list[str]) -> bool:
    """Return True for the fields of a segment with decimal times, which no field of a CTM before them has."""
    times = [_DECIMAL.fullmatch(field) for field in fields[2:5]]
    return len(times) == 3 and not times[0] and any(times) and _in_order(fields[3:5])


def _in_order(times: list[str]) -> bool:
    try:
        return parse_seconds(times[0]) <= parse_seconds(times[1])
    except ValueError:
        return False


_KIND = Kind("NIST STM", (".stm",), _looks_like)


def recognises(source: Path) -> bool:
    """Return True for an STM file, or a folder with such files at any depth."""
    return is_kind(source, _KIND)


def read(source: Path) -> Splits:
    """Read the segments of every file, with the recordings that they name.

    Segments that are not scored are left out, and so are sounds in brackets. Of alternatives the first is taken, and a
    word in parentheses loses them. These are counted. Two channels are read only if each has a recording of its own
    (`NAME-A` or `NAME_A`), or if the recording has one channel. Raises SourceError that names each line that is no
    segment.
    """
    return read_annotations(source, _KIND, _read_file, None)


READER = Reader("NIST STM", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    segments, problems = [], []
    for number, line in each_line(path):
        if line.strip() and not line.lstrip().startswith(";;"):
            try:
                segments.append(parse_segment(line))
            except ValueError as error:
                problems.append(f"{path}:{number}: {error}")
    raise_problems(problems, SourceError)
    audio = _recordings({segment.channel for segment in segments}, path, context)
    for segment in segments:
        if segment.ignored or segment.speaker == "inter_segment_gap":
            context.left_out["segments that are not scored"] += 1
            continue
        text = _plain(segment.text, context.left_out)
        yield Annotation(path, audio[segment.channel], "text", segment.start, segment.end, text, segment.speaker)


def _recordings(channels: set[tuple[str, str]], path: Path, context: Context) -> dict[tuple[str, str], Path]:
    """Return the recording of each channel. Raises ValueError for two channels in one recording."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, channel in sorted(channels):
        names[name].append(channel)
    found = {}
    for name, stated in names.items():
        audio = context.recording_of(path, name) if len(stated) == 1 else context.recordings.find(name, path.parent)
        for channel in stated:
            own = [context.recordings.find(f"{name}{mark}{channel}", path.parent) for mark in "-_" if len(stated) > 1]
            found[name, channel] = next(filter(is_file, own), audio)
        if audio in (found[name, channel] for channel in stated) and _has_channels(audio):
            if len(stated) > 1:
                raise ValueError(
                    f"{name} has the channels {', '.join(stated)}, and a manifest cannot name a channel; write each "
                    f"channel to a file of its own, called {name}-{stated[0]}{audio.suffix}"
                )
            note(
                "{} recording<s> <has|have> more channels than <its|their> STM names; all channels are averaged",
                str(audio),
            )
    return found


def _has_channels(audio: Path) -> bool:
    try:
        with open_recording(audio) as recording:
            return recording.channels > 1
    except AudioError:
        return False  # a recording that is missing or damaged is named later


def _plain(text: str, left_out: Counter[str]) -> str:
    """Return the words to learn: the first of alternatives, no sounds, no marks of variants and optional words."""
    if count := text.count("/") if _ALTERNATIVES.search(text) else 0:
        left_out["alternatives but the first { a / b }"] += count
        for _ in range(_DEEPEST):
            text = _ALTERNATIVES.sub(lambda match: match[1].replace("@", " ") if "/" in match[0] else match[0], text)
    text = _VARIANT.sub("", text)
    text = _OPTIONAL.sub(r"\1", text)
    for sound in _SOUND.findall(text):
        left_out[sound[:40]] += 1
    return " ".join(_SOUND.sub(" ", text).split())
