"""What all readers need of files: text in its encoding, recordings by their names, splits by theirs."""

import os
import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from asr.audio import AUDIO_SUFFIXES
from asr.errors import AsrError
from asr.files import read_lines

_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class SourceError(AsrError):
    """A corpus cannot be read as it lies there."""


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    lines = enumerate(read_lines(path, SourceError), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def is_audio(path: Path) -> bool:
    """Whether the name is a recording's. Names with a leading dot are the leavings of file managers."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def matches(source: Path, *patterns: str) -> list[Path]:
    """Files under `source` that match one of the patterns, sorted; none where it is no folder or cannot be read."""
    try:
        found = {path for pattern in patterns for path in source.glob(pattern)} if source.is_dir() else ()
        return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    except OSError:
        return []


def walk(folder: Path, suffix: str = "") -> list[Path]:
    """Files under `folder` with this suffix in any case, sorted, without hidden ones.

    Links to folders are not followed, so that none leads in a circle.
    """
    found = (
        os.path.join(parent, name)  # noqa: PTH118  a Path for each of a million files takes longer than finding them
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(suffix) and not name.startswith(".")
    )
    return [Path(name) for name in sorted(found)]


def is_file(path: Path) -> bool:
    """Whether there is such a file. Path.is_file() raises for names that are too long."""
    return os.path.isfile(path)  # noqa: PTH113


def find_from_above(folder: Path, name: str) -> Path:
    """The file `name` as seen from `folder` or the two above it, the first if it is nowhere.

    Toolkits name files as seen from where they were run, most often two above `data/train`.
    """
    return next(filter(is_file, (base / name for base in (folder, *folder.absolute().parents[:2]))), folder / name)


def split_name(name: str) -> str | None:
    """The split that a file or folder is named after: `dev` and `clips_valid` are "validation", `anna` is None."""
    found = {_SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def usual_split(name: str) -> str:
    """The usual name of a split: `dev` is "validation", `train-clean-5` stays."""
    return _SPLITS.get(name.lower(), name)


def split_files(paths: list[Path]) -> dict[str, Path]:
    """Files by the split they are named after: "" for a single one; SourceError where names do not tell."""
    if len(paths) == 1:
        return {split_name(paths[0].name.split(".")[0]) or "": paths[0]}
    stems = {path.name.split(".")[0]: path for path in paths}
    splits = {split_name(stem): path for stem, path in stems.items()}
    if None in splits or len(stems) < len(paths):
        raise SourceError(
            f"{paths[0].parent}: holds {', '.join(path.name for path in paths)}; "
            "give the one to read, or call them after their splits: train, validation, test"
        )
    return {str(split): path for split, path in splits.items()} if len(splits) == len(stems) else stems


class Recordings:
    """The recordings under `folder`, found by the names that tables and annotations give them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        files = defaultdict(list)
        for path in filter(is_audio, walk(self.folder)):
            files[path.name].append(path)
            files[path.stem].append(path)
        return files

    def find(self, name: str, beside: Path | None = None) -> Path:
        """The recording at the path `name`, seen from the folder `beside`; else the only one under `folder` so called.

        The latter finds names without suffix, in subfolders, and paths of another machine. What is not found is
        returned as it is named. Raises ValueError where several are so called.
        """
        stated = Path(os.path.normpath((beside or self.folder) / name))
        if is_file(stated):
            return stated
        found = self._files.get(re.split(r"[/\\]", name)[-1], [])
        if len(found) > 1:
            raise ValueError(f"several recordings are called {name!r}: {found[0]}, {found[1]}; name it with its folder")
        return found[0] if found else stated

    def identify(self, path: Path) -> str:
        """The id of a recording without one: its path under `folder`, without suffix."""
        path = path.with_suffix("") if is_audio(path) else path
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.as_posix()
