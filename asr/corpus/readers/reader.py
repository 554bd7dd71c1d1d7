"""The interface of corpus readers: one module per format makes one `Reader`."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asr.utterance import Utterance

Splits = dict[str, list[Utterance]]


@dataclass(frozen=True, slots=True)
class Reader:
    """A format of corpora: its name for people, a test whether a source has it, and a function that reads it.

    `recognises(source)` takes a file or a folder. It is fast and never raises.

    `read(source)` returns the utterances of each split: `train`, `validation`, `test` or the name that the source
    gives, and "" for utterances without a split. It returns every row, also without a transcript (`text` is None) or
    without its recording. Parts of recordings are `offset` and `duration`; nothing is cut. It raises SourceError for
    a source that it cannot read. Keyword arguments of `read` are the options of `asr prepare` that the format has.

    `accepts(source)` is a looser test than `recognises`, for a source with an option that only this reader has.

    A fallback is tried only if no other reader recognises the source. If `tracks_files`, `read` uses the functions of
    `reading.py` for all files, so that `asr prepare` can name the files that it did not use.
    """

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[..., Splits]
    is_fallback: bool = False
    accepts: Callable[[Path], bool] | None = None
    tracks_files: bool = False

    @property
    def options(self) -> frozenset[str]:
        """Return the names of the options that `read` takes."""
        return frozenset(inspect.signature(self.read).parameters) - {"source"}
