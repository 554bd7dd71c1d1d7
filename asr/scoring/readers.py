"""Readers of the files that hold texts to score, of each kind that `scoring/kinds.py` recognises."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from asr.corpus.manifest import from_row, json_rows, parse_json, read_manifest
from asr.corpus.stm import Segment, parse_seconds, parse_segment
from asr.errors import ManifestError, raise_problems
from asr.scoring.kinds import Kind, Source
from asr.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Entry:
    """One text to score, with its row if it is in a manifest, and its n-best list if it has one."""

    id: str
    text: str
    speaker: str | None = None
    utterance: Utterance | None = None
    nbest: tuple[str, ...] = ()


class TimedWord(NamedTuple):
    """A word of a CTM file; its channel is (recording, channel), times are in seconds."""

    channel: tuple[str, str]
    start: float
    duration: float
    word: str


def read_entries(
    source: Path | Source, *, hypotheses: bool, text_field: str = "text", kind: Kind | None = None
) -> list[Entry]:
    """Read a file of any kind into entries. Ids of plain text are line numbers.

    `kind` overrides the kind that the file tells by itself. From a manifest, references are read from `text_field`,
    hypotheses from `hypothesis` or NeMo's `pred_text`. To score a CTM against an STM, use `cut` instead. Raises
    ManifestError that names the file with every line that cannot be read, or an id that stands there twice.
    """
    source = Source.read(source) if isinstance(source, Path) else source
    path = source.path
    match kind or source.kind:
        case "manifest":
            rows = _manifest_rows(source, text_field)
            entries = [_hypothesis(path, row) if hypotheses else _reference(path, row, text_field) for row in rows]
        case "json":
            entries = _json_entries(source, hypotheses, text_field)
        case "ctm":
            entries = list(_whole_recordings(read_ctm(source)))
        case "stm":
            entries = [Entry(part.id, part.text, part.speaker) for part in read_stm(source) if not part.ignored]
        case "trn":
            entries = _read_trn(source)
        case "kaldi":
            entries = [_kaldi_entry(line) for _, line in source.numbered()]
        case _:
            return [Entry(str(number), line) for number, line in enumerate(source.lines, start=1)]
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise ManifestError(f"{path}: id {entry.id!r} stands there twice; keep one of the two")
        seen.add(entry.id)
    if not entries:
        raise ManifestError(f"{path}: holds no utterances")
    return entries


def read_ctm(source: Source) -> list[TimedWord]:
    """Read NIST's CTM: `recording channel start duration word [confidence]` in each line, `;;` before comments."""
    words, problems = [], []
    for line, content in _lines(source):
        try:
            fields = content.split()
            if len(fields) not in (5, 6):
                raise ValueError(f"has {len(fields)} fields, not `recording channel start duration word [confidence]`")
            recording, channel, start, duration, word = fields[:5]
            words.append(TimedWord((recording, channel), parse_seconds(start), parse_seconds(duration), word))
        except ValueError as error:
            problems.append(f"{source.path}:{line}: {error}")
    raise_problems(problems, ManifestError)
    return words


def read_stm(source: Source) -> list[Segment]:
    """Read NIST's STM: `recording channel speaker start end [<label>] text` in each line, `;;` before comments."""
    segments, problems = [], []
    for line, content in _lines(source):
        try:
            segments.append(parse_segment(content))
        except ValueError as error:
            problems.append(f"{source.path}:{line}: {error}")
    raise_problems(problems, ManifestError)
    return segments


def cut(words: Iterable[TimedWord], segments: Iterable[Segment]) -> dict[Segment, list[str]]:
    """Assign each word to the segment its middle lies in, or to the nearest segment; words in order of time.

    Words between segments are kept, since leaving them out would flatter the score. Every channel must have segments.
    """
    channels: dict[tuple[str, str], list[Segment]] = {}
    for segment in sorted(segments, key=lambda segment: segment.start):
        channels.setdefault(segment.channel, []).append(segment)
    starts = {channel: [segment.start for segment in parts] for channel, parts in channels.items()}
    found: dict[Segment, list[str]] = {segment: [] for parts in channels.values() for segment in parts}
    for word in sorted(words, key=lambda word: word.start):
        middle = word.start + word.duration / 2
        after = bisect_right(starts[word.channel], middle)
        near = channels[word.channel][max(after - 1, 0) : after + 1]
        found[min(near, key=lambda part: max(part.start - middle, middle - part.end, 0.0))].append(word.word)
    return found


