"""Annotation files beside recordings: found by their content, read one by one, and made utterances with times."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from asr.audio import AUDIO_SUFFIXES
from asr.corpus.readers.files import SourceError, is_audio, is_file, split_name, walk
from asr.corpus.readers.reader import Splits
from asr.corpus.readers.reading import first_text, note, read_each, source_lines
from asr.corpus.readers.recordings import Recordings
from asr.corpus.readers.tiers import Annotation, note_repeated, utterances_of_tier
from asr.files import lines_of
from asr.utterance import Utterance

_LONGEST = 1e7  # seconds; a larger number is not a time
_HEAD = 5000  # characters from which the last line of a beginning may be cut
_LARGEST = 1 << 26  # bytes of one annotation file; hours of speech take less than a tenth
_LISTED = 15  # marks that the note on what is left out names
_SAMPLED = 20  # files of each suffix that are opened to recognise a folder
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?")
_NUMBER = re.compile(r"\d{1,15}(?:[.,]\d{0,20})?")


class Context:
    """Find the recording of one annotation file, and count the marks and lines that its parser leaves out."""

    def __init__(self, recordings: Recordings, by_name: Mapping[Path, tuple[Path | ValueError | None, str]]) -> None:
        """`by_name` are the recordings of all files by their names, from `Recordings.pair`."""
        self.recordings, self._by_name = recordings, by_name
        self.left_out: Counter[str] = Counter()

    def recording_of(self, path: Path, *names: str | None) -> Path:
        """Return the recording of a file: the first of `names` that exists, or else the recording with its name.

        The only file belongs to the only recording, whatever their names, which is noted. If there is no recording, a
        path that does not exist is returned. Raises ValueError that names the candidates if several fit equally well.
        """
        stated = [name for name in names if name]
        for name in stated:
            found = self.recordings.find(name, path.parent)
            if is_file(found) and found != path:
                return self.recordings.best_format(found)
        recording, _ = self._by_name[path]
        if isinstance(recording, ValueError):
            raise recording
        if recording is not None:
            return recording
        if len(self._by_name) == len(only := self.recordings.in_one_format()) == 1:
            note("the only file has another name than the only recording", f"{path} is read for {only[0]}")
            return only[0]
        return path.parent / re.split(r"[/\\]", stated[0])[-1] if stated else path.with_suffix(".wav")


Parse = Callable[[Path, Context], Iterable[Annotation]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of annotation file: its name, the suffixes that no other program uses, and the look of its first lines.

    `fits(head)` takes the beginning of a file and returns True if the file is of this kind. `needs_name(head)` returns
    True if only the name of the file can tell its recording; a file without a recording is then not of this kind.
    """

    title: str
    suffixes: tuple[str, ...]
    fits: Callable[[str], bool]
    needs_name: Callable[[str], bool] = lambda head: False


def is_kind(source: Path, kind: Kind) -> bool:
    """Return True if `source` is of a kind, or a folder that holds files of the kind.

    Of each suffix, a few files are opened. A suffix that other programs use counts only if at least half of its opened
    files with the name of a recording are of the kind. Damaged files with a suffix of the kind count only if at least
    half of all opened files with the name of a recording are such files.
    """
    if source.is_file():
        return _is_kind(source, kind)
    samples = _samples(source, kind.suffixes)
    own = [path for suffix in kind.suffixes for path in samples.get(suffix, ())]
    if any(kind.fits(beginning(path)) for path in own):
        return True
    recordings = Recordings(source)
    named = [path for paths in samples.values() for path in paths if own and _has_recording(path, recordings)]
    if own and 2 * len(own) >= len(named):  # damaged files; an error names them, and nothing else is read for them
        return True
    for paths in samples.values():
        fitting = [path for path in paths if _fits(path, kind, recordings)]
        if fitting and 2 * len(fitting) >= sum(path in fitting or _has_recording(path, recordings) for path in paths):
            return True
    return False


def find(source: Path, kind: Kind, recordings: Recordings) -> list[Path]:
    """Return `source`, or all files of a kind in the folder `source`."""
    return [source] if source.is_file() else [path for path in _texts(source) if _is_kind(path, kind, recordings)]


def read_annotations(source: Path, kind: Kind, parse: Parse, tier: str | None, main: str = ".*") -> Splits:
    """Read all files of a kind. The utterances are the annotations of one tier.

    `parse(path, context)` reads one file, and raises SourceError or ValueError. `tier` is a name or a pattern (default:
    the only tier that the regular expression `main` matches). A file that cannot be read is named, and the others are
    read. What `parse` left out is noted with counts. If each recording lies in a folder that is named after a split,
    these are the splits. Raises SourceError if no file can be read, or the choice of a tier is not clear.
    """
    recordings = Recordings(source if source.is_dir() else source.parent)
    paths = find(source, kind, recordings)
    by_name = recordings.pair(paths)
    left_out: Counter[str] = Counter()
    annotations: list[Annotation] = []
    for found, marks in read_each(paths, lambda path: _parsed(path, parse, Context(recordings, by_name))):
        annotations += found
        left_out += marks
    note_repeated(annotations)
    if left_out:
        listed = ", ".join(f"{name} {count}" for name, count in left_out.most_common(_LISTED))
        more = f", and {len(left_out) - _LISTED} others" if len(left_out) > _LISTED else ""
        if not any(annotation.text for annotation in annotations):
            raise SourceError(f"{source}: holds no text that was spoken and transcribed; left out: {listed}{more}")
        note(f"left out of the texts in {kind.title}", listed + more)
    if tier is None:
        annotations = [annotation for annotation in annotations if re.match(main, annotation.tier)] or annotations
    utterances = _with_unique_ids(utterances_of_tier(source, annotations, tier, recordings)[""])
    return by_folder(utterances, recordings)


