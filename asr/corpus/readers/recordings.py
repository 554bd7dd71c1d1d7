"""The recordings of a corpus, found by the names that tables, annotations and text files state."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from asr.audio import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from asr.corpus.readers.files import is_audio, is_file, walk
from asr.corpus.readers.pairs import Pair
from asr.corpus.readers.reading import note, pair_patterns

Key = TypeVar("Key", bound=Hashable)

_LEVELS = (  # how loosely two names are equal, the closest first
    "",
    "composed otherwise in Unicode",
    "in other case",
    "with another suffix",
    "with another suffix and in other case",
)


@dataclass(frozen=True, slots=True)
class _Match:
    """A recording that a stated name may mean. The greatest `rank` is the best."""

    path: Path
    level: int  # how loosely the names are equal: a position in _LEVELS
    rank: tuple[int, ...]
    other: Path | None = None  # the recording in another format


class Recordings:
    """The recordings under `folder`, to be found by the names in tables and annotations.

    Names are compared as they are, then after NFC, then without case, then without the suffix of recordings. Of several
    recordings with the name, the one with the folders of the stated path is taken: compared from the end, then in any
    place. A loose match is noted (see `reading.py`). Patterns of `--pair` state which part of a name counts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.normpath(folder))
        self._pairs = [Pair(pattern) for pattern in pair_patterns()]
        self._settled: dict[tuple[str, Path], Path | ValueError] = {}

    @cached_property
    def paths(self) -> list[Path]:
        """Return all recordings under the folder, sorted."""
        return [path for path in walk(self.folder) if is_audio(path)]

    def in_one_format(self) -> list[Path]:
        """Return all recordings; of one that is there in several formats beside each other, the best one."""
        formats = defaultdict(list)
        for path in self.paths:
            formats[path.parent, _stem(path.name)].append(path)
        best = {place: min(paths, key=_rank_of_format) for place, paths in formats.items()}
        for place, path in best.items():
            if len(formats[place]) > 1:
                _note_formats(path, min((other for other in formats[place] if other != path), key=_rank_of_format))
        return list(best.values())

    def best_format(self, path: Path) -> Path:
        """Return the recording, or the sound beside a video with its name."""
        beside = [other for other in self._index.get((_fold(_stem(path.name)),), []) if other.parent == path.parent]
        sound = [other for other in beside if other.suffix.lower() not in VIDEO_SUFFIXES]
        if path.suffix.lower() not in VIDEO_SUFFIXES or not sound:
            return path
        best = min(sound, key=_rank_of_format)
        _note_formats(best, path)
        return best

    @cached_property
    def _index(self) -> dict[tuple[str, ...], list[Path]]:
        """Return the recordings by their folded stem, and by their stem and folder."""
        index: dict[tuple[str, ...], list[Path]] = defaultdict(list)
        for path in self.paths:
            paired = self._paired(path)
            stem = _fold(_stem(paired.name))
            index[stem,].append(path)
            index[stem, *_folders(str(paired))[:1]].append(path)
        return index

    def find(self, name: str, beside: Path | None = None) -> Path:
        """Return the recording at the path `name`, relative to `beside` (default: `folder`).

        If no file is there, the recording whose path is most like it is taken. This finds names without suffix, names
        in subfolders, and paths of another machine. If there is none, the path is returned as it is. Raises ValueError
        that names the candidates if several are equally like it.
        """
        key = name, beside or self.folder
        if key not in self._settled:
            self.settle([key])
        found = self._settled[key]
        if isinstance(found, ValueError):
            raise found
        return found

    def find_all(self, names: Iterable[str], beside: Path | None = None) -> dict[str, Path | ValueError]:
        """Return for each name what `find` returns or raises, as `settle` decides."""
        keys = [(name, beside or self.folder) for name in names]
        self.settle(keys)
        return {name: self._settled[name, folder] for name, folder in keys}

    def settle(self, names: Iterable[tuple[str, Path]]) -> None:
        """Decide together which recordings these names mean, each relative to a folder; `find` then returns them.

        Two paths in different folders never get one recording: the path that is more like it gets it, and the other
        one is returned as it is, since its recording is missing.
        """
        stated = {key: Path(os.path.normpath(key[1] / key[0])) for key in names}
        own = {
            key: _folders(self._relative(path) if path.is_relative_to(self.folder) else key[0])
            for key, path in stated.items()
        }
        exact = {key: path for key, path in stated.items() if is_file(path)}
        self._settled |= self._assign(stated, own, exact)

    def find_for(self, path: Path) -> Path:
        """Return the recording of a file with annotations or a text, by the name of the file.

        The recording of `x.mb.txt` is `x.mb.wav` or `x.wav`. If there is none, `x.mb.wav` is returned, which does not
        exist. Raises ValueError that names the candidates if several are equally like it.
        """
        found, _ = self.pair([path])[path]
        if isinstance(found, ValueError):
            raise found
        return found or path.with_suffix(".wav")

    def pair(self, paths: Iterable[Path]) -> dict[Path, tuple[Path | ValueError | None, str]]:
        """Return for each file with annotations or a text its recording, and the rest of the file's name.

        The recording is None if no recording has the name, and a ValueError if several are equally like it. As in
        `find_all`, two files with equal rests in different folders never get one recording.
        """
        left = {path: self._paired(path) for path in paths}
        left = {path: shared if shared != path else path.with_name(_cut(path.name)) for path, shared in left.items()}
        result: dict[Path, tuple[Path | ValueError | None, str]] = {path: (None, path.suffix) for path in left}
        while left:
            shorter = {}
            kinds: dict[str, dict[str, Path]] = defaultdict(dict)
            for path, shared in left.items():
                begins = path.name.startswith(shared.name)
                kinds[path.name[len(shared.name) :] if begins else path.suffix][str(path)] = shared
            for rest, stated in kinds.items():
                own = {name: _folders(os.path.relpath(shared, self.folder)) for name, shared in stated.items()}
                for name, match in self._assign(stated, own, {}).items():
                    if match != stated[name]:
                        result[Path(name)] = match, rest
                    elif _cut(stated[name].name) != stated[name].name:
                        shorter[Path(name)] = stated[name].with_name(_cut(stated[name].name))
            left = shorter
        return result

    def identify(self, path: Path) -> str:
        """Return the id of a recording that has none of its own: its path under `folder`, without suffix."""
        path = path.with_suffix("") if is_audio(path) else path
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.as_posix()

    def _paired(self, path: Path) -> Path:
        """Return the path with the part of its name that a pattern of `--pair` names, or the path itself."""
        return next(filter(None, (pair.shared(path) for pair in self._pairs)), path)

    def _assign(
        self, stated: Mapping[Key, Path], own: Mapping[Key, tuple[str, ...]], exact: Mapping[Key, Path]
    ) -> dict[Key, Path | ValueError]:
        """Return the recording of each stated path, or the path itself; `own` are the folders that its name holds."""
        matches = {name: self._matches(path, own[name]) for name, path in stated.items() if name not in exact}
        claims: dict[Path, list[Key]] = defaultdict(list)  # the names that mean this recording and no other one
        for name, found in matches.items():
            if len(found) == 1:
                claims[found[0].path].append(name)
        for name, path in exact.items():
            claims[path].append(name)
        result: dict[Key, Path | ValueError] = dict(exact)
        for name, found in matches.items():
            rivals = [[other for other in claims[match.path] if not _agree(own[name], own[other])] for match in found]
            if all(
                any(other in exact or matches[other][0].rank > match.rank for other in others)
                for match, others in zip(found, rivals, strict=True)
            ):
                result[name] = stated[name]  # also without any match
            elif len(found) > 1:
                listed = ", ".join(str(match.path) for match in found[:3]) + (", …" if len(found) > 3 else "")
                result[name] = ValueError(
                    f"several recordings are called {stated[name].name!r}: {listed}; give the path with its folder"
                )
            elif rivals[0] and matches[rivals[0][0]][0].rank == found[0].rank:
                result[name] = ValueError(
                    f"{found[0].path} is the only recording for {stated[name]} and for {stated[rivals[0][0]]}; "
                    "give each its own recording, or remove one"
                )
            else:
                result[name] = found[0].path
                self._note(stated[name], found[0])
        return result

    def _note(self, stated: Path, match: _Match) -> None:
        """Note a recording that was found by a name that differs, or in several formats."""
        if match.level:
            case = f"{self._relative(stated)} is {self._relative(match.path)}"
            note(f"{{}} recording<s> <is|are> found by <its|their> name {_LEVELS[match.level]}", case)
        if match.other is not None:
            _note_formats(match.path, match.other)

    def _relative(self, path: Path) -> str:
        return (path.relative_to(self.folder) if path.is_relative_to(self.folder) else path).as_posix()

    def _matches(self, stated: Path, own: tuple[str, ...]) -> list[_Match]:
        """Return the recordings that are most like the stated path, all equally like it."""
        last = self._paired(Path(re.split(r"[/\\]", stated.name)[-1])).name
        stems = dict.fromkeys((_fold(last), _fold(_stem(last))))
        # A recording in the stated folder is always closer, and thousands of folders may hold the name.
        found = [path for stem in stems for path in self._index.get((stem, *own[:1]), [])]
        found = found or [path for stem in stems for path in self._index.get((stem,), [])]
        matches = [self._compare(path, last, stated, own) for path in found]
        top = max((match.rank for match in matches), default=())
        best = [match for match in matches if match.rank == top]
        if len({(match.path.parent, _stem(match.path.name)) for match in best}) != 1:
            return best
        best.sort(key=lambda match: _rank_of_format(match.path))  # one recording in several formats
        return [replace(best[0], other=best[1].path if len(best) > 1 else None)]

    def _compare(self, path: Path, last: str, stated: Path, own: tuple[str, ...]) -> _Match:
        name = self._paired(path).name
        stem, stated_stem = _stem(name), _stem(last)
        equal = (
            last in (name, stem),
            _nfc(last) in (_nfc(name), _nfc(stem)),
            _fold(last) in (_fold(name), _fold(stem)),
            _nfc(stem) == _nfc(stated_stem),
            True,
        )
        level = equal.index(True)
        folders = _folders(str(self._paired(path)))
        whole = _common(folders, _folders(str(stated)))
        anywhere = len(set(own) & set(folders)), _common(path.parts[:-1], stated.parts[:-1])
        return _Match(path, level, (_common(folders, own), -level, whole, *anywhere))


def _stem(name: str) -> str:
    """Return a name without the suffix of a recording; `x.1` keeps its dot."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in AUDIO_SUFFIXES else name


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _fold(name: str) -> str:
    return _nfc(_nfc(name).casefold())


def _folders(name: str) -> tuple[str, ...]:
    """Return the folders of a path of any system, folded, the last one first."""
    return tuple(_fold(part) for part in reversed(re.split(r"[/\\]", name)[:-1]) if part not in ("", ".", ".."))


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Return the number of equal items at the start of both."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _agree(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Return True if two stated folders can be one folder: one is the end of the other."""
    return _common(first, second) == min(len(first), len(second))


def _cut(name: str) -> str:
    """Return a name without its last suffix; a name without one is returned as it is."""
    return name.rpartition(".")[0] or name


def _rank_of_format(path: Path) -> int:
    """Return the place of a suffix in the list: sound without loss comes first, video comes last."""
    return AUDIO_SUFFIXES.index(path.suffix.lower())


def _note_formats(path: Path, other: Path) -> None:
    note("{} recording<s> <is|are> there in several formats", f"{path.name} is taken, not {other.name}")
