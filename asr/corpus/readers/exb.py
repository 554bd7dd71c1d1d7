"""Reader of EXMARaLDA transcriptions (`.exb`): the events of the tiers of type `t` are utterances.

Format: the basic transcription of the EXMARaLDA Partitur-Editor.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from asr.corpus.readers.annotations import Context, Kind, is_kind, read_annotations, seconds
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.tiers import Annotation
from asr.corpus.readers.xml_file import begins_with_root, line_of, read_xml
from asr.errors import raise_problems

_CURE = "open it in the Partitur-Editor and save it again"
_COMMENT = re.compile(r"\(\([^()]{0,300}\)\)")  # HIAT: sounds, pauses and what was not understood
_PAUSE = re.compile("[•∙●]")

_KIND = Kind("EXMARaLDA transcriptions (.exb)", (".exb",), lambda head: begins_with_root(head, "basic-transcription"))


class _Event(NamedTuple):
    line: int
    start: str  # points of the time line
    end: str
    text: str


def recognises(source: Path) -> bool:
    """Return True for a transcription of EXMARaLDA, or a folder with such files at any depth."""
    return is_kind(source, _KIND)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the events of every file, with the recording that the file names, or the recording with its name.

    A tier is called after its category and its speaker, such as `v@ANN`. The default are all tiers of type `t`
    (transcription). Two events side by side are joined if the point between them has no time or is inside a word.
    Comments in `((…))` and the pause mark `•` are left out of the texts, and the log counts them. Raises SourceError
    that names the line of each event that is wrong.
    """
    return read_annotations(source, _KIND, lambda path, context: _read_file(path, context, tier is None), tier or "*")


READER = Reader("EXMARaLDA transcriptions (.exb)", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context, only_transcripts: bool) -> Iterator[Annotation]:
    root = read_xml(path, "basic-transcription", _CURE)
    named = [unquote(element.get("url", "")) for element in root.iterfind("head/meta-information/referenced-file")]
    audio = context.recording_of(path, *named)
    speakers = {
        speaker.get("id"): (speaker.findtext("abbreviation") or "").strip() or speaker.get("id")
        for speaker in root.iterfind("head/speakertable/speaker")
    }
    problems = []
    points = list(root.iterfind("basic-body/common-timeline/tli"))
    times: dict[str, float | None] = {}
    for point in points:
        try:
            times[point.get("id", "")] = seconds(point.attrib["time"]) if "time" in point.attrib else None
        except ValueError as error:
            problems.append(f"{path}:{line_of(point)}: {error}")
    for tier in root.iterfind("basic-body/tier"):
        if only_transcripts and tier.get("type") != "t":
            continue
        speaker = speakers.get(tier.get("speaker"), tier.get("speaker"))
        name = "@".join(filter(None, (tier.get("category") or tier.get("id"), speaker)))
        events = [
            _Event(line_of(event), event.get("start", ""), event.get("end", ""), "".join(event.itertext()))
            for event in tier.iterfind("event")
        ]
        wrong = [event for event in events if not {event.start, event.end} <= times.keys()]
        problems += [f"{path}:{event.line}: an event has no place on the time line; {_CURE}" for event in wrong]
        for event in _joined([event for event in events if event not in wrong], times):
            text = _plain(event.text, context.left_out)
            yield Annotation(path, audio, name, times[event.start], times[event.end], text, speaker)
    raise_problems(problems, SourceError)


def _joined(events: list[_Event], times: dict[str, float | None]) -> Iterator[_Event]:
    """Join events side by side whose common point has no time, or is inside a word.

    Words end with a space in EXMARaLDA. A tier in which no event ends with one does not follow this convention.
    """
    places = {name: place for place, name in enumerate(times)}
    events = sorted(events, key=lambda event: places[event.start])
    spaced = any(event.text.endswith(" ") for event in events)
    texts: list[str] = []
    first: _Event | None = None
    for event, following in itertools.zip_longest(events, events[1:]):
        first = first or event
        texts.append(event.text if spaced else event.text + " ")
        if following is not None and following.start == event.end:
            inside = spaced and not event.text.endswith(" ") and not following.text.startswith(" ")
            if times[event.end] is None or (inside and event.text[-1:].isalnum() and following.text[:1].isalnum()):
                continue
        yield _Event(first.line, first.start, event.end, "".join(texts))
        first, texts = None, []


def _plain(text: str, left_out: Counter[str]) -> str:
    for comment in _COMMENT.findall(text):
        left_out[comment[:40]] += 1
    if pauses := len(_PAUSE.findall(text)):
        left_out["pauses •"] += pauses
    return " ".join(_PAUSE.sub(" ", _COMMENT.sub(" ", text)).split())
