"""Copies of files before the service writes over what it did not write itself."""

import hashlib
import shutil
from pathlib import Path

from asr.files import whole_file


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content, which is the version of a document."""
    return hashlib.sha256(content).hexdigest()


def keep(path: Path) -> Path:
    """Copy a file to the first free name of NAME.before1, NAME.before2, …, and return that name.

    The suffix keeps other programs from reading the copy beside its original. Raises OutputError.
    """
    number = 1
    while (copy := path.with_name(f"{path.name}.before{number}")).exists():
        number += 1
    with path.open("rb") as source, whole_file(copy) as file:
        shutil.copyfileobj(source, file)
    return copy
