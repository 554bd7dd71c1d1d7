"""Arguments of the command line -> recordings: files, folders, globs, manifests, standard input."""

import glob
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from asr.audio import AUDIO_SUFFIXES
from asr.containers import container_of, read_head
from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import AsrError
from asr.utterance import Utterance


def find_recordings(arguments: Sequence[str], folder: Path) -> list[tuple[Utterance, Path]]:
    """Find the recordings that arguments name, in their order, each with the name of its outputs without suffix.

    A folder is searched with all folders in it, and its tree is mirrored in the names. The utterances of a manifest are
    named by their ids. `-` is standard input, which is kept as a file in `folder`. A missing file is not an error here:
    its reader names it, and also a link that leads nowhere. Raises AsrError for a folder or a glob without recordings.
    """
    found: list[tuple[Utterance, Path]] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            path = folder / "stdin"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            found.append((Utterance("-", path), Path("stdin")))
        elif path.is_dir():
            found += _all_in(
                argument, sorted(file for file in path.rglob("*") if file.is_file() or _leads_nowhere(file)), path
            )
        elif path.suffix in SUFFIXES:
            found += [(utterance, Path(utterance.id.strip("/"))) for utterance in read_manifest(path)]
        elif not path.exists() and glob.has_magic(argument):
            files = glob.glob(argument, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found += _all_in(argument, sorted(map(Path, files)), None)
        else:
            found.append((Utterance(_printable(argument), path), Path(path.stem)))
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
    """Return the recordings among files: by their suffix, else by their content; count all other files on stderr."""
    visible = [file for file in files if not file.name.startswith(".")]
    recordings = [file for file in visible if file.suffix.lower() in AUDIO_SUFFIXES or _holds_audio(file)]
    others = Counter(file.suffix or file.name for file in set(visible) - set(recordings))
    if not recordings:
        found = f"; found {_counted(others)}" if others else ""
        raise AsrError(f"{argument}: holds no recordings ({' '.join(AUDIO_SUFFIXES)}){found}")
    if others:
        print(f"{argument}: not recordings: {_counted(others)}", file=sys.stderr)
    return [
        (Utterance(_printable(str(file)), file), (file.relative_to(root) if root else Path(file.name)).with_suffix(""))
        for file in recordings
    ]


def _leads_nowhere(file: Path) -> bool:
    return file.is_symlink() and not file.exists()


def _holds_audio(file: Path) -> bool:
    try:
        return file.is_file() and container_of(read_head(file)) is not None
    except OSError:  # a link to nothing, or a closed file: counted with the files that are not recordings
        return False


def _counted(others: Counter[str]) -> str:
    return _printable(", ".join(f"{suffix} ({number})" for suffix, number in sorted(others.items())))


def _printable(name: str) -> str:
    """Replace bytes of a name that are not UTF-8, which no output could hold."""
    return os.fsencode(name).decode("utf-8", "replace")
