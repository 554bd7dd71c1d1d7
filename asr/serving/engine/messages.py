"""Messages between the web process and a model process. All of them can be pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Channels = int | Literal["mix", "split"]
Lane = Literal["short", "long"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one transcription. `hotwords` and `phrases` are lines of such files."""

    nbest: int = 0
    hotwords: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    channels: Channels = "mix"
    salvage: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as clients see it. A `streaming` model answers while somebody speaks, any other model at pauses."""

    name: str
    path: Path
    streaming: bool
    sample_rate: int  # Hz
    created: int  # seconds since 1970
    described: str


@dataclass(frozen=True, slots=True)
class Progress:
    """One more segment of a recording: its text, and the seconds of the recording that are done."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model. Answer: its ModelInfo."""

    call: int
    name: str
    path: Path
    defaults: Options


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Transcribe recordings in one batch; `calls` has a number for each. Answer of each: a list of transcripts."""

    calls: tuple[int, ...]
    lane: Lane
    model: str
    recordings: tuple[Path, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Align:
    """Align a recording with a text. Answer: an Alignment."""

    call: int
    lane: Lane
    model: str
    recording: Path
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a call that nobody waits for, at its next segment."""

    call: int


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Begin the stream of the number `call`. Answer: None."""

    call: int
    model: str
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Feed:
    """Take the next samples of a stream. Answer: the words that a pause has ended, and the open text."""

    call: int
    stream: int
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class Finish:
    """End a stream. Answer: its Transcript."""

    call: int
    stream: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Forget a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a model process to a call: a value or an error."""

    call: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """One more segment of the recording of a call."""

    call: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Remarked:
    """Remarks about the recording of a call, such as averaged channels. They are sent before the answer."""

    call: int
    remarks: tuple[str, ...]


Request = Load | Transcribe | Align | Cancel | OpenStream | Feed | Finish | CloseStream
Reply = Answer | Advanced | Remarked
