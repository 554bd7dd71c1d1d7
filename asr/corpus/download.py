"""Corpora from their official sources: resumable, checked, safely extracted; or from a local copy."""

import hashlib
import http.client
import os
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError
from asr.progress import ProgressBar

_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 5
_MAX_EXPANSION = 100  # an archive may grow to this many times its size when extracted


class DownloadError(AsrError):
    """A corpus cannot be fetched, or what came is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An official archive: its address and, where its source keeps its bytes fixed, its SHA-256."""

    name: str
    url: str
    sha256: str | None = None


def obtain(archive: Archive, folder: Path, source: Path | None = None) -> Path:
    """The folder that holds the corpus, which is, in this order:

    `source` (the recipe's `--source DIR`); `$ASR_CORPORA/NAME`; else the archive, downloaded into `folder` and
    extracted there. What is there already is not fetched again. Raises DownloadError with the way out.
    """
    if source is not None:
        if not source.is_dir():
            raise DownloadError(f"--source {source}: no such folder")
        return source
    local = Path(os.environ.get("ASR_CORPORA", "")) / archive.name
    if os.environ.get("ASR_CORPORA") and local.is_dir():
        return local
    extracted = folder / "extracted"
    if not extracted.is_dir():
        packed = folder / archive.url.rsplit("/", 1)[-1]
        fetch(archive, packed)
        extract(packed, extracted)
    return extracted


def fetch(archive: Archive, path: Path) -> None:
    """Downloads into `path`, going on where an earlier try broke off, and checks the sum.

    Raises DownloadError, which says how to use a copy fetched by other means.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    help_text = f"or fetch {archive.url} by other means and give its extracted folder with --source DIR or ASR_CORPORA"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _fetch_rest(archive, draft)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left to send: the draft is whole, or too long and fails its sum
                break
            raise DownloadError(
                f"{archive.url}: the server answers {error.code} {error.reason}; try later, {help_text}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            held = draft.stat().st_size if draft.exists() else 0
            if attempt == _ATTEMPTS:
                raise DownloadError(
                    f"{archive.url}: broke off after {held / 1e6:.1f} MB ({error}); run the same command to go on from "
                    f"there, {help_text}"
                ) from None
            time.sleep(min(2.0**attempt, 10.0))
    if archive.sha256 is not None and _sha256(draft) != archive.sha256:
        draft.unlink()
        raise DownloadError(
            f"{archive.url}: what came has another SHA-256 than {archive.sha256} and was deleted; try again, "
            + help_text
        )
    draft.replace(path)


def extract(packed: Path, folder: Path) -> None:
    """Extracts a tar or zip archive into `folder`, whole or not at all.

    Raises DownloadError for a damaged archive, for members that would land outside `folder` or link out of
    it, and for one that grows beyond reason; the archive is then deleted.
    """
    draft = folder.with_name(folder.name + ".part")
    limit = packed.stat().st_size * _MAX_EXPANSION
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as archive:
                _require_size(sum(member.file_size for member in archive.infolist()), limit)
                archive.extractall(draft)  # drops leading slashes and `..` by itself, and writes links as files
        else:
            with tarfile.open(packed) as tar:
                _require_size(sum(member.size for member in tar), limit)
                tar.extractall(draft, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        packed.unlink()
        raise DownloadError(
            f"{packed}: cannot be extracted ({error}); it was deleted: run again to fetch it anew"
        ) from None
    draft.replace(folder)


def _fetch_rest(archive: Archive, draft: Path) -> None:
    held = draft.stat().st_size if draft.exists() else 0
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={held}-"} if held else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        resumes = response.status == 206
        left = int(response.headers.get("Content-Length") or 0)
        title = f"downloading {archive.name} ({(left + held * resumes) / 1e6:.1f} MB)"
        with draft.open("ab" if resumes else "wb") as file, ProgressBar(title, max(left, 1)) as bar:
            came = 0
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                came += len(chunk)
                bar.advance(len(chunk))
            if came < left:
                raise http.client.IncompleteRead(b"", left - came)


def _require_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"it would grow to {size / 1e6:.0f} MB, more than {_MAX_EXPANSION} times its size")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
