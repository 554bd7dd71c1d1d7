"""Folders to write whole files into: on this machine, or at an address."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from asr.corpus.remote import is_missing, is_url, join, read_file, remove, send
from asr.files import whole_file


class Folder(ABC):
    """A folder whose files are written whole or not at all. Its methods raise OutputError or StorageError."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether the folder holds a file."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    @abstractmethod
    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing; it has its name once the block has ended without an error."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.create(name) as file:
            file.write(content)


class LocalFolder(Folder):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        return read_file(self.path / name)

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        return whole_file(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


class RemoteFolder(Folder):
    """A folder at an address; a file is written on this machine, and sent when it is whole."""

    def __init__(self, url: str) -> None:
        self.url = url

    def has(self, name: str) -> bool:
        return not is_missing(join(self.url, name))

    def read(self, name: str) -> bytes:
        return read_file(join(self.url, name))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        with tempfile.TemporaryDirectory(prefix="asr-") as folder:
            path = Path(folder) / name
            with path.open("wb") as file:
                yield file
            send(path, join(self.url, name))

    def remove(self, name: str) -> None:
        if self.has(name):
            remove(join(self.url, name))


def open_folder(name: str | Path) -> Folder:
    """Return the folder at a path or an address."""
    return RemoteFolder(str(name)) if is_url(name) else LocalFolder(Path(name))
