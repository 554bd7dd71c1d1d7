"""The recording of an utterance: a file of its own, or a member of a shard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr.corpus.remote import StorageError, read_range
from asr.decoders import Recording, open_recording
from asr.errors import AudioError
from asr.utterance import Utterance

_LARGEST = 1 << 30  # bytes of a member


@contextmanager
def open_utterance(utterance: Utterance, *, salvage: bool = False) -> Iterator[Recording]:
    """Open the recording of an utterance; `tar_offset` and `tar_bytes` say where a member lies in its shard.

    Raises AudioError that names the file, and the utterance of a member.
    """
    with open_recording(_name(utterance), content=_content(utterance), salvage=salvage) as recording:
        yield recording


def _is_member(utterance: Utterance) -> bool:
    return "tar_offset" in utterance.extra or "tar_bytes" in utterance.extra


def _name(utterance: Utterance) -> Path:
    return Path(f"{utterance.audio}: {utterance.id}") if _is_member(utterance) else utterance.audio


def _content(utterance: Utterance) -> bytes | None:
    """Return the encoded audio of a member of a shard; None for a file of its own."""
    if not _is_member(utterance):
        return None
    start, size = utterance.extra.get("tar_offset"), utterance.extra.get("tar_bytes")
    if not (isinstance(start, int) and isinstance(size, int) and start >= 0 and 0 < size <= _LARGEST):
        raise AudioError(
            f"{_name(utterance)}: tar_offset {start!r} and tar_bytes {size!r} are no place in a file; pack it again"
        )
    try:
        return read_range(utterance.audio, start, size)
    except StorageError as error:
        raise AudioError(f"{error} ({utterance.id})", "missing audio") from None
