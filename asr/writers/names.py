"""Ids and names of recordings -> names of output files: safe on every disk, inside the folder, and distinct."""

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from asr.errors import AsrError
from asr.utterance import Utterance

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, ends of lines, no UTF-8
_MOST_BYTES = 220  # bytes of a safe name; file systems allow 255, and an ending such as `-12.TextGrid` follows
_MOST_PATH = 2000  # bytes of a safe name with its folders; Linux allows 4096 for a whole path
_EXAMPLES = 3  # names shown of those that were changed
_log = logging.getLogger(__name__)


class Source(NamedTuple):
    """An utterance to transcribe, and the name of its output files.

    `name` has no suffix; `suffix` is the suffix of the recording, which is added where two names are equal. Names of
    the utterances of a manifest are their ids, which have no suffix.
    """

    utterance: Utterance
    name: str
    suffix: str = ""


def safe_name(name: str) -> Path:
    """Return a relative path for a name or an id, which may have `/` between folders; it never leads out of a folder.

    A name with control characters, with `..`, with nothing in it, or longer than file systems allow is changed. It then
    ends with 8 digits of its hash, so that different names stay different.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    safe = [_UNSAFE.sub("_", part) if part != ".." else "_" for part in parts]
    if safe == parts != [] and max(map(_size, parts)) <= _MOST_BYTES and _size(name) <= _MOST_PATH:
        return Path(*parts)
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = [part.encode()[: _MOST_BYTES - 10].decode(errors="ignore") for part in safe] or ["_"]
    if sum(map(_size, kept)) + len(kept) > _MOST_PATH:
        kept = kept[-1:]
    return Path(*kept[:-1], f"{kept[-1]}~{digest}")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def distinct_names(sources: Sequence[Source]) -> list[Path]:
    """Return a safe name for the output files of each source, and log the names that were changed.

    Where names are equal, as of `a.wav` and `a.mp3`, they keep the suffix of the recording. Raises AsrError if two
    names are equal also then.
    """
    names = [safe_name(source.name) for source in sources]
    with_suffix: set[int] = set()
    while True:
        counts = Counter(names)
        equal = {index for index, name in enumerate(names) if counts[name] > 1 and sources[index].suffix} - with_suffix
        if not equal:
            break
        with_suffix |= equal
        for index in equal:
            names[index] = safe_name(sources[index].name + sources[index].suffix)
    owners: dict[Path, Utterance] = {}
    for (utterance, *_), name in zip(sources, names, strict=True):
        if name in owners:
            if owners[name].audio == utterance.audio and owners[name].id == utterance.id:
                raise AsrError(f"{utterance.id}: is named twice; name it once")
            raise AsrError(
                f"{owners[name].id} and {utterance.id} would both be written to {name}; name their common folder "
                "instead, whose tree is mirrored, or use two output folders"
            )
        owners[name] = utterance
    _tell(
        "recordings of one name and several suffixes; their files keep the suffix",
        [(sources[index].utterance.id, names[index]) for index in sorted(with_suffix)],
    )
    changed = zip(sources, names, strict=True)
    _tell(
        "names that are not safe for files were changed",
        [(source.name, name) for source, name in changed if re.search(r"~[0-9a-f]{8}$", name.name)],
    )
    return names


def _tell(what: str, pairs: Sequence[tuple[str, Path]]) -> None:
    if pairs:
        shown = ", ".join(f"{before[:60]!r} -> {str(after)[:80]}" for before, after in pairs[:_EXAMPLES])
        _log.warning("%s: %d, %s%s", what, len(pairs), shown, ", …" if len(pairs) > _EXAMPLES else "")
