"""Times and confidences of words, read off a CTC path: the unit of each frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from asr.text import BLANK, Units
from asr.transcript import Word

LINGER = 0.1  # seconds that the last unit of a word sounds on after its last frame, at most


@dataclass(frozen=True, slots=True)
class Run:
    """A unit on a CTC path: its frames `first` to `beyond - 1`, and its highest log-posterior in them."""

    unit: int
    first: int
    beyond: int
    log_posterior: float


def runs(path: np.ndarray, log_posteriors: np.ndarray) -> list[Run]:
    """Return the units of a path `(S,)`, given the log-posterior of the unit of each frame `(S,)`."""
    if len(path) == 0:
        return []
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(path)) + 1])
    beyonds = [*firsts[1:].tolist(), len(path)]
    highest = np.maximum.reduceat(log_posteriors, firsts).tolist()
    rows = zip(path[firsts].tolist(), firsts.tolist(), beyonds, highest, strict=True)
    return [Run(*row) for row in rows if row[0] != BLANK]


def words_on_path(
    path: np.ndarray,
    log_posteriors: np.ndarray,
    units: Units,
    *,
    spell: Callable[[Sequence[int]], str],
    start: int = 0,
    seconds_per_frame: float,
) -> tuple[Word, ...]:
    """Return the words that a path `(S,)` spells; its first frame is `start`.

    `log_posteriors (S,)` belong to the units of the path. `spell` returns the text of unit indices. Each phone is a
    word, since phones have no space between words.
    """
    spelled = runs(path, log_posteriors)
    if units.kind == "phones":
        groups = [[run] for run in spelled]
    else:
        spaced = groupby(spelled, key=lambda run: units.decode([run.unit]).isspace())
        groups = [list(group) for is_space, group in spaced if not is_space]
    texts = [spell([run.unit for run in group]) for group in groups]
    words = [
        word(text, group, start=start, seconds_per_frame=seconds_per_frame)
        for text, group in zip(texts, groups, strict=True)
        if text
    ]
    return lingering(words, until=(start + len(path) - 0.5) * seconds_per_frame)


def lingering(words: Sequence[Word], *, until: float) -> tuple[Word, ...]:
    """Extend each word to the start of the next word, or the last to `until` in seconds, by at most `LINGER`.

    CTC emits a unit near its start, and then blanks while the unit still sounds. No word ends after `until`.
    """
    nexts = [*(word.start for word in words[1:]), until]
    return tuple(
        replace(word, end=min(word.end + LINGER, following))
        for word, following in zip(words, nexts, strict=False)  # without words, `until` is left over
    )


def word(text: str, spelled: list[Run], *, start: int = 0, seconds_per_frame: float) -> Word:
    """Make a word from the units that spell it.

    Frame `s` covers the time from `s - 1/2` to `s + 1/2` strides. The confidence is the geometric mean of the highest
    posteriors of the units.
    """
    return Word(
        text=text,
        start=max(0.0, (start + spelled[0].first - 0.5) * seconds_per_frame),
        end=(start + spelled[-1].beyond - 0.5) * seconds_per_frame,
        confidence=float(np.exp(np.mean([run.log_posterior for run in spelled]))),
    )
