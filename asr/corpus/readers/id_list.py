"""Reader of lists without a header: the name of a recording and its text in each line, as many corpora have them.

Examples are OpenSLR's `line_index.tsv`, the `transcripts.txt` of MLS, AISHELL's and VoxForge's lists, FLEURS,
CSS10's `transcript.txt`, and Festvox's `txt.done.data`.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.readers.annotations import beginning, by_folder, head_lines
from asr.corpus.readers.columns import fields, has_audio_and_text
from asr.corpus.readers.fairseq import is_fairseq
from asr.corpus.readers.files import SourceError, is_audio, split_name, walk
from asr.corpus.readers.kinds import kind_of
from asr.corpus.readers.reader import Reader, Splits
from asr.corpus.readers.reading import note, read_each, source_lines
from asr.corpus.readers.recordings import Recordings
from asr.errors import raise_problems
from asr.utterance import Utterance

_SUFFIXES = ("", ".txt", ".tsv", ".csv", ".psv", ".tab", ".lst", ".list", ".text", ".trans", ".trn", ".data", ".label")
_GENDERS = frozenset(["m", "f", "male", "female", "other", "man", "woman"])
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{0,15})?")


def _by_tab(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")]


def _by_bar(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def _by_semicolon(line: str) -> list[str]:
    return _csv(line, ";")


def _by_comma(line: str) -> list[str]:
    return _csv(line, ",")


def _csv(line: str, delimiter: str) -> list[str]:
    """Split a line at its first delimiter, as no header says how many columns there are; quotes enclose the text."""
    name, found, text = line.strip().partition(delimiter)
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return [name.strip().strip('"'), text] if found else [line]


def _by_space(line: str) -> list[str]:
    return line.split(maxsplit=1)


def _festvox(line: str) -> list[str]:
    """Split `( name "text" )`."""
    line = line.strip()
    name, _, text = line[1:-1].strip().partition(" ")
    is_row = (
        line[:1] == "(" and line[-1:] == ")" and len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] == '"'
    )
    return [name, text.strip()[1:-1].replace('\\"', '"')] if is_row else []


def _trn(line: str) -> list[str]:
    """Split `text (name)`."""
    text, found, name = line.strip().rpartition("(")
    return [name[:-1], text.strip()] if found and name[-1:] == ")" else []


_SPLITTERS: tuple[Callable[[str], list[str]], ...] = (
    _by_tab,
    _by_bar,
    _festvox,
    _trn,
    _by_semicolon,
    _by_comma,
    _by_space,
)


_Line = tuple[Path, str, Utterance]  # the list, the place in it, and the utterance


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a list is read: the function that splits a line, and the positions of the columns."""

    split: Callable[[str], list[str]]
    audio: int
    text: int
    speaker: int | None
    raw: int | None  # the text as printed, if `text` is normalised
    skip: int  # lines of the header


def recognises(source: Path) -> bool:
    """Return True for a list that names recordings, or a folder with such a list at any depth."""
    folder = source if source.is_dir() else source.parent
    names = _Names(folder)
    if not names.stems or (source.is_dir() and names.have_own_texts):
        return False
    return any(_is_list(path, names) for path in _candidates(source, names))


def read(source: Path) -> Splits:
    """Read all lists of the folder.

    The columns are found by what they hold: the recording, the text (the last one, if there are two versions of it),
    and a speaker. Lists or folders that are named after splits are these splits. A recording that two lists name is
    read once if the texts are equal. Raises SourceError that names the lines if the texts differ, or if it is not clear
    which column is the text.
    """
    folder = source if source.is_dir() else source.parent
    names, recordings = _Names(folder), Recordings(folder)
    lists = read_each(_candidates(source, names), lambda path: _read_list(path, names, recordings))
    if not any(lists) and source.is_file():
        raise SourceError(f"{source}: is no list of recordings and texts; each line must name a recording first")
    lists = list(_without_labels(lists))
    utterances: dict[Path, tuple[str, Utterance]] = {}
    splits: dict[Path, str | None] = {}
    problems: list[str] = []
    for path, place, utterance in itertools.chain.from_iterable(lists):
        known = utterances.setdefault(utterance.audio, (place, utterance))
        if known[0] != place and known[1].text == utterance.text:
            note("{} line<s> repeat<s|> a recording with the same text; each is read once", place)
        elif known[0] != place:
            name = utterance.audio.name
            problems.append(f"{place}: gives {name} another text than {known[0]}; give one of the two lists as SOURCE")
        parts = [*path.relative_to(folder).parts[:-1], path.stem] if source.is_dir() else [path.stem]
        splits.setdefault(utterance.audio, next(filter(None, map(split_name, reversed(parts))), None))
    raise_problems(problems, SourceError)
    rows = [utterance for _, utterance in utterances.values()]
    if source.is_dir():
        rows += [Utterance(recordings.identify(path), path) for path in names.paths if path not in utterances]
    if not rows or not all(splits.get(row.audio) for row in rows):
        return by_folder(rows, recordings)
    found: Splits = {}
    for row in rows:
        found.setdefault(str(splits[row.audio]), []).append(row)
    return found


