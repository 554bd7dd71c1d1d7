"""Uploads -> recordings of the folder: each lands whole, and never in place of another one."""

import filecmp
import secrets
import shutil
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from asr.corpus.readers.files import is_audio
from asr.errors import AsrError, OutputError
from asr.files import whole_file
from asr.serving.workspace.lock import locked
from asr.serving.workspace.paths import NotThereError, TakenError, Workspace


def land(workspace: Workspace, uploads: Iterable[tuple[str, Path]], folder: str = "") -> list[str]:
    """Copy uploads, each a name and a file, into a folder of the workspace; return the ids of the recordings.

    A recording that is there already with equal bytes stays as it is. Raises TakenError for a name that another
    recording has, AsrError for a name that no recording can have, and OutputError. After an error, none has landed that
    was not there before, unless the disk fails while the last names are given.
    """
    files = [(place(workspace, name, folder), path) for name, path in uploads]
    if not files:
        raise AsrError("send at least one recording as the file `file` of a form")
    _require_free(workspace, files)
    staged = [(target, workspace.hidden("incoming", secrets.token_hex(8)), path) for target, path in files]
    try:
        for _, draft, path in staged:
            with path.open("rb") as source, whole_file(draft) as file:
                shutil.copyfileobj(source, file, 2**20)
        with locked(workspace):
            _require_free(workspace, files)
            return [workspace.identify(_name(workspace, target, draft)) for target, draft, _ in staged]
    finally:
        for _, draft, _ in staged:
            draft.unlink(missing_ok=True)
        with suppress(OSError):
            workspace.hidden("incoming").rmdir()


def place(workspace: Workspace, name: str, folder: str = "") -> Path:
    """Return the path of an upload in the workspace. Raises AsrError for a name that no recording can have."""
    shown = unicodedata.normalize("NFC", name)
    stated = "/".join(filter(None, (unicodedata.normalize("NFC", folder).strip("/"), shown)))
    if "/" in shown or not is_audio(Path(shown)):
        raise AsrError(f"{name[:200]!r}: has not the suffix of a recording, such as .wav, .mp3 or .m4a; convert it")
    try:
        return workspace.resolve(stated)
    except NotThereError as error:
        reason = str(error).rpartition("; ")[0]
        raise AsrError(f"{reason}; give the file or the folder another name") from None


def _require_free(workspace: Workspace, files: Iterable[tuple[Path, Path]]) -> None:
    """Raise TakenError if a recording would land on another one, in the folder or of the same request."""
    seen: dict[Path, Path] = {}
    for target, path in files:
        other = seen.setdefault(target, path) if target in seen else workspace.twin(target)
        if other is not None and not (other.is_file() and filecmp.cmp(other, path, shallow=False)):
            raise TakenError(
                f"{workspace.identify(target)}: another recording has this name already; rename the file, or remove "
                "the other one"
            )
        seen[target] = path


def _name(workspace: Workspace, target: Path, draft: Path) -> Path:
    """Give a draft its name, unless the recording is there."""
    there = workspace.twin(target)
    if there is not None:
        return there
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
    except OSError as error:
        raise OutputError(error.errno, error.strerror or str(error), str(target)) from None
    return target
