"""The files of a corpus for all readers: found by suffix, from a folder above, and by the split in their names."""

import os
import re
from pathlib import Path

from asr.audio import AUDIO_SUFFIXES
from asr.errors import AsrError

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
    """A corpus cannot be read."""


def is_audio(path: Path) -> bool:
    """Return True if a file name has the suffix of a recording; hidden files of file managers do not count."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def matches(source: Path, *patterns: str) -> list[Path]:
    """Return the files under `source` that match a pattern, sorted; none if `source` is not a readable folder."""
    try:
        found = {path for pattern in patterns for path in source.glob(pattern)} if source.is_dir() else ()
        return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    except OSError:
        return []


def walk(folder: Path, suffix: str = "") -> list[Path]:
    """Return the files under `folder` at any depth with this suffix (case ignored), sorted, without hidden files.

    Links to folders are not followed, because they could lead in a circle.
    """
    found = (
        os.path.join(parent, name)  # noqa: PTH118  for a million files, Path objects take longer than the search
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(suffix) and not name.startswith(".")
    )
    return [Path(name) for name in sorted(found)]


def is_file(path: Path) -> bool:
    """Return True if the file exists. Unlike Path.is_file, this does not raise for a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def find_from_above(folder: Path, name: str) -> Path:
    """Return the file `name`, relative to `folder` or one of the two folders above it; `folder / name` if not found.

    Toolkits write paths relative to the folder where they were run, most often two folders above `data/train`.
    """
    return next(filter(is_file, (base / name for base in (folder, *folder.absolute().parents[:2]))), folder / name)


def split_name(name: str) -> str | None:
    """Return the split that a file or folder is named after: "validation" for `clips_valid`, None for `anna`."""
    found = {_SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def usual_split(name: str) -> str:
    """Return the usual name of a split: `dev` gives "validation", and `train-clean-5` stays."""
    return _SPLITS.get(name.lower(), name)


def split_files(paths: list[Path]) -> dict[str, Path]:
    """Return files by the splits in their names; a single file may have none and then gets "".

    Raises SourceError if several files have no split in their names, or the names are equal up to their suffixes.
    """
    if len(paths) == 1:
        return {split_name(paths[0].name.split(".")[0]) or "": paths[0]}
    stems = {path.name.split(".")[0]: path for path in paths}
    splits = {split_name(stem): path for stem, path in stems.items()}
    if None in splits or len(stems) < len(paths):
        raise SourceError(
            f"{paths[0].parent}: holds {', '.join(path.name for path in paths)}; "
            "give the one to read, or name the files after their splits: train, validation, test"
        )
    return {str(split): path for split, path in splits.items()} if len(splits) == len(stems) else stems