def _whole_recordings(words: list[TimedWord]) -> Iterator[Entry]:
    """Yield one entry for each recording, or for each channel if any recording has several."""
    texts: dict[tuple[str, str], list[str]] = {}
    for word in sorted(words, key=lambda word: word.start):
        texts.setdefault(word.channel, []).append(word.word)
    several = len({recording for recording, _ in texts}) < len(texts)
    for channel, text in texts.items():
        yield Entry("-".join(channel) if several else channel[0], " ".join(text))


def _reference(path: Path, row: Utterance, text_field: str) -> Entry:
    if row.text is None:
        raise ManifestError(f"{path}: {row.id} has no {text_field} to score against; add it or take the line out")
    return Entry(row.id, row.text, row.speaker, row)


def _hypothesis(path: Path, row: Utterance) -> Entry:
    text, nbest = row.extra.get("hypothesis", row.extra.get("pred_text")), row.extra.get("nbest", [])
    if not isinstance(text, str):
        raise ManifestError(f"{path}: {row.id} has no hypothesis; write it with `asr transcribe -o`")
    if isinstance(nbest, list):
        nbest = [one.get("text") if isinstance(one, dict) else one for one in nbest]
    if not isinstance(nbest, list) or not all(isinstance(one, str) for one in nbest):
        raise ManifestError(f"{path}: {row.id}: nbest must be a list of texts, or of objects with a `text`")
    return Entry(row.id, text, row.speaker, row, tuple(nbest))


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in source.numbered() if not line.lstrip().startswith(";;"))


def _manifest_rows(source: Source, text_field: str) -> list[Utterance]:
    if not source.path.is_file():
        raise ManifestError(f"{source.path}: is a pipe, which only JSON Lines can come from; write a file")
    return read_manifest(source.path, text_field=text_field)


def _read_trn(source: Source) -> list[Entry]:
    entries, problems = [], []
    for number, line in source.numbered():
        if line.startswith(";;"):
            continue
        if match := re.fullmatch(r"(?:(.*)\s)?\(([^\s()]+)\)\s*", line):
            entries.append(Entry(match[2], match[1] or ""))
        else:
            problems.append(f"{source.path}:{number}: has no id in parentheses at its end: `words (id)`")
    raise_problems(problems, ManifestError)
    return entries


def _kaldi_entry(line: str) -> Entry:
    """Split a line at its tab, if it has one, since the name of a recording may hold spaces; else at white space."""
    identifier, _, text = line.partition("\t") if "\t" in line.strip() else line.strip().partition(" ")
    return Entry(identifier.strip(), " ".join(text.split()))


def _json_entries(source: Source, hypotheses: bool, text_field: str) -> list[Entry]:
    """Read one JSON object, a list of objects, or JSON Lines, with the fields of a manifest or an `id`."""
    path = source.path
    try:
        content = parse_json(source.content)
    except ValueError:
        rows = list(json_rows("\n".join(source.lines)))
    else:
        rows = list(enumerate(content, start=1)) if isinstance(content, list) else [(1, content)]
    fields = ("hypothesis", "pred_text") if hypotheses else (text_field,)
    entries, problems = [], []
    for number, row in rows:
        try:
            if isinstance(row, ValueError):
                raise row
            if not isinstance(row, dict):
                raise ValueError(f"is a {type(row).__name__}, not an object with the fields of a manifest")
            if not any(isinstance(row.get(name), str) for name in fields) or not {"id", "audio_filepath"} & set(row):
                names = ", ".join(list(row)[:8]) or "none"
                needed = f"{' or '.join(fields)}, and id or audio_filepath"
                raise ValueError(f"is JSON of another kind: it has the fields {names}; needed are {needed}")
            named = row if "audio_filepath" in row else {**row, "audio_filepath": str(row["id"])}
            utterance = from_row(named, path.parent, text_field=text_field)
            entry = _hypothesis(path, utterance) if hypotheses else _reference(path, utterance, text_field)
            entries.append(entry if named is row else replace(entry, utterance=None))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    raise_problems(problems, ManifestError)
    return entries
