"""Reader of label files: a start, an end and a text on each line.

Those of Audacity and WaveSurfer hold seconds, those of HTK multiples of 100 ns, those of TIMIT samples.
"""

import re
from collections.abc import Iterator
from glob import escape
from pathlib import Path

from asr.corpus.readers.annotations import (
    Context,
    Kind,
    beginning,
    each_line,
    find,
    head_lines,
    is_kind,
    read_annotations,
    seconds,
)
from asr.corpus.readers.files import SourceError, is_audio, is_file, matches
from asr.corpus.readers.kinds import kind_of
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation
from asr.corpus.readers.times import length
from asr.errors import raise_problems

_NUMBER = r"\d{1,15}(?:[.,]\d{1,15})?"
_LABEL = re.compile(rf"({_NUMBER})\s+({_NUMBER})(?:\s+(\S.*))?")
_FREQUENCIES = "\\"  # begins a line with the two frequencies of the label above
_HTK = 1e-7  # seconds of one unit of HTK
_MOST = 0.8  # share of the lines of a file of labels that are labels
_SAMPLED = 20  # files of labels beside which transcripts are looked for
_SLACK = 0.5  # seconds that labels may end after their recording


def _looks_like(head: str) -> bool:
    lines = [line.strip() for line in head_lines(head) if not line.startswith(_FREQUENCIES)]
    labels = [match for line in lines if (match := _LABEL.fullmatch(line))]
    times = [(_value(match[1]), _value(match[2])) for match in labels]
    # A file with a few faulty lines is one of labels, so that reading it names the lines.
    if not labels or sum(start <= end for start, end in times) < _MOST * len(lines):
        return False
    if any(_has_decimals(match) for match in labels):
        return len(labels) > 1 or times[0][0] == 0.0 or lines[0].count("\t") in (1, 2)
    # Digits that a person speaks are numbers too, but they do not grow to thousands.
    return times[-1][1] >= 1000


_KIND = Kind("label files (Audacity, HTK, TIMIT)", (), _looks_like, needs_name=lambda head: True)


def recognises(source: Path) -> bool:
    """Return True for a file of labels, or a folder with such files at any depth.

    If the same recordings have plain transcripts too, the labels are most often the words or sounds of an alignment,
    and the folder is not recognised.
    """
    if not is_kind(source, _KIND):
        return False
    labels = find(source, _KIND, Recordings(source))[:_SAMPLED] if source.is_dir() else []
    return not labels or 2 * sum(map(_has_transcript, labels)) < len(labels)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the labels of every file, with the recording of its name.

    If a recording has several files, the suffix of a file is its tier (`--tier wrd`). Times without a decimal point are
    units of 100 ns if they then fit the length of the recording, or else samples. Raises SourceError that names each
    line that is no label.
    """
    return read_annotations(source, _KIND, _read_file, tier)


READER = Reader("label files (Audacity, HTK, TIMIT)", recognises, read, tracks_files=True)


def _has_transcript(path: Path) -> bool:
    """Return True if a plain text lies beside a file of labels."""
    beside = matches(path.parent, f"{escape(path.stem)}.*")
    texts = [beginning(other) for other in beside if other != path and not is_audio(other)]
    return any(text.strip() and kind_of(text) is None for text in texts)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    audio = context.recording_of(path)
    labels: list[re.Match[str]] = []
    problems = []
    for number, line in each_line(path):
        if not line.strip() or line.startswith(_FREQUENCIES):
            continue
        if match := _LABEL.fullmatch(line.strip()):
            labels.append(match)
        else:
            problems.append(f"{path}:{number}: {line[:60]!r} is no label; write start, end and text, with tabs between")
    raise_problems(problems, SourceError)
    unit = 1.0
    if not any(map(_has_decimals, labels)):
        unit = _unit(path, audio, max((int(match[2]) for match in labels), default=0))
    tier = path.suffix.lstrip(".").lower() or "labels"
    for match in labels:
        yield Annotation(path, audio, tier, seconds(match[1], unit), seconds(match[2], unit), match[3] or "")


def _has_decimals(label: re.Match[str]) -> bool:
    return not (label[1] + label[2]).isdecimal()


def _value(number: str) -> float:
    return float(number.replace(",", "."))


def _unit(path: Path, audio: Path, last: int) -> float:
    """Return the length of one unit of time in seconds, by the length of the recording. Raises ValueError."""
    if not is_file(audio):
        return _HTK
    known = length(audio)
    if known is None:
        raise ValueError(
            f"its times have no unit, and {audio.name} does not tell how long it is; write seconds with a decimal point"
        )
    duration, rate = known
    fitting = [unit for unit in (_HTK, 1 / rate) if 0.05 * duration <= last * unit <= duration + _SLACK]
    if len(fitting) != 1:
        raise ValueError(
            f"its last time is {last}, which is {last * _HTK:.2f} s in units of 100 ns and {last / rate:.2f} s in "
            f"samples, but {audio.name} lasts {duration:.2f} s; write seconds with a decimal point"
        )
    return fitting[0]
