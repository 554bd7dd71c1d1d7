"""Reader of CHAT transcripts (`.cha`) of CHILDES and TalkBank: each main line with a time is an utterance.

Format: the CHAT manual of TalkBank. `chat_markup.py` has the rules for the marks in the text.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.readers.annotations import Context, Kind, each_line, is_kind, read_annotations, seconds
from asr.corpus.readers.chat_markup import NotTranscribed, spoken
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.tiers import Annotation
from asr.errors import raise_problems

_BEGIN = re.compile(r"(?m)^@Begin\s*$")
_LINE = re.compile(r"([@*%][^:\t]{1,40}):(.*)")
_BULLET = re.compile(r"\x15(?:%(?:snd|mov):\s*\"?[^\"\x15]*\"?_)?(\d{1,12})_(\d{1,12})-?\x15")

_KIND = Kind("CHAT transcripts (.cha)", (".cha",), lambda head: bool(_BEGIN.search(head)) and "@" in head[:10])


def recognises(source: Path) -> bool:
    """Return True for a CHAT transcript, or a folder with transcripts at any depth."""
    return is_kind(source, _KIND)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the main lines of every file, with the recording of `@Media`, or the recording with the name of the file.

    `tier` is the code of one speaker, such as `CHI`, or a dependent tier, such as `%eng` (default: all main lines).
    The speaker is the name in `@Participants`, or else the code. Texts are what was spoken, see `chat_markup.py`. Marks
    that are left out are counted, and so are lines that are not transcribed whole. Raises SourceError that names each
    line that is not CHAT.
    """
    return read_annotations(source, _KIND, lambda path, context: _read_file(path, context, tier), tier or "*")


READER = Reader("CHAT transcripts (.cha)", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context, wanted: str | None) -> Iterator[Annotation]:
    lines = list(_unfolded(path))
    media = next((text for _, name, text in lines if name == "@Media"), "").split(",")[0].strip().strip('"')
    audio = context.recording_of(path, media or None)
    names = _participants(next((text for _, name, text in lines if name == "@Participants"), ""))
    speaker, times = "", None
    for number, name, text in lines:
        if name.startswith("*"):
            speaker, times = name[1:], _times(path, number, text)
        elif not name.startswith("%"):
            continue
        if wanted is None and name.startswith("%"):
            continue
        text = _BULLET.sub(" ", text)
        if name.startswith("*"):
            try:
                text = spoken(text, context.left_out)
            except NotTranscribed as reason:
                context.left_out[f"lines with {reason}"] += 1
                continue
        if text.strip():
            start, end = times or (None, None)
            yield Annotation(
                path, audio, name.lstrip("*"), start, end, " ".join(text.split()), names.get(speaker, speaker)
            )


def _unfolded(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, name and text of each line, with the lines that continue it. Raises SourceError for other lines."""
    problems = []
    current: tuple[int, str, str] | None = None
    for number, line in each_line(path):
        if line.startswith(("\t", " ")) and current is not None:
            current = (*current[:2], f"{current[2]} {line.strip()}")
            continue
        if current is not None:
            yield current
            current = None
        if match := _LINE.fullmatch(line):
            current = number, match[1].strip(), match[2].strip()
        elif line.strip() and not line.startswith(("@", "%")):
            problems.append(
                f"{path}:{number}: {line[:60]!r} is no line of CHAT; begin it with @, *SPEAKER: or %tier:, "
                "or with a tab if it continues the line above"
            )
    if current is not None:
        yield current
    raise_problems(problems, SourceError)


def _participants(text: str) -> dict[str, str]:
    """Return the name of each code in `@Participants: CHI Ross Target_Child, MOT Mother`, or else the code."""
    entries = [entry.split() for entry in text.split(",")]
    return {entry[0]: entry[1] if len(entry) > 2 else entry[0] for entry in entries if entry}


def _times(path: Path, number: int, text: str) -> tuple[float, float] | None:
    """Return the first start and the last end (s) of the times in a main line."""
    bullets = _BULLET.findall(text)
    if not bullets:
        return None
    try:
        return seconds(bullets[0][0], 0.001), seconds(bullets[-1][1], 0.001)
    except ValueError as error:
        raise SourceError(f"{path}:{number}: {error}") from None
