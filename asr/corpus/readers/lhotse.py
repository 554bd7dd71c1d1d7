"""Reader of lhotse's lists, which are JSON: cuts, or recordings and supervisions. lhotse itself is not needed."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from asr.corpus.manifest import parse_json
from asr.corpus.readers.files import SourceError, find_from_above, is_file, matches, split_files
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, source_text
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance

_Kind = Literal["cuts", "supervisions", "recordings"]

_SUFFIXES = (".jsonl", ".jsonl.gz", ".json")
_MAX_LINE = 1 << 22  # characters
_MAX_EXPANSION = 200  # times the compressed size; real cuts reach about 10, and more is an attack on the memory
_FAULTS = (ValueError, TypeError, AttributeError, OverflowError, IndexError)


def recognises(source: Path) -> bool:
    """Return True for a file of cuts or supervisions, or a folder that holds such files, or a folder with them."""
    return any(kind in ("cuts", "supervisions") for kind in _kinds(source).values())


def read(source: Path) -> Splits:
    """Read each supervision as an utterance, from cuts if there are any, or else with the recordings of its id.

    Recordings and cuts without a supervision are noted. Raises SourceError that lists the lines that are not a part of
    one file.
    """
    kinds = _kinds(source)
    folder = source if source.is_dir() else source.parent
    found = Recordings(folder)
    cuts = [path for path, kind in kinds.items() if kind == "cuts"]
    if cuts:
        for path in sorted(kinds.keys() - set(cuts)):
            note("{} file<s> of recordings or supervisions <is|are> not read, because there are cuts", str(path))
        return {split: _read_file(path, found, _of_cut) for split, path in split_files(cuts).items()}
    if source.is_file() and "supervisions" not in kinds.values() and "recordings" not in kinds.values():
        return {"": _read_file(source, found, _of_cut)}
    beside = kinds if source.is_dir() else _kinds(folder)
    recordings: dict[str, dict[str, Any]] = {}
    for path in (path for path, kind in beside.items() if kind == "recordings"):
        recordings |= {recording["id"]: recording for recording in _read_file(path, found, _of_recording)}
    supervisions = [path for path, kind in kinds.items() if kind == "supervisions"]

    def of_supervision(row: Any, recordings_found: Recordings, _: Path) -> Iterator[Utterance]:
        return _of_supervision(row, recordings, recordings_found)

    splits = {split: _read_file(path, found, of_supervision) for split, path in split_files(supervisions).items()}
    used = {utterance.extra.pop("recording_id") for rows in splits.values() for utterance in rows}
    for name in sorted(recordings.keys() - used):
        note("{} recording<s> <has|have> no supervision, and <is|are> left out", name)
    return splits


READER = Reader("lhotse cuts, or recordings and supervisions", recognises, read)


def _kinds(source: Path) -> dict[Path, _Kind]:
    """Return what each file of lhotse holds, by its first line."""
    if source.is_file():
        paths = [source] if source.name.endswith(_SUFFIXES) else []
    else:
        paths = matches(source, *(f"*{suffix}" for suffix in _SUFFIXES), "*/*.jsonl", "*/*.jsonl.gz")
    return {path: kind for path in paths if (kind := _kind_of(path)) is not None}


def _kind_of(path: Path) -> _Kind | None:
    try:
        row = next(_rows(path), (0, None))[1]
    except (OSError, ValueError, EOFError, zlib.error, SourceError):
        return None
    if not isinstance(row, dict):
        return None
    if "supervisions" in row:
        return "cuts"
    if {"recording_id", "start", "duration"} <= row.keys():
        return "supervisions"
    return "recordings" if {"id", "sources", "sampling_rate"} <= row.keys() else None


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the rows with their numbers: lines, or places in a JSON list. A line that is no JSON is a ValueError."""
    if path.suffix == ".json":
        content = parse_json(source_text(path))
        yield from enumerate(content if isinstance(content, list) else [content], start=1)
        return
    for number, line in _lines(path):
        try:
            yield number, parse_json(line)
        except ValueError as error:
            yield number, error


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


def _read_file(path: Path, found: Recordings, of_row: Any) -> list[Any]:
    """Return what `of_row` yields for all rows of a file. Raises SourceError that lists the faulty rows."""
    results: list[Any] = []
    problems = []
    try:
        for number, row in _rows(path):
            try:
                if isinstance(row, ValueError):
                    raise row
                if not isinstance(row, dict):
                    raise ValueError(f"is a {type(row).__name__}; each line must be one object of lhotse")
                results += of_row(row, found, path.parent)
            except KeyError as error:
                problems.append(f"{path}:{number}: lacks {error}; export the list again")
            except _FAULTS as error:
                problems.append(f"{path}:{number}: {error}")
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({error}); copy it again from its source") from None
    raise_problems(problems, SourceError)
    return results


def _of_cut(cut: dict[str, Any], found: Recordings, folder: Path) -> Iterator[Utterance]:
    name, kind = cut["id"], cut.get("type", "MonoCut")
    if kind != "MonoCut":
        raise ValueError(f"{name} is a {kind}, not a part of one file; save the cuts with cuts.save_audios(…)")
    audio = _audio(f"{name}: its recording", cut["recording"], found, folder, "save the cuts with cuts.save_audios(…)")
    if not cut["supervisions"]:
        note("{} cut<s> <has|have> no supervision, and <is|are> left out", str(name))
    for supervision in cut["supervisions"]:
        start = round(_seconds(cut["start"]) + max(0.0, float(supervision["start"])), 6)
        yield _utterance(supervision, audio, start, {})


def _of_recording(recording: dict[str, Any], found: Recordings, folder: Path) -> Iterator[dict[str, Any]]:
    cure = "write each recording to a file of its own with lhotse's recording.to_cut().save_audio(…)"
    yield {"id": str(recording["id"]), "audio": _audio(f"{recording['id']}", recording, found, folder, cure)}


def _of_supervision(
    supervision: dict[str, Any], recordings: dict[str, dict[str, Any]], found: Recordings
) -> Iterator[Utterance]:
    name = str(supervision["recording_id"])
    audio = recordings[name]["audio"] if name in recordings else found.find(name)
    yield _utterance(supervision, audio, _seconds(supervision["start"]), {"recording_id": name})


def _utterance(supervision: dict[str, Any], audio: Path, start: float, extra: dict[str, Any]) -> Utterance:
    text, speaker = supervision.get("text"), supervision.get("speaker")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"text is {text!r}, not a string; put it in quotes")
    language = {"language": supervision["language"]} if supervision.get("language") else {}
    return Utterance(
        id=str(supervision["id"]),
        audio=audio,
        text=text,
        offset=start,
        duration=_seconds(supervision["duration"]),
        speaker=None if speaker is None else str(speaker),
        extra=language | extra,
    )


def _audio(what: str, recording: dict[str, Any], found: Recordings, folder: Path, cure: str) -> Path:
    """Return the file of a recording. Raises ValueError for one that is no plain file of one channel."""
    source = recording["sources"][0]
    if source["type"] != "file" or recording.get("transforms"):
        problem = "has transforms" if source["type"] == "file" else f"comes from a {source['type']}"
        raise ValueError(f"{what} {problem}; {cure}")
    if len(source["channels"]) > 1:
        raise ValueError(f"{what} is one channel of several; {cure}")
    audio = find_from_above(folder, str(source["source"]))
    return audio if is_file(audio) else found.find(str(source["source"]))


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0.0 <= seconds < 1e7:
        raise ValueError(f"{value!r} is not a number of seconds; correct it")
    return seconds