READER = Reader("list of recordings and texts without a header", recognises, read, is_fallback=True, tracks_files=True)


def _read_list(path: Path, names: "_Names", recordings: Recordings) -> list[_Line]:
    """Return the path, the place in the file, and the utterance of each line; nothing for a file that is no list.

    Raises SourceError that names the faulty lines.
    """
    layout = _layout(path, names)
    if layout is None:
        return []
    if layout.speaker is not None:
        note(f"column {layout.text + 1} is read as the text, and column {layout.speaker + 1} as the speaker", str(path))
    if layout.raw is not None:
        note(
            f"column {layout.text + 1} is read as the text, and column {layout.raw + 1} is kept as raw_text", str(path)
        )
    lines = [(number, line) for number, line in enumerate(source_lines(path), start=1) if line.strip()]
    rows = {f"{path}:{number}": layout.split(line) for number, line in lines[layout.skip :]}
    last = max(layout.audio, layout.text)
    found = recordings.find_all((cells[layout.audio] for cells in rows.values() if len(cells) > last), path.parent)
    utterances, problems = [], []
    for place, cells in rows.items():
        if len(cells) <= last:
            problems.append(f"{place}: has {len(cells)} columns, but the other lines have more; complete it")
            continue
        audio = found[cells[layout.audio]]
        if isinstance(audio, ValueError):
            problems.append(f"{place}: {audio}")
            continue
        utterance = Utterance(
            id=recordings.identify(audio),
            audio=audio,
            text=" ".join(cells[layout.text].split()) or None,
            speaker=(cells[layout.speaker] or None) if layout.speaker is not None else None,
            extra={"raw_text": cells[layout.raw]} if layout.raw is not None else {},
        )
        utterances.append((path, place, utterance))
    raise_problems(problems, SourceError)
    return utterances


def _without_labels(lists: Sequence[list[_Line]]) -> Iterator[list[_Line]]:
    """Yield the lists, without those whose few values describe recordings of another list, such as speakers."""
    different = [len({utterance.text for _, _, utterance in lines}) for lines in lists]
    audio = [{utterance.audio for _, _, utterance in lines} for lines in lists]
    for place, lines in enumerate(lists):
        if any(
            10 * different[place] < different[other] and not audio[place].isdisjoint(audio[other])
            for other in range(len(lists))
        ):
            note(
                "{} list<s> <has|have> few values for recordings of another list, and <is|are> not read as texts",
                str(lines[0][0]),
            )
        elif lines:
            yield lines


