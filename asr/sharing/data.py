"""What the manifests of a run tell of its data: speakers, lengths, and what a test set shares with training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.corpus.manifest import SUFFIXES, read_manifest
from asr.errors import AsrError
from asr.files import real_path
from asr.utterance import Utterance

Place = tuple[str, float]  # a recording and where an utterance begins in it


@dataclass(frozen=True, slots=True)
class Split:
    """The utterances of one or more manifests. `speakers` is None unless each line states one; `longest` likewise."""

    utterances: int
    speakers: frozenset[str] | None
    longest: float | None  # seconds
    places: frozenset[Place]


def read_splits(config: Mapping[str, Any]) -> dict[str, Split | str]:
    """Read the manifests of training and validation of a configuration; a text says why one cannot be described."""
    field = str(config["data"].get("text_field", "text"))
    return {name: _read(config["data"][name], field) for name in ("train", "validation")}


def split_of(utterances: Sequence[Utterance]) -> Split:
    """Describe utterances."""
    durations = [utterance.duration for utterance in utterances]
    speakers = {utterance.speaker for utterance in utterances}
    return Split(
        len(utterances),
        None if None in speakers else frozenset(filter(None, speakers)),
        None if None in durations else max(filter(None, durations), default=None),
        frozenset((str(real_path(utterance.audio)), utterance.offset) for utterance in utterances),
    )


def trained_speakers(split: Split | str, used: Any) -> int | None:
    """Return the number of speakers of a split, or None if it is not known.

    `used` is the number of utterances that training used. If the manifests have fewer lines, they are not those of the
    training.
    """
    if not isinstance(split, Split) or split.speakers is None or (isinstance(used, int) and split.utterances < used):
        return None
    return len(split.speakers)


def _read(names: Sequence[str] | str, field: str) -> Split | str:
    paths = [Path(name) for name in ([names] if isinstance(names, str) else names)]
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            return "the data is in shards or at an address, which are not read here"
        if not path.is_file():
            return f"{path.name} is not on this machine, or not seen from this folder"
    try:
        return split_of([utterance for path in paths for utterance in read_manifest(path, text_field=field)])
    except AsrError as error:
        return f"the manifest cannot be read ({str(error).partition(chr(10))[0]})"
