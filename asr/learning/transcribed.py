"""Find the spans of recordings that manifests hold transcripts of, also under another name of the file."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr.corpus.check_audio import inspect_file
from asr.corpus.readers.times import length
from asr.files import real_path
from asr.learning.candidates import Span
from asr.utterance import Utterance


class Contents:
    """Recordings by their samples, so that a copy is known under any name and in any lossless format."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._of_length: dict[tuple[float, int], list[Path]] = defaultdict(list)
        self._digests: dict[Path, str | None] = {}
        for path in paths:
            self.add(path)

    def add(self, path: Path) -> None:
        """Add a recording; one that cannot be read is never found."""
        if (known := length(path)) is not None:
            self._of_length[known].append(path)

    def find(self, path: Path) -> Path | None:
        """Return the recording with the samples of `path`; only recordings of equal length are decoded."""
        known = length(path)
        alike = [] if known is None else self._of_length.get(known, [])
        if path in alike:
            return path
        digest = self._digest(path) if alike else None
        return None if digest is None else next((one for one in alike if self._digest(one) == digest), None)

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            (found,) = inspect_file(path, [(0.0, None)])
            self._digests[path] = found.figures.content if found.figures else None
        return self._digests[path]


class Transcribed:
    """The spans of recordings that have transcripts."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        """Collect the spans of utterances with texts."""
        self._spans: dict[Path, list[Span]] = defaultdict(list)
        for one in utterances:
            if one.text:
                end = math.inf if one.duration is None else one.offset + one.duration
                self._spans[real_path(one.audio)].append((one.offset, end))
        self._contents = Contents(self._spans)
        self.copies: dict[Path, Path] = {}  # recordings that were asked for, and the transcribed ones that they copy

    def spans(self, utterance: Utterance) -> Sequence[Span]:
        """Return the spans of the recording of an utterance that have transcripts, in seconds."""
        path = real_path(utterance.audio)
        original = path if path in self._spans else self._contents.find(path)
        if original is None:
            return ()
        if original != path:
            self.copies[utterance.audio] = original
        return self._spans[original]


def without_copies(utterances: Iterable[Utterance]) -> tuple[list[Utterance], dict[Path, Path]]:
    """Return utterances without those of copied recordings, and for each copy the recording that is kept."""
    kept: list[Utterance] = []
    originals: dict[Path, Path] = {}
    contents = Contents()
    for one in utterances:
        path = real_path(one.audio)
        if path not in originals:
            originals[path] = contents.find(path) or path
            if originals[path] == path:
                contents.add(path)
        if originals[path] == path:
            kept.append(one)
    return kept, {path: original for path, original in originals.items() if original != path}
