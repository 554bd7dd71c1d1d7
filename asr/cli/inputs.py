"""What a user names on the command line -> recordings: files, folders, globs, manifests, standard input."""

import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from asr.audio import AUDIO_SUFFIXES
from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import AsrError
from asr.utterance import Utterance


def find_recordings(arguments: Sequence[str], folder: Path) -> list[tuple[Utterance, Path]]:
    """The recordings, each with the name of its outputs without suffix, in the order of the arguments.

    A folder is searched to its bottom, and its tree is mirrored in the names; a manifest's ids are names; `-` is
    standard input, which is kept in `folder` meanwhile. A file that is not there is left for its reader to name.
    Raises AsrError for a folder or a glob without recordings.
    """
    found: list[tuple[Utterance, Path]] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            path = folder / "stdin"
            path.write_bytes(sys.stdin.buffer.read())
            found.append((Utterance("-", path), Path("stdin")))
        elif path.is_dir():
            found += _all_in(argument, sorted(file for file in path.rglob("*") if file.is_file()), path)
        elif path.suffix in SUFFIXES:
            found += [(utterance, Path(utterance.id.strip("/"))) for utterance in read_manifest(path)]
        elif not path.exists() and glob.has_magic(argument):
            files = glob.glob(argument, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found += _all_in(argument, sorted(map(Path, files)), None)
        else:
            found.append((Utterance(argument, path), Path(path.stem)))
    return found


def require_distinct(found: Sequence[tuple[Utterance, Path]]) -> None:
    """Raises AsrError where two recordings would be written to one file, or one outside the output folder."""
    owners: dict[Path, Utterance] = {}
    for utterance, name in found:
        if ".." in name.parts:
            raise AsrError(f"{utterance.id}: an id with .. in it would be written outside the output folder; change it")
        if name in owners:
            raise AsrError(
                f"{owners[name].id} and {utterance.id} would both be written to {name}; name their common folder "
                "instead, whose tree is mirrored, or use two output folders"
            )
        owners[name] = utterance


def parse_channels(value: str) -> Literal["mix", "split"] | int:
    """`--channels`. Raises AsrError for what it cannot mean."""
    if value == "mix":
        return "mix"
    if value == "split":
        return "split"
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise AsrError(f"--channels {value}: must be mix, split, or the number of a channel, from 1")


def _all_in(argument: str, files: Sequence[Path], root: Path | None) -> list[tuple[Utterance, Path]]:
    recordings = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES]
    if not recordings:
        raise AsrError(f"{argument}: holds no recordings ({' '.join(AUDIO_SUFFIXES)})")
    return [
        (Utterance(str(file), file), (file.relative_to(root) if root else Path(file.name)).with_suffix(""))
        for file in recordings
    ]
