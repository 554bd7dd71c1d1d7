"""Patterns of names for recordings and texts whose names differ: `{id}_mic1.flac` belongs to `{id}.txt`."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.corpus.readers.files import SourceError, is_audio

_MANY = 1000  # files that are looked at for a suggestion
_CUTS = 6  # places from either end where a name is cut
_COMMON = 400  # pairs of patterns; a part of names with more of them is too common to tell files apart
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


def suggest(recordings: Sequence[Path], texts: Sequence[Path]) -> str | None:
    """Return the `--pair` options that pair most files whose names differ, and a pair; None if they pair under half."""
    names: list[dict[str, dict[str, set[Path]]]] = []  # recordings and texts: the shared part -> pattern -> files
    for paths in (recordings, texts):
        shared: dict[str, dict[str, set[Path]]] = defaultdict(lambda: defaultdict(set))
        for path in paths[:_MANY]:
            for part, pattern in _patterns(path):
                shared[part][pattern].add(path)
        names.append(shared)
    counts: dict[tuple[str, str], list[tuple[Path, Path]]] = {}
    for part in names[0].keys() & names[1].keys():
        if len(names[0][part]) * len(names[1][part]) > _COMMON:
            continue
        for (first, audio), (second, text) in itertools.product(names[0][part].items(), names[1][part].items()):
            if len(audio) == len(text) == 1:
                counts.setdefault((first, second), []).append((next(iter(audio)), next(iter(text))))
    # One name in one folder is no pattern of folders.
    counts = {both: pairs for both, pairs in counts.items() if len(pairs) > 1 or "/" not in "".join(both)}
    if not counts:
        return None
    # Most pairs, then the fewest wildcards, then the longest shared part.
    best = min(counts, key=lambda both: (-len(counts[both]), "".join(both).count("*"), len("".join(both)), both))
    pairs = counts[best]
    if 2 * len(pairs) < min(len(recordings), len(texts), _MANY):
        return None
    audio_file, text_file = min(pairs)
    options = " ".join(f"--pair '{pattern}'" for pattern in best if not pattern.startswith("{id}."))
    return f"{options} ({len(pairs)} pairs, such as {audio_file.name} and {text_file.name})" if options else None


def _patterns(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each part of a name that it may share with another file, and the pattern of the rest."""
    stem, suffix = path.stem, path.suffix
    yield stem, f"{{id}}{suffix}"
    yield path.parent.name, f"{{id}}/{path.name}"
    cuts = [place for place in range(1, len(stem)) if _class(stem[place - 1]) != _class(stem[place])]
    for place in cuts if len(cuts) <= 2 * _CUTS else cuts[:_CUTS] + cuts[-_CUTS:]:
        before, after = stem[:place], stem[place:]
        if not after[0].isalnum():
            yield before, f"{{id}}{after}{suffix}"
            yield before, f"{{id}}{after[0]}*{suffix}"
        if after[0].isalnum():
            yield after, f"{before}{{id}}{suffix}"
        if after[0].isalpha():
            yield before, f"{{id}}{after}{suffix}"


def _class(character: str) -> str:
    return "a" if character.isalpha() else "1" if character.isdigit() else character
