"""The files of a corpus that `asr prepare` did not use, with the reason for each kind of file."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio, walk
from asr.corpus.readers.folder import NOT_TRANSCRIPTS
from asr.corpus.readers.kinds import document_of, kind_of
from asr.corpus.readers.reading import peek
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.table import parse, read_header, suggest_columns

_IGNORED = (".db", ".ini", ".md", ".pfsx", ".jpg", ".jpeg", ".png", ".log", ".py", ".sh")  # .pfsx: settings of ELAN
_KINDS = 5  # kinds of files that are named


def unused_files(place: Path, used: Collection[Path]) -> Iterator[str]:
    """Yield a line for each kind of file in a folder that was not used: how many, one of them, and why."""
    if not place.is_dir():
        return
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in walk(place):
        is_other = is_audio(path) or path.suffix.lower() in _IGNORED or path.stem.lower() in NOT_TRANSCRIPTS
        if not is_other and path not in used:
            kinds[path.suffix.lower()].append(path)
    recordings = Recordings(place)
    for number, paths in enumerate(sorted(kinds.values(), key=lambda paths: (len(paths) > 1, -len(paths)))):
        if number == _KINDS:
            yield f"not used: {sum(map(len, kinds.values()))} files in all, of {len(kinds)} kinds"
            return
        count = f" and {len(paths) - 1} more {paths[0].suffix} files" if len(paths) > 1 else ""
        yield f"not used: {paths[0].relative_to(place)}{count}: {_reason(paths[0], recordings)}"


def _reason(path: Path, recordings: Recordings) -> str:
    suffix = path.suffix.lower()
    if document := document_of(suffix):
        return f"it {document}"
    try:
        text = peek(path)
    except SourceError as error:
        place, _, problem = str(error).removeprefix(str(path)).partition(": ")
        return f"line {place[1:]} {problem}" if place else f"it {problem}"
    if not text.strip():
        return "it is empty"
    header, delimiter = read_header(text)
    kind = kind_of(text)
    if len(header) > 1 and (
        kind in (None, "a table") and (suffix in (".csv", ".tsv", ".psv", ".tab") or delimiter == "\t")
    ):
        try:
            columns = suggest_columns(header, parse(path, text, delimiter), recordings)
        except SourceError as error:
            return str(error)
        return f"its columns are not known: {', '.join(header)[:200]}; name them: {columns}"
    if kind is not None:
        return f"it holds {kind}, which is not read in this layout"
    found, rest = recordings.pair([path])[path]
    if isinstance(found, ValueError):
        return str(found)
    return "no recording has its name" if found is None else f"--text-suffix {rest} reads it as the text"
