"""Patterns of names for recordings and texts whose names differ: `{id}_mic1.flac` belongs to `{id}.txt`."""

import re
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio

_EXAMPLE = "such as '{id}_mic1.flac' or '{id}_annotated.TextGrid'"


class Pair:
    """A pattern of `--pair`: `{id}` is the part of a name that a recording shares with its text, `*` is anything.

    A pattern with the suffix of a recording is for recordings, another pattern is for texts. Each `/` adds one folder:
    `{id}/audio.wav`.
    """

    def __init__(self, pattern: str) -> None:
        """Parse a pattern. Raises SourceError if it holds no `{id}`, or more than one, or no suffix."""
        suffix = Path(pattern).suffix
        if pattern.count("{id}") != 1 or not suffix or "{" in suffix:
            raise SourceError(f"--pair {pattern}: must hold {{id}} once and end with a suffix, {_EXAMPLE}")
        self.pattern, self.is_audio = pattern, is_audio(Path(f"x{suffix}"))
        before, after = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("{id}"))
        self._depth = pattern.count("/")
        self._regex = re.compile(f"{before}(?P<id>[^/]+){after}", re.IGNORECASE)

    def shared(self, path: Path) -> Path | None:
        """Return the path with its shared part in place of all that the pattern matches, or None."""
        tail = path.parts[-1 - self._depth :]
        found = self._regex.fullmatch("/".join(tail))
        return Path(*path.parts[: -1 - self._depth], found["id"]) if found else None