def _parsed(path: Path, parse: Parse, context: Context) -> tuple[list[Annotation], Counter[str]]:
    """Return the annotations of one file, and counts of what is left out. Raises SourceError that names the file."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"is larger than {_LARGEST >> 20} MB; divide it into a file for each recording")
        return list(parse(path, context)), context.left_out
    except (ValueError, OverflowError) as error:
        raise SourceError(f"{path}: {error}") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None


def by_folder(utterances: list[Utterance], recordings: Recordings) -> Splits:
    """Divide utterances by the folders of their recordings, if each recording is in a folder named after a split.

    An utterance without a recording does not count, and goes to any split, since it cannot be used.
    """
    names: dict[Path, str] = {}
    for path in {utterance.audio for utterance in utterances}.intersection(recordings.paths):
        folders = Path(recordings.identify(path)).parts[:-1]
        names[path] = next(filter(None, map(split_name, folders)), "")
    if not names or "" in names.values():
        return {"": utterances}
    splits: Splits = {name: [] for name in sorted(set(names.values()))}
    for utterance in utterances:
        splits[names.get(utterance.audio, next(iter(splits)))].append(utterance)
    return splits


def each_line(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers, without white space at their ends."""
    for number, line in enumerate(source_lines(path), start=1):
        yield number, line.rstrip()


def head_lines(head: str) -> list[str]:
    """Return the lines that are not empty in the beginning of a file, without a last line that may be cut."""
    lines = lines_of(head)
    return [line for line in (lines[:-1] if len(lines) > 1 and len(head) > _HEAD else lines) if line.strip()]


def seconds(text: str, unit: float = 1.0) -> float:
    """Return a time in seconds: a number times `unit`, or `hh:mm:ss.mmm`. Raises ValueError with the text."""
    found = text.strip()
    if match := _CLOCK.fullmatch(found):
        hours, minutes, whole, part = match.groups()
        value = 3600 * int(hours or 0) + 60 * int(minutes) + float(f"{whole}.{part or 0}")
    elif _NUMBER.fullmatch(found):
        value = float(found.replace(",", ".")) * unit
    else:
        raise ValueError(f"{text[:40]!r} is not a time; correct it")
    if not 0.0 <= value < _LONGEST:
        raise ValueError(f"{text[:40]!r} is not a time in a recording; correct it")
    return round(value, 6)


def _texts(folder: Path) -> list[Path]:
    return [path for path in walk(folder) if not is_audio(path)]


def _samples(folder: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    """Return a few files of `suffixes` and of each common suffix under `folder`, except recordings."""
    names: dict[str, list[str]] = defaultdict(list)
    for parent, _, files in os.walk(folder):
        for name in files:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  Path objects take longer than the search
            if suffix not in AUDIO_SUFFIXES and not name.startswith("."):
                names[suffix].append(os.path.join(parent, name))  # noqa: PTH118
    most = sorted(names, key=lambda suffix: -len(names[suffix]))[:_SAMPLED]
    return {
        suffix: [Path(name) for name in sorted(names[suffix])[:: max(1, len(names[suffix]) // _SAMPLED)]]
        for suffix in dict.fromkeys([*most, *suffixes])
        if suffix in names
    }


def _is_kind(path: Path, kind: Kind, recordings: Recordings | None = None) -> bool:
    return path.suffix.lower() in kind.suffixes or _fits(path, kind, recordings)


def _fits(path: Path, kind: Kind, recordings: Recordings | None) -> bool:
    """Return True if the beginning of a file is of a kind, and the file has a recording if its kind needs the name."""
    head = beginning(path)
    return kind.fits(head) and (recordings is None or not kind.needs_name(head) or _has_recording(path, recordings))


def _has_recording(path: Path, recordings: Recordings) -> bool:
    """Return True if a file has the name of a recording, or if there is only one recording."""
    try:
        return len(recordings.paths) == 1 or is_file(recordings.find_for(path))
    except ValueError:  # several recordings with its name
        return True


def beginning(path: Path) -> str:
    """Return the beginning of a text file; "" if it cannot be read or is binary."""
    head = first_text(path)
    return "" if "\0" in head else head


def _with_unique_ids(utterances: list[Utterance]) -> list[Utterance]:
    """Add a number to the ids of utterances that begin at one time, as overlapping speakers may."""
    seen: Counter[str] = Counter()
    unique = []
    for utterance in utterances:
        seen[utterance.id] += 1
        count = seen[utterance.id]
        unique.append(utterance if count == 1 else replace(utterance, id=f"{utterance.id}#{count}"))
    return unique
