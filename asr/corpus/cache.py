"""The place of files that are computed from a manifest and its recordings, and can be computed again."""

import functools
import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "ASR_CACHE"  # environment variable with the folder for computed files
logger = logging.getLogger(__name__)


def cached(path: Path) -> Path:
    """Return where to write a computed file that belongs at `path`, beside its manifest.

    It is a file in the folder that `ASR_CACHE` names, if it is set; else it is `path`, if its folder can be written;
    else it is a file in the user's folder for caches, and the choice is logged.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen and (not path.parent.is_dir() or os.access(path.parent, os.W_OK)):
        return path
    folder = Path(chosen) if chosen else _for_read_only(path.parent)
    place = hashlib.sha256(os.fsencode(path.parent.resolve())).hexdigest()[:12]  # manifests of several folders
    return folder / f"{place}-{path.name}"


def cached_copy(address: str, name: str) -> Path:
    """Return where to keep a copy, called `name`, of the file at an address: in `ASR_CACHE`, or the user's folder."""
    folder = Path(os.environ.get(VARIABLE) or _user_cache())
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{name}"


def use_cache(folder: Path | None) -> None:
    """Write computed files to `folder` from now on, in this process and its children; None changes nothing."""
    if folder is not None:
        os.environ[VARIABLE] = str(folder.absolute())


@contextmanager
def beside_manifests() -> Iterator[None]:
    """Write computed files beside their manifests inside this context: for manifests in a temporary folder."""
    chosen = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if chosen is not None:
            os.environ[VARIABLE] = chosen


@functools.cache
def _for_read_only(folder: Path) -> Path:
    found = _user_cache()
    logger.info(
        f"{folder}: cannot be written; packed audio and results of the check go to {found}; --cache, or the "
        f"environment variable {VARIABLE}, names another folder"
    )
    return found


def _user_cache() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "own-asr"
