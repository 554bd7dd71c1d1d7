"""Arguments of the command line -> recordings: files, folders, globs, manifests, standard input."""

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
    """Find the recordings that arguments name, in their order, each with the name of its outputs without suffix.

    A folder is searched with all folders in it, and its tree is mirrored in the names. The utterances of a manifest are
    named by their ids. `-` is standard input, which is kept as a file in `folder`. A missing file is not an error here:
    its reader names it. Raises AsrError for a folder or a glob without recordings.
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


def parse_channels(value: str) -> Literal["mix", "split"] | int:
    """Read the value of `--channels`. Raises AsrError for a value that it cannot have."""
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
