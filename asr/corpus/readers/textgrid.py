"""Reader of Praat TextGrids, in the long, short and chronological text formats, in UTF-8 or UTF-16.

Like Praat, this reader takes free-standing numbers, texts in double quotes, and flags in <>, and skips everything else
(Praat manual, "TextGrid file formats"). The library `pympi` is not used: it reads by lines, takes 1e-05 for 5, and
needs quadratic time for a quote that is not closed.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.readers.files import SourceError, walk
from asr.corpus.readers.praat_symbols import decode
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, read_each, source_text
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation, utterances_of_tier

_TOKEN = re.compile(r'"(?P<text>[^"]*(?:""[^"]*)*)"|(?P<flag><\w+>)|(?P<comment>!.*)|(?P<word>[^\s"]+)')
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


def recognises(source: Path) -> bool:
    """Return True for a `.TextGrid` file, or a folder with such files at any depth."""
    return bool(_find(source))


def read(source: Path, *, tier: str | None = None) -> Splits:
    """Read the intervals with text of one tier of every file, with the recording of the same name.

    `tier` is a name or a pattern such as `*` (default: the only tier with text). With a pattern, the tier is the
    speaker, as in the files of forced aligners. Symbols such as `\\sw` become letters. A file that cannot be read is
    named, and does not stop the others. Raises SourceError that lists the tiers with their counts if the choice
    is not clear.
    """
    recordings = Recordings(source if source.is_dir() else source.parent)
    paths = _find(source)
    pairs = recordings.pair(paths)
    points: Counter[str] = Counter()
    files = read_each(paths, lambda path: read_file(path, pairs[path][0], points))
    annotations = [annotation for file in files for annotation in file]
    if points and not any(annotation.text.strip() for annotation in annotations):
        found = ", ".join(f"{name}: {count} points" for name, count in points.most_common(5))
        raise SourceError(f"{source}: no interval has text, there are only point tiers ({found}); annotate intervals")
    return utterances_of_tier(source, annotations, tier, recordings)


READER = Reader("Praat TextGrids", recognises, read, tracks_files=True)


def _find(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".textgrid" else []
    return walk(source, ".textgrid")


def read_file(path: Path, audio: Path | ValueError | None, points: Counter[str]) -> list[Annotation]:
    """Read the intervals of all tiers as annotations of the recording `audio`; count those of point tiers in `points`.

    Raises SourceError that names the file.
    """
    try:
        with path.open("rb") as file:
            if file.read(12) == b"ooBinaryFile":
                raise ValueError("it is binary")
        if isinstance(audio, ValueError):
            raise SourceError(f"{path}: {audio}")
        recording = audio or path.with_suffix(".wav")
        intervals = _intervals(_tokens(source_text(path)), points)
        return [
            Annotation(path, recording, tier, start, end, _letters(path, text)) for tier, start, end, text in intervals
        ]
    except (ValueError, OverflowError, OSError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); open it in Praat and save it as a text file") from None


def _letters(path: Path, text: str) -> str:
    """Return a label with letters in place of Praat's symbols."""
    decoded, unknown = decode(text)
    if decoded != text:
        note("{} label<s> hold<s|> symbols of Praat, which become letters", f"{text.strip()} is {decoded.strip()}")
    if unknown:
        note(
            "{} label<s> hold<s|> a backslash that is no symbol of Praat, and stay<s|>", f"{path.name}: {text.strip()}"
        )
    return decoded


def _intervals(tokens: Iterator[str | float], points: Counter[str]) -> Iterator[tuple[str, float, float, str]]:
    """Yield tier, start, end (s) and text of each interval, and count the points of point tiers."""
    begin = _text(tokens)
    if begin == "Praat chronological TextGrid text file":
        yield from _chronological(tokens, points)
        return
    if begin not in ("ooTextFile", "ooTextFile short") or _text(tokens) != "TextGrid":
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
                points[name] += 1


def _chronological(tokens: Iterator[str | float], points: Counter[str]) -> Iterator[tuple[str, float, float, str]]:
    """Yield the intervals of the format that lists the labels of all tiers by time."""
    _number(tokens), _number(tokens)  # start and end of the file
    tiers = []
    for _ in range(int(_number(tokens))):
        tiers.append((_text(tokens), _text(tokens)))
        _number(tokens), _number(tokens)
    for place in tokens:
        if not isinstance(place, float) or not 1 <= place <= len(tiers):
            raise ValueError(f"a number of a tier is expected where {place!r} is")
        kind, name = tiers[int(place) - 1]
        if kind == "IntervalTier":
            yield name, _number(tokens), _number(tokens), _text(tokens)
        else:
            _number(tokens), _text(tokens)
            points[name] += 1


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