class _Names:
    """The recordings of a folder, and their names without folders and suffixes, in one case."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[Path] = []
        others: list[Path] = []
        for path in walk(folder):
            (self.paths if is_audio(path) else others).append(path)
        self.stems = {path.stem.casefold() for path in self.paths}
        self.texts = [path for path in others if path.suffix.lower() in _SUFFIXES and not self._is_of_one(path)]
        self._own = [path for path in others if self._is_of_one(path)]

    def _is_of_one(self, path: Path) -> bool:
        """Return True if a file has the name of a recording, up to one of its dots."""
        parts = path.name.casefold().split(".")
        return any(".".join(parts[:count]) in self.stems for count in range(1, len(parts)))

    @property
    def have_own_texts(self) -> bool:
        """Return True if at least half of the recordings have a plain text of their name."""
        sample = self._own[:: max(1, len(self._own) // 20)]
        texts = sum(bool(text.strip()) and kind_of(text) is None for text in map(beginning, sample))
        return 2 * len(self._own) * texts >= len(self.stems) * len(sample) > 0

    def has(self, cell: str) -> bool:
        """Return True if a cell names a recording, with or without its folders and its suffix."""
        last = re.split(r"[/\\]", cell.strip())[-1].casefold()
        return last in self.stems or (is_audio(Path(last)) and last.rpartition(".")[0] in self.stems)


def _candidates(source: Path, names: _Names) -> list[Path]:
    """Return the files that may be lists."""
    return [source] if source.is_file() else [path for path in names.texts if not is_fairseq(path)]


def _is_list(path: Path, names: _Names) -> bool:
    try:
        return _layout(path, names) is not None
    except SourceError:  # a list whose columns are not clear; `read` raises it again
        return True


def _layout(path: Path, names: _Names) -> _Layout | None:
    """Return how a list is read, from its first lines; None if the file is no list of recordings with texts."""
    lines = head_lines(beginning(path))
    best: tuple[float, Callable[[str], list[str]], int, list[list[str]]] | None = None
    for split in _SPLITTERS:
        rows = [cells for cells in map(split, lines) if len(cells) >= 2]
        if 2 * len(rows) < len(lines) or not rows:
            continue
        for column in range(min(map(len, rows))):
            share = sum(names.has(row[column]) for row in rows) / len(lines)
            if share >= (0.1 if split in (_by_tab, _by_bar) else 0.5) and (best is None or share > best[0]):
                best = share, split, column, rows
    if best is None:
        return None
    _, split, audio, rows = best
    found = {row[audio] for row in rows if names.has(row[audio])}
    if split not in (_by_tab, _by_bar) and len(found) < min(2, len(names.paths)):
        return None  # a sentence that begins with the name of a recording
    first = {} if names.has(rows[0][audio]) else fields(rows[0])
    header = rows[0] if "text" in first else None
    if "offset" in first:
        return None  # a table with times
    if header is not None and has_audio_and_text(header) and path.suffix.lower() in (".csv", ".tsv"):
        return None  # a table
    try:
        layout = _columns(split, audio, rows[1:] if header else rows, header)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None
    is_of_paths = layout is not None and 2 * sum(names.has(row[layout.text]) for row in rows) > len(rows)
    return None if is_of_paths else layout


def _columns(
    split: Callable[[str], list[str]], audio: int, rows: Sequence[Sequence[str]], header: Sequence[str] | None
) -> _Layout | None:
    """Find out which columns hold the text and the speaker. Raises ValueError if it is not clear."""
    if header is not None:
        named = {field: list(header).index(name) for field, name in fields(header).items()}
        return _Layout(split, audio, named["text"], named.get("speaker"), None, skip=1)
    width = min(map(len, rows))
    columns = {place: [row[place] for row in rows] for place in range(width) if place != audio}
    texts, speaker = list(columns), None
    if len(texts) > 1:
        words = [place for place in texts if not _holds_no_text(columns[place])]
        # Most texts have several words, and they differ from each other more than the names of speakers do.
        texts = [place for place in words if 2 * sum(" " in cell for cell in columns[place]) >= len(rows)]
        texts = texts or words
        different = {place: len(set(columns[place])) for place in texts}
        texts = [place for place in texts if 2 * different[place] > max(different.values())]
        people = [place for place in words if place not in texts and len(set(columns[place])) < len(rows)]
        speaker = next(iter(people), None)
    if not texts:
        return None
    raw = None
    if len(texts) == 2 and (split is _by_bar or _are_versions(columns[texts[0]], columns[texts[1]])):
        raw, texts = texts[0], texts[1:]
    if len(texts) > 1:
        listed = "".join(f"\n  column {place + 1}: {columns[place][0][:60]}" for place in texts)
        raise ValueError(
            f"it is not clear which column is the text; choose one, such as --columns file={audio + 1},text="
            f"{texts[0] + 1}:{listed}"
        )
    return _Layout(split, audio, texts[0], speaker, raw, skip=0)


def _holds_no_text(cells: Sequence[str]) -> bool:
    """Return True for a column of numbers, of genders, or of texts spelled letter by letter, as in FLEURS."""
    if all(_NUMBER.fullmatch(cell) or cell.lower() in _GENDERS for cell in cells):
        return True
    letters = [word for cell in cells for word in cell.split()]
    return "|" in letters and sum(len(word) == 1 for word in letters) > 0.9 * len(letters)


def _are_versions(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return True if two columns are one text, for example as printed and normalised."""
    similar = 0
    for one, other in zip(first, second, strict=True):
        counts = [Counter(filter(str.isalnum, cell.casefold())) for cell in (one, other)]
        shared = (counts[0] & counts[1]).total()
        similar += 2 * shared >= 0.6 * (counts[0].total() + counts[1].total())
    return similar >= 0.8 * len(first)
