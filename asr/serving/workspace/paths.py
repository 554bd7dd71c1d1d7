"""Ids of a page -> files: an id is a path relative to the folder, and no id leads out of the folder."""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.corpus.readers.files import is_audio
from asr.errors import AsrError

HIDDEN = ".asr"  # folder for what can be computed again: waveforms, converted recordings, the lock
_LONGEST = 4000  # bytes of an id; Linux allows 4096 for a whole path


class NotThereError(AsrError):
    """The folder has nothing of the name that a request states."""

    status, code = 404, "not_found"  # of HTTP, and for programs


class TakenError(AsrError):
    """A request conflicts with what the folder holds or with what is running."""

    status, code = 409, "conflict"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with recordings and what belongs to them."""

    root: Path

    def resolve(self, name: str) -> Path:
        """Return the path of an id, which may not exist.

        Raises NotThereError for a name that leads out of the folder, also over a link, for a hidden name, and for a
        name that no file can have.
        """
        if (fault := _fault(name)) is not None:
            raise NotThereError(f"{name[:200]!r}: {fault}; take an id of the list of recordings")
        path = self.root / name
        if not self._holds(path):
            raise NotThereError(f"{name[:200]!r}: leads out of the folder; copy the file into the folder itself")
        return path

    def recording(self, name: str) -> Path:
        """Return the path of a recording. Raises NotThereError if the folder has no recording of this id."""
        path = self.resolve(name)
        if not is_audio(path):
            raise NotThereError(
                f"{name[:200]!r}: has not the suffix of a recording; take an id of the list of recordings"
            )
        if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name that is too long
            raise NotThereError(f"{name[:200]!r}: the folder has no such recording; load the list of recordings again")
        return path

    def identify(self, path: Path) -> str:
        """Return the id of a path in the folder, with `/` on every system."""
        return path.relative_to(self.root).as_posix()

    def shown(self, text: str) -> str:
        """Return a message with ids in place of paths: the page knows no other folder."""
        return text.replace(f"{self.root}{os.sep}", "")

    def hidden(self, *names: str) -> Path:
        """Return a path in the hidden folder."""
        return self.root.joinpath(HIDDEN, *names)

    def find(self) -> Iterator[tuple[str, Path, str | None]]:
        """Yield the id and the path of each recording, sorted, and why it cannot be used, or None.

        Hidden files and folders are left out. Links to folders are not followed, because they could lead in a circle.
        """
        for parent, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for path in (Path(parent, name) for name in sorted(names)):
                if is_audio(path):
                    name = self.identify(path)
                    fault = _fault(name)
                    if fault is None and path.is_symlink() and not self._holds(path):
                        fault = "is a link that leads out of the folder"
                    if fault is None:
                        yield name, path, None
                    else:
                        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                        yield shown, path, f"{shown}: {fault}; rename or copy the file"

    def twin(self, path: Path) -> Path | None:
        """Return the file beside `path` whose name differs from its name in Unicode composition or not at all."""
        if not path.parent.is_dir():
            return None
        wanted = unicodedata.normalize("NFC", path.name)
        found = (one for one in path.parent.iterdir() if unicodedata.normalize("NFC", one.name) == wanted)
        return min(found, key=lambda one: one.name != path.name, default=None)

    def _holds(self, path: Path) -> bool:
        """Return whether a path, with all its links followed, lies in the folder."""
        try:
            return path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError, ValueError):  # a circle of links, or a name that is too long
            return False


def _fault(name: str) -> str | None:
    """Return why no file of the folder can be called `name`, or None."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is a name that is not UTF-8"
    parts = name.split("/")
    if size > _LONGEST or max(len(part.encode()) for part in parts) > 255:
        return "is longer than the name of a file can be"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "holds a control character"
    if "\\" in name:
        return "holds a backslash, which separates folders on some systems"
    if any(part in ("", ".", "..") for part in parts):
        return "is not a path below the folder"
    if any(part.startswith(".") for part in parts):
        return "is a hidden name"
    return None
