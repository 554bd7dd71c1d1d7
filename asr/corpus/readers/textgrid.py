"""Reader of Praat TextGrids, in the long and the short text format, in UTF-8 or UTF-16.

Like Praat, this reader takes free-standing numbers, texts in double quotes, and flags in <>, and skips everything else
(Praat manual, "TextGrid file formats"). The library `pympi` is not used: it reads by lines, takes 1e-05 for 5, and
needs quadratic time for a quote that is not closed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, matches, walk
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation, utterances_of_tier
from asr.files import read_text

_TOKEN = re.compile(r'"(?P<text>[^"]*(?:""[^"]*)*)"|(?P<flag><\w+>)|(?P<comment>!.*)|(?P<word>[^\s"]+)')
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


def recognises(source: Path) -> bool:
    """Return True for a `.TextGrid` file, or a folder with such files at any depth."""
    return bool(_find(source))


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the intervals with text of one tier of every file, with the recording of the same name.

    `tier` is a name or a pattern such as `*` (default: the only tier with text). With a pattern, the tier is the
    speaker, as in the files of forced aligners. Raises SourceError that lists the tiers with their counts if the choice
    is not clear.
    """
    recordings = Recordings(source if source.is_dir() else source.parent)
    annotations = [annotation for path in _find(source) for annotation in _read_file(path, recordings)]
    return utterances_of_tier(source, annotations, tier, recordings)


READER = Reader("Praat TextGrids", recognises, read)


def _find(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".textgrid" else []
    return walk(source, ".textgrid")


def _read_file(path: Path, recordings: Recordings) -> list[Annotation]:
    try:
        with path.open("rb") as file:
            if file.read(12) == b"ooBinaryFile":
                raise ValueError("it is binary")
        beside = [other for other in matches(path.parent, "*.*") if other.stem == path.stem and is_audio(other)]
        audio = beside[0] if beside else recordings.find(path.stem)
        return [Annotation(path, audio, *interval) for interval in _intervals(_tokens(read_text(path, SourceError)))]
    except (ValueError, OverflowError, OSError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); open it in Praat and save it as a text file") from None


def _intervals(tokens: Iterator[str | float]) -> Iterator[tuple[str, float, float, str]]:
    """Yield tier, start, end (s) and text of each interval; point tiers have no intervals."""
    if (_text(tokens), _text(tokens)) != ("ooTextFile", "TextGrid"):
        raise ValueError("it does not begin as a TextGrid")
    _number(tokens), _number(tokens), _next(tokens)  # start and end of the file, <exists>
    for _ in range(int(_number(tokens))):
        kind, name = _text(tokens), _text(tokens)
        _number(tokens), _number(tokens)
        for _ in range(int(_number(tokens))):
            if kind == "IntervalTier":
                yield name, _number(tokens), _number(tokens), _text(tokens)
            else:
                _number(tokens), _text(tokens)


def _tokens(content: str) -> Iterator[str | float]:
    for match in _TOKEN.finditer(content):
        if match["text"] is not None:
            yield match["text"].replace('""', '"')
        elif match["flag"]:
            yield match["flag"]
        elif match["word"] and _NUMBER.fullmatch(match["word"]):
            yield float(match["word"])


def _next(tokens: Iterator[str | float]) -> str | float:
    for token in tokens:
        return token
    raise ValueError("it ends too early")


def _text(tokens: Iterator[str | float]) -> str:
    token = _next(tokens)
    if not isinstance(token, str):
        raise ValueError(f"a text is expected where {token} is")
    return token


def _number(tokens: Iterator[str | float]) -> float:
    token = _next(tokens)
    if not isinstance(token, float):
        raise ValueError(f"a number is expected where {token[:40]!r} is")
    return token
