"""Tar files of other programs: WebDataset's (KEY.flac beside KEY.json or KEY.txt), and Shar of lhotse with its cuts.

Nothing is unpacked. Each row states where the audio lies in the tar file, so that `AudioStore` reads it.
"""

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from asr.audio import AUDIO_SUFFIXES
from asr.corpus.manifest import parse_json
from asr.corpus.remote import StorageError, read_range

_MOST_TEXT = 1_000_000  # bytes of a text, of a description, and of the headers before a member
_MOST_CUTS = 1_000_000_000  # bytes of uncompressed cuts
_NOT_OF_MEMBER = ("audio_filepath", "offset", "duration", "tar_offset", "tar_bytes")  # may hold for another recording


class _Member(NamedTuple):
    key: str  # the name up to the first dot of the file's name
    suffix: str  # after the last dot, with it
    offset: int  # first byte of the content
    size: int  # bytes


def rows_of_tars(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of the tar files in `folder`, in the order of their names, each with its place for messages.

    A sample without audio or with a damaged description becomes a ValueError, and the end of a damaged tar file too.
    """
    for path in sorted(folder.glob("*.tar")):
        texts: dict[str, dict[str, Any]] | None = None
        cuts = path.with_name(path.name.replace("recording.", "cuts.", 1)).with_suffix(".jsonl.gz")
        try:
            if path.name.startswith("recording.") and cuts.is_file():
                texts = dict(_texts_of_cuts(cuts))
            for key, members in groupby(_members(path), key=lambda member: member.key):
                try:
                    yield f"{path}:{key}", _row(path, key, list(members), texts)
                except (ValueError, StorageError) as error:
                    yield f"{path}:{key}", ValueError(str(error))
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
            yield str(path), ValueError(f"cannot be read to its end ({error}); copy it again from its source")


class _Headers(io.FileIO):
    """A tar file of which only headers are read; `tarfile` would read a header of any length into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_TEXT:
            raise ValueError(f"it has headers of more than {_MOST_TEXT / 1e6:.0f} MB")
        return super().read(size)


def _members(path: Path) -> Iterator[_Member]:
    """Yield the files of a tar file. Raises ValueError for one that does not lie in it, or that is cut."""
    end = 0
    with _Headers(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        size = path.stat().st_size
        while (member := tar.next()) is not None:
            if member.offset_data <= end or member.size < 0 or member.offset_data + member.size > size:
                raise ValueError(f"{member.name} does not lie in the file")
            end = member.offset_data
            tar.members = []  # type: ignore[attr-defined] # which would grow with the file
            if member.isreg():
                name = PurePosixPath(member.name)
                yield _Member(
                    str(name.parent / name.name.partition(".")[0]), name.suffix.lower(), member.offset_data, member.size
                )


def _row(path: Path, key: str, members: list[_Member], texts: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """Return the row of a sample, with its entry in `texts` if there are such of cuts.

    Raises ValueError if it has no audio, or a damaged description.
    """
    files = {member.suffix: member for member in members}
    audio = [member for suffix, member in files.items() if suffix in AUDIO_SUFFIXES]
    if len(audio) != 1:
        raise ValueError(f"has {len(audio)} recordings among {', '.join(files)}; a sample needs one")
    place = {"audio_filepath": path.name, "tar_offset": audio[0].offset, "tar_bytes": audio[0].size}
    if texts is not None:
        return {"id": key, **texts.get(key, {}), **place}
    described = parse_json(_text(path, files[".json"])) if ".json" in files else {}
    if not isinstance(described, dict):
        raise ValueError(f"its description is a {type(described).__name__}, not an object of JSON")
    row = {name: value for name, value in described.items() if name not in _NOT_OF_MEMBER}
    row |= {suffix[1:]: _text(path, files[suffix]).strip() for suffix in (".cls",) if suffix in files}
    row |= {"text": _text(path, files[".txt"]).strip()} if ".txt" in files else {}
    return {"id": row.get("id", key)} | row | place


def _text(path: Path, member: _Member) -> str:
    if member.size > _MOST_TEXT:
        raise ValueError(f"{member.key}{member.suffix} has {member.size} bytes, which no text has")
    return read_range(path, member.offset, member.size).decode()


def _texts_of_cuts(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id of each cut in a file of lhotse with its text, speaker and language.

    Raises ValueError for a file that is damaged.
    """
    with gzip.open(path, "rb") as file:
        content = file.read(_MOST_CUTS)
    for line in content.splitlines():
        try:
            cut = json.loads(line)
            found = cut["supervisions"]
            texts = {"text": " ".join(one["text"] for one in found if one.get("text"))} if found else {}
            first = {name: found[0][name] for name in ("speaker", "language") if found and found[0].get(name)}
            yield str(cut["id"]), texts | first
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: is no list of cuts ({error!r})") from None
