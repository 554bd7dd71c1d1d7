"""Readers of the files that hold texts to score; `KINDS` lists the kinds."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import ManifestError, raise_problems
from asr.files import read_lines
from asr.utterance import Utterance

Kind = Literal["manifest", "plain", "kaldi", "ctm", "stm"]
KINDS: dict[Kind, str] = {
    "manifest": "a manifest",
    "plain": "plain text, whose lines have no ids",
    "kaldi": "Kaldi text, with an id before each text",
    "ctm": "a CTM",
    "stm": "an STM",
}
_IGNORED = "ignore_time_segment_in_scoring"  # the text of a segment that NIST's STM files leave out of the score
_LONGEST = 1e7  # seconds; a larger number is not a time


@dataclass(frozen=True, slots=True)
class Entry:
    """One text to score, with its row if it is in a manifest, and its n-best list if it has one."""

    id: str
    text: str
    speaker: str | None = None
    utterance: Utterance | None = None
    nbest: tuple[str, ...] = ()


class TimedWord(NamedTuple):
    """A word of a CTM file; its channel is (recording, channel), times are in seconds."""

    channel: tuple[str, str]
    start: float
    duration: float
    word: str


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


def file_kind(path: Path) -> Kind:
    """Tell the kind of a file: `manifest`, `ctm` and `stm` by the suffix, `kaldi` by the name or suffix `text`.

    Any other file is Kaldi text if its lines begin with distinct words that each hold a digit and another character, as
    ids do. Otherwise it is plain text.
    """
    if path.suffix in SUFFIXES:
        return "manifest"
    if path.suffix == ".ctm":
        return "ctm"
    if path.suffix == ".stm":
        return "stm"
    if "text" in (path.name, path.suffix[1:]):
        return "kaldi"
    first = [line.split()[0] for line in _lines(path) if line.strip()]
    ids = len(first) == len(set(first)) > 0 and all(re.search(r"\d", word) and re.search(r"\D", word) for word in first)
    return "kaldi" if ids else "plain"


def read_entries(path: Path, *, hypotheses: bool, text_field: str = "text") -> list[Entry]:
    """Read a file of any kind into entries. Ids of plain text are line numbers.

    From a manifest, references are read from `text_field`, hypotheses from `hypothesis` or NeMo's `pred_text`. To score
    a CTM against an STM, use `cut` instead. Raises ManifestError that names the file with every line that cannot be
    read, or an id that stands there twice.
    """
    match file_kind(path):
        case "manifest":
            rows = read_manifest(path, text_field=text_field)
            entries = [_hypothesis(path, row) if hypotheses else _reference(path, row, text_field) for row in rows]
        case "ctm":
            entries = list(_whole_recordings(read_ctm(path)))
        case "stm":
            entries = [Entry(part.id, part.text, part.speaker) for part in read_stm(path) if not part.ignored]
        case "kaldi":
            lines = [line.split() for line in _lines(path) if line.strip()]
            entries = [Entry(identifier, " ".join(words)) for identifier, *words in lines]
        case _:
            return [Entry(str(number), line) for number, line in enumerate(_lines(path), start=1)]
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise ManifestError(f"{path}: id {entry.id!r} stands there twice; keep one of the two")
        seen.add(entry.id)
    if not entries:
        raise ManifestError(f"{path}: holds no utterances")
    return entries


def read_ctm(path: Path) -> list[TimedWord]:
    """Read NIST's CTM: `recording channel start duration word [confidence]` in each line, `;;` before comments."""
    words, problems = [], []
    for line, fields in _fields(path):
        try:
            if len(fields) not in (5, 6):
                raise ValueError(f"has {len(fields)} fields, not `recording channel start duration word [confidence]`")
            recording, channel, start, duration, word = fields[:5]
            words.append(TimedWord((recording, channel), _seconds(start), _seconds(duration), word))
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    raise_problems(problems, ManifestError)
    return words


def read_stm(path: Path) -> list[Segment]:
    """Read NIST's STM: `recording channel speaker start end [<label>] text` in each line, `;;` before comments."""
    segments, problems = [], []
    for line, fields in _fields(path):
        try:
            if len(fields) < 5:
                raise ValueError(f"has {len(fields)} fields, not `recording channel speaker start end [<label>] text`")
            recording, channel, speaker, start, end = fields[:5]
            text = fields[6:] if len(fields) > 5 and re.fullmatch("<[^<>]*>", fields[5]) else fields[5:]
            segments.append(Segment((recording, channel), speaker, _seconds(start), _seconds(end), " ".join(text)))
            if segments[-1].end <= segments[-1].start:
                raise ValueError(f"ends at {end} s, where or before it starts ({start} s)")
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
    raise_problems(problems, ManifestError)
    return segments


def cut(words: Iterable[TimedWord], segments: Iterable[Segment]) -> dict[Segment, list[str]]:
    """Assign each word to the segment its middle lies in, or to the nearest segment; words in order of time.

    Words between segments are kept, since leaving them out would flatter the score. Every channel must have segments.
    """
    channels: dict[tuple[str, str], list[Segment]] = {}
    for segment in sorted(segments, key=lambda segment: segment.start):
        channels.setdefault(segment.channel, []).append(segment)
    starts = {channel: [segment.start for segment in parts] for channel, parts in channels.items()}
    found: dict[Segment, list[str]] = {segment: [] for parts in channels.values() for segment in parts}
    for word in sorted(words, key=lambda word: word.start):
        middle = word.start + word.duration / 2
        after = bisect_right(starts[word.channel], middle)
        near = channels[word.channel][max(after - 1, 0) : after + 1]
        found[min(near, key=lambda part: max(part.start - middle, middle - part.end, 0.0))].append(word.word)
    return found


def _whole_recordings(words: list[TimedWord]) -> Iterator[Entry]:
    """Yield one entry for each recording, or for each channel if any recording has several."""
    texts: dict[tuple[str, str], list[str]] = {}
    for word in sorted(words, key=lambda word: word.start):
        texts.setdefault(word.channel, []).append(word.word)
    several = len({recording for recording, _ in texts}) < len(texts)
    for channel, text in texts.items():
        yield Entry("-".join(channel) if several else channel[0], " ".join(text))


def _reference(path: Path, row: Utterance, text_field: str) -> Entry:
    if row.text is None:
        raise ManifestError(f"{path}: {row.id} has no {text_field} to score against; add it or take the line out")
    return Entry(row.id, row.text, row.speaker, row)


def _hypothesis(path: Path, row: Utterance) -> Entry:
    text, nbest = row.extra.get("hypothesis", row.extra.get("pred_text")), row.extra.get("nbest", [])
    if not isinstance(text, str):
        raise ManifestError(f"{path}: {row.id} has no hypothesis; write it with `asr transcribe -o`")
    if isinstance(nbest, list):
        nbest = [one.get("text") if isinstance(one, dict) else one for one in nbest]
    if not isinstance(nbest, list) or not all(isinstance(one, str) for one in nbest):
        raise ManifestError(f"{path}: {row.id}: nbest must be a list of texts, or of objects with a `text`")
    return Entry(row.id, text, row.speaker, row, tuple(nbest))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    return "\n".join(read_lines(path, ManifestError)).removesuffix("\n").split("\n")


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_lines(path), start=1):
        if (fields := line.split()) and not fields[0].startswith(";;"):
            yield number, fields


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < _LONGEST:
        raise ValueError(f"{text!r} is not a number of seconds")
    return seconds
