"""Reader of SRT and VTT subtitles beside recordings: each cue is an utterance.

Formats: the layout of SubRip, and WebVTT (https://www.w3.org/TR/webvtt1/).
"""

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asr.corpus.readers.annotations import (
    Context,
    Kind,
    is_kind,
    read_annotations,
    seconds,
)
from asr.corpus.readers.files import SourceError, is_file
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, source_lines
from asr.corpus.readers.tiers import Annotation
from asr.errors import raise_problems

_TIME = r"(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3}"
_TIMING = re.compile(rf"({_TIME})\s*-->\s*({_TIME})(?:\s+\w+:\S+)*")  # settings such as align:start may follow
_LOOK = re.compile(rf"(?m)^\s*{_TIME}\s*-->\s*{_TIME}")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")  # blocks of a VTT file that are no cue
_KARAOKE = re.compile(rf"<{_TIME}>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_NAME = re.compile(r"([^\W\d][\w .'()-]{0,40}):\s+")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
_SOUND = re.compile(r"\[[^\[\]]*\]|[♪♫][^♪♫]*[♪♫]?")
_CURE = "write 00:00:01,000 --> 00:00:02,500 above each text"
_TEXT = "subtitles"  # the tier of a file whose name has no language


def _looks_like(head: str) -> bool:
    return bool(_LOOK.search(head)) or head.startswith("WEBVTT")


_KIND = Kind("SRT or VTT subtitles", (".srt", ".vtt"), _looks_like)


class _Cue(NamedTuple):
    line: int
    start: float  # seconds
    end: float
    texts: list[str]


def recognises(source: Path) -> bool:
    """Return True for a file of subtitles, or a folder with such files at any depth."""
    return is_kind(source, _KIND)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the cues of every file, with the recording of its name.

    A file `a.en.srt` is the tier `en` of the recording `a`. Of `a.srt` and `a.vtt`, `a.vtt` is read. Tags are removed,
    and `<v NAME>` is the speaker. So is `NAME:` if most cues begin with such names, and a name comes again. Sounds in
    square brackets and songs between ♪ are left out, and counted. Lines that roll-up captions repeat are read once.
    Raises SourceError that names each line that is no cue.
    """
    return read_annotations(source, _KIND, _read_file, tier)


READER = Reader("SRT or VTT subtitles", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    if path.suffix.lower() == ".srt" and is_file(path.with_suffix(".vtt")):
        note("{} .srt file<s> <is|are> not read, because a .vtt file has the same name", str(path))
        return
    audio = context.recording_of(path)
    language = path.stem.removeprefix(audio.stem).strip("._- ") if path.stem.startswith(audio.stem) else ""
    cues = _cues(path)
    if any(_KARAOKE.search(text) for cue in cues for text in cue.texts):
        cues = _unrolled(cues, context.left_out)
    names = [match[1] for cue in cues if cue.texts and (match := _NAME.match(cue.texts[0]))]
    named = 2 * len(names) > len(cues) and len(set(names)) < len(names)
    if named:
        note("{} file<s> of subtitles <has|have> names of speakers before colons, such as Zoom's", str(path))
    for cue in cues:
        text = " ".join(cue.texts)
        voice = _VOICE.search(text) or (_NAME.match(text) if named else None)
        if voice is not None and voice.re is _NAME:
            text = text[voice.end() :]
        yield Annotation(
            file=path,
            audio=audio,
            tier=language or _TEXT,
            start=cue.start,
            end=cue.end,
            text=_plain(text, context.left_out),
            speaker=" ".join(voice[1].split()) if voice else None,
        )


def _cues(path: Path) -> list[_Cue]:
    """Return the cues of a file. Raises SourceError that lists the blocks without times."""
    cues: list[_Cue] = []
    problems = []
    for block in _blocks(path):
        number, head = block[0]
        places = [place for place, (_, line) in enumerate(block) if "-->" in line]
        if number == 1 and head.startswith("WEBVTT"):
            block = block[places[0] :] if places else []
            places = [place - places[0] for place in places]
        elif _BLOCK.match(head):
            continue
        elif not places and cues and not cues[-1].texts:  # an empty line between the times and the text
            cues[-1].texts.extend(text for _, text in block)
        elif not places:
            problems.append(f"{path}:{number}: {head[:60]!r} begins a block without times; {_CURE}")
        elif places[0] > 1:  # one line, the number or the name of the cue, may stand above its times
            problems.append(f"{path}:{block[1][0]}: {block[1][1][:60]!r} stands where times must stand; {_CURE}")
            continue
        for place, end in zip(places, [*places[1:], len(block)], strict=False):
            number, line = block[place]
            if end < len(block) and block[end - 1][1].isdigit():
                end -= 1  # the number of the next cue, above which an empty line is missing
            if match := _TIMING.fullmatch(line):
                cues.append(
                    _Cue(number, seconds(match[1]), seconds(match[2]), [text for _, text in block[place + 1 : end]])
                )
            else:
                problems.append(f"{path}:{number}: {line[:60]!r} is no line of times; {_CURE}")
    raise_problems(problems, SourceError)
    return cues


def _blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Yield groups of lines between empty lines. A line of spaces is part of a text unless a cue follows it."""
    lines = source_lines(path)
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            block.append((number, line.strip()))
        elif block and (not line or any("-->" in near for near in lines[number : number + 2])):
            yield block
            block = []


def _unrolled(cues: list[_Cue], left_out: Counter[str]) -> list[_Cue]:
    """Leave out the lines that a roll-up caption shows again while the next line appears below them."""
    shown: list[str] = []
    kept = []
    for cue in cues:
        new = [text for text in cue.texts if _TAG.sub("", _KARAOKE.sub("", text)).strip() not in shown]
        left_out["repeated lines of roll-up captions"] += len(cue.texts) - len(new)
        shown = [_TAG.sub("", _KARAOKE.sub("", text)).strip() for text in cue.texts]
        if any(new):
            kept.append(cue._replace(texts=new))
    return kept


def _plain(text: str, left_out: Counter[str]) -> str:
    text = html.unescape(_TAG.sub("", _KARAOKE.sub("", text)))
    for sound in _SOUND.findall(text):
        left_out["songs ♪" if sound[0] in "♪♫" else " ".join(sound.split())[:40]] += 1
    return " ".join(_SOUND.sub(" ", text).split())
