"""Reader of Transcriber files (`.trs`): the text between two `Sync` marks of a turn is an utterance.

Format: the document type trans-14.dtd of Transcriber 1.5.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from asr.corpus.readers.annotations import Context, Kind, is_kind, read_annotations, seconds
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.tiers import Annotation
from asr.corpus.readers.xml_file import begins_with_root, line_of, read_xml
from asr.errors import raise_problems

_CURE = "open it in Transcriber and save it again"
_BRACKETS = re.compile(r"\[[^\[\]]*\]")  # events that were typed as text
_SILENT = ("Event", "Comment", "Background")  # marks in the text that are no speech

_KIND = Kind("Transcriber files (.trs)", (".trs",), lambda head: begins_with_root(head, "Trans"))


def recognises(source: Path) -> bool:
    """Return True for a file of Transcriber, or a folder with such files at any depth."""
    return is_kind(source, _KIND)


def read(source: Path) -> Splits:
    """Read the text after each `Sync`, with the recording that the file names, or the recording with its name.

    Events, comments, backgrounds and `[events]` are left out of the texts, and so are utterances of two speakers at
    once. What is left out is counted. Raises SourceError that names the line of each time that is wrong.
    """
    return read_annotations(source, _KIND, _read_file, None)


READER = Reader("Transcriber files (.trs)", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    root = read_xml(path, "Trans", _CURE)
    audio = context.recording_of(path, root.get("audio_filename"))
    speakers = {element.get("id"): element.get("name") for element in root.iterfind("Speakers/Speaker")}
    problems = []
    for turn in root.iter("Turn"):
        try:
            names = (turn.get("speaker") or "").split()
            for start, end, text, voices in _parts(turn, context.left_out):
                if voices > 1:
                    context.left_out["utterances of two speakers at once"] += 1
                    continue
                for mark in _BRACKETS.findall(text):
                    context.left_out[mark[:40]] += 1
                text = " ".join(_BRACKETS.sub(" ", text).split())
                speaker = speakers.get(names[0], names[0]) if len(names) == 1 else None
                yield Annotation(path, audio, "text", start, end, text, speaker)
        except ValueError as error:
            problems.append(f"{path}:{line_of(turn)}: a turn {error}; {_CURE}")
    raise_problems(problems, SourceError)


def _parts(turn: Element, left_out: Counter[str]) -> Iterator[tuple[float, float, str, int]]:
    """Yield the start, the end (s), the text and the number of voices between each two marks of a turn."""
    start, end = _time(turn, "startTime"), _time(turn, "endTime")
    texts, voices = [turn.text or ""], set[str | None]()
    for element in turn:
        if element.tag == "Sync":
            time = _time(element, "time")
            if words := " ".join("".join(texts).split()):
                yield start, time, words, len(voices)
            start, texts, voices = time, [], set()
        elif element.tag == "Who":
            voices.add(element.get("nb"))
        elif element.tag in _SILENT:
            description = element.get("desc") or element.get("type") or ""
            extent = element.get("extent", "")
            if extent not in ("end", "next", "previous"):  # these have no text of their own
                left_out[f"{element.tag} {description}".strip()[:40]] += 1
        texts.append(element.tail or "")
    if words := " ".join("".join(texts).split()):
        yield start, end, words, len(voices)


def _time(element: Element, name: str) -> float:
    value = element.get(name)
    if value is None:
        raise ValueError(f"lacks {name}")
    return seconds(value)
