"""Reader of lhotse CutSets, which are JSON Lines; lhotse itself is not needed."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr.corpus.manifest import parse_json
from asr.corpus.readers.files import SourceError, find_from_above, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.errors import raise_problems
from asr.utterance import Utterance

_MAX_LINE = 1 << 22  # characters
_MAX_EXPANSION = 200  # times the compressed size; real cuts reach about 10, and more is an attack on the memory


def recognises(source: Path) -> bool:
    """Return True for a file of cuts, `.jsonl` or `.jsonl.gz`, or a folder with such files."""
    return any(_holds_cuts(path) for path in _candidates(source))


def read(source: Path) -> Splits:
    """Read each supervision as an utterance. Raises SourceError that lists the cuts that are not a part of one file."""
    paths = [source] if source.is_file() else list(filter(_holds_cuts, _candidates(source)))
    return {split: _read_file(path) for split, path in split_files(paths).items()}


READER = Reader("lhotse CutSet", recognises, read)


def _candidates(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.name.endswith((".jsonl", ".jsonl.gz")) else []
    return matches(source, "*.jsonl", "*.jsonl.gz")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    left = path.stat().st_size * _MAX_EXPANSION + _MAX_LINE
    with opener(path, "rt", encoding="utf-8") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number, left = number + 1, left - len(line)
            if left < 0 or len(line) == _MAX_LINE:
                raise ValueError(f"line {number} is too long, or the uncompressed file is too large")
            if line.strip():
                yield number, line


def _holds_cuts(path: Path) -> bool:
    try:
        return '"supervisions"' in next(_lines(path), (0, ""))[1]
    except (OSError, ValueError, EOFError, zlib.error):
        return False


def _read_file(path: Path) -> list[Utterance]:
    utterances: list[Utterance] = []
    problems = []
    try:
        for number, line in _lines(path):
            try:
                utterances += _utterances(parse_json(line), path.parent)
            except KeyError as error:
                problems.append(f"{path}:{number}: the cut lacks {error}; export the CutSet again")
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                problems.append(f"{path}:{number}: {error}")
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({error}); copy it again from its source") from None
    raise_problems(problems, SourceError)
    return utterances


def _utterances(cut: Any, folder: Path) -> Iterator[Utterance]:
    if not isinstance(cut, dict):
        raise ValueError(f"is a {type(cut).__name__}; each line must be one cut")
    name, kind = cut["id"], cut.get("type", "MonoCut")
    if kind != "MonoCut":
        raise ValueError(f"{name} is a {kind}, not a part of one file; save the cuts with cuts.save_audios(…)")
    recording = cut["recording"]
    source = recording["sources"][0]
    if source["type"] != "file" or recording.get("transforms"):
        problem = "has transforms" if source["type"] == "file" else f"comes from a {source['type']}"
        raise ValueError(f"{name}: its recording {problem}; save the cuts with cuts.save_audios(…)")
    if len(source["channels"]) > 1:
        raise ValueError(f"{name} is one channel of several; save the cuts with cuts.save_audios(…)")
    for supervision in cut["supervisions"]:
        yield Utterance(
            id=str(supervision["id"]),
            audio=find_from_above(folder, str(source["source"])),
            text=supervision.get("text"),
            offset=round(float(cut["start"]) + max(0.0, float(supervision["start"])), 6),
            duration=float(supervision["duration"]),
            speaker=supervision.get("speaker"),
            extra={"language": supervision["language"]} if supervision.get("language") else {},
        )
