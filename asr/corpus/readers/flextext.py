"""Reader of FLEx texts (`.flextext`) whose phrases have times, as ELAN and SayMore write them.

Format: the schema FlexInterlinear.xsd of FieldWorks. Times are in milliseconds.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from asr.corpus.readers.annotations import Context, Kind, is_kind, read_annotations, seconds
from asr.corpus.readers.files import SourceError
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.tiers import Annotation
from asr.corpus.readers.xml_file import begins_with_root, line_of, read_xml
from asr.errors import raise_problems

_CURE = "export it from FLEx again"
_OPENING = re.compile(r"\s?([(\[{«“‘¿¡])\s")  # punctuation that belongs to the word after it

_KIND = Kind(
    "FLEx texts (.flextext)", (".flextext",), lambda head: begins_with_root(head, "document", "<interlinear-t")
)


def recognises(source: Path) -> bool:
    """Return True for a file of FLEx, or a folder with such files at any depth."""
    return is_kind(source, _KIND)


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the phrases of every file, with the recording that the phrase names, or that has the name of the text or of
    the file.

    Tiers are called after the type and the language of an item, such as `txt-qaa`, and `gls-en` for a free translation.
    The default is the only tier of the type `txt`. The words of a phrase without such an item are joined. Phrases
    without times are left out, and the log names them.
    """
    return read_annotations(source, _KIND, _read_file, tier, main="txt-.*")


READER = Reader("FLEx texts (.flextext)", recognises, read, tracks_files=True)


def _read_file(path: Path, context: Context) -> Iterator[Annotation]:
    root = read_xml(path, "document", _CURE)
    problems = []
    for text in root.iterfind("interlinear-text"):
        media = {
            element.get("guid"): unquote(element.get("location", "")).removeprefix("file:").lstrip("/")
            for element in text.iterfind("media-files/media")
        }
        only = next(iter(media.values())) if len(media) == 1 else None
        titles = [item.text for item in text.iterfind("item") if item.get("type") in ("title", "title-abbreviation")]
        audio = {name: context.recording_of(path, media.get(name, only), *titles) for name in {None, *media}}
        for phrase in text.iter("phrase"):
            try:
                start, end = _time(phrase, "begin-time-offset"), _time(phrase, "end-time-offset")
            except ValueError as error:
                problems.append(f"{path}:{line_of(phrase)}: the time of a phrase, {error}; {_CURE}")
                continue
            name = phrase.get("media-file")
            for tier, words in _texts(phrase):
                yield Annotation(
                    file=path,
                    audio=audio.get(name, audio[None]),
                    tier=tier,
                    start=start,
                    end=end,
                    text=words,
                    speaker=phrase.get("speaker") or None,
                )
    raise_problems(problems, SourceError)


def _texts(phrase: Element) -> Iterator[tuple[str, str]]:
    """Yield each text of a phrase with the name of its tier; the words joined if no item is the whole text."""
    items = [(item.get("type", ""), item.get("lang", ""), "".join(item.itertext())) for item in phrase.iterfind("item")]
    found = [(f"{kind}-{language}", text) for kind, language, text in items if kind not in ("segnum", "note")]
    yield from found
    if not any(tier.startswith("txt-") for tier, _ in found):
        languages: dict[str, str] = {}
        for word in phrase.iterfind("words/word"):
            for item in word.iterfind("item"):
                kind, language, text = item.get("type"), item.get("lang", ""), "".join(item.itertext()).strip()
                if kind == "txt":
                    languages[language] = f"{languages.get(language, '')} {text}".strip()
                elif kind == "punct":
                    languages[language] = languages.get(language, "") + text
        for language, text in languages.items():
            yield f"txt-{language}", _OPENING.sub(r" \1", text).strip()


def _time(phrase: Element, name: str) -> float | None:
    value = phrase.get(name)
    return seconds(value, 0.001) if value else None
