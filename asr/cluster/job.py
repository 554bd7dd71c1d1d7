"""The job of a bulk transcription: its inputs, its model, its options, and its shards."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from asr.errors import AsrError
from asr.recognition.longform import Channels
from asr.utterance import Utterance

if TYPE_CHECKING:
    from asr.recognition.search import Search, SearchedModel  # imports numba, which best path does not need


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class File(_Part):
    """A file, known by its content: it may move."""

    path: str
    sha256: str

    @field_validator("path", mode="before")
    @classmethod
    def _in_utf8(cls, path: Any) -> Any:
        """Write bytes that are no UTF-8 as escapes: JSON cannot hold them."""
        return os.fsencode(path).decode("utf-8", "backslashreplace") if isinstance(path, str) else path

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file. Raises AsrError that names it."""
        return cls(path=str(path), sha256=file_digest(path))

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256[:8]})"


class Options(_Part):
    """The options that change results. `device` has no number: results are equal on all GPUs of a kind."""

    channels: Channels = "mix"
    nbest: int = 0
    hotwords: File | None = None
    phrases: File | None = None
    salvage: bool = False
    device: str | None = None

    def build_search(self, model: "SearchedModel") -> "Search | None":
        """Build the search that the options ask for; None if the model's own decoder does."""
        if not self.nbest and self.hotwords is None and self.phrases is None:
            return None
        from asr.recognition.search import build_search

        hotwords, phrases = (None if file is None else file.path for file in (self.hotwords, self.phrases))
        return build_search(model, nbest=self.nbest, hotwords=hotwords, phrases=phrases)


class Job(_Part):
    """The model, the inputs in their order, the options, and the number of shards."""

    model: File
    inputs: tuple[File, ...]
    options: Options
    count: int

    def differences(self, other: "Job") -> list[str]:
        """Return a text for each thing that `other` has and this job has not: `the model was A, now B`."""
        found = [] if self.model.sha256 == other.model.sha256 else [f"the model was {self.model}, now {other.model}"]
        if [one.sha256 for one in self.inputs] != [one.sha256 for one in other.inputs]:
            found.append(f"the input was {_listed(self.inputs)}, now {_listed(other.inputs)}")
        for name in Options.model_fields:
            before, now = getattr(self.options, name), getattr(other.options, name)
            if getattr(before, "sha256", before) != getattr(now, "sha256", now):
                found.append(f"--{name} was {_shown(before)}, now {_shown(now)}")
        if self.count != other.count:
            found.append(f"the number of shards was {self.count}, now {other.count}")
        return found


class Shard(_Part):
    """The size of a shard; `seconds` are None if a duration is unknown."""

    lines: int
    seconds: float | None

    @classmethod
    def of(cls, utterances: Sequence[Utterance]) -> Self:
        """Measure the utterances of a shard."""
        seconds = [one.duration for one in utterances if one.duration is not None]
        return cls(lines=len(utterances), seconds=sum(seconds) if len(seconds) == len(utterances) else None)


class Plan(_Part):
    """The content of `bulk.json`: a job, and its shards."""

    job: Job
    shards: tuple[Shard, ...]

    @model_validator(mode="after")
    def _has_all_shards(self) -> Self:
        if len(self.shards) != self.job.count:
            raise ValueError(f"it has {len(self.shards)} of {self.job.count} shards")
        return self


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file. Raises AsrError that names it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise AsrError(f"{path}: cannot be read: {reason}; check the path and its permissions") from None


def digest(names: Sequence[str]) -> str:
    """Return the SHA-256 of a list of names."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _listed(inputs: Sequence[File]) -> str:
    return " and ".join(map(str, inputs)) or "nothing"


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)
