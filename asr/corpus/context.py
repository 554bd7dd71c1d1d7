"""The context of an utterance: the pause before and after it in its recording, where no line of a manifest is.

A context ends at the edge of the recording, at any other line of the recording, and shortly before the first frame that
is as loud as the speech of the utterance, because a recording may hold speech that no line covers.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asr.audio import load_audio
from asr.decoders import Recording, open_recording
from asr.errors import AudioError
from asr.utterance import Utterance

REACH = 1.0  # seconds; longest context on one side
_FRAME = 0.02  # seconds
_GUARD = 0.1  # seconds before a loud frame that are left out: speech may begin softly
_QUIET, _LOUD = 10, 90  # percentiles of the frame levels of an utterance: its pauses and its vowels
_STEADY_DB = 3.0  # frames that exceed the quiet frames by less are as quiet: noise varies so much
_FLOOR = 1e-10  # power; -100 dB


class Room(NamedTuple):
    """The seconds before and after an utterance that its recording and the lines of the manifests leave free."""

    before: float
    after: float


NO_ROOM = Room(0.0, 0.0)


class Excerpt(NamedTuple):
    """The samples of an utterance, and of the pauses before and after it: three arrays `(N,)` at one sample rate."""

    samples: np.ndarray
    before: np.ndarray
    after: np.ndarray


def rooms(utterances: Sequence[Utterance], lines: Sequence[Utterance]) -> list[Room]:
    """Return how far the context of each utterance may reach: at most REACH, and no further than the next line.

    `lines` are all lines of all manifests, in any order, also lines that are left out. A line that overlaps the border
    of an utterance leaves no room there. Lines that are equal to the utterance are the utterance.
    """
    places = {path: os.path.realpath(path) for path in {row.audio for row in (*utterances, *lines)}}
    parts: dict[str, set[tuple[float, float]]] = defaultdict(set)
    for row in lines:
        parts[places[row.audio]].add(_span(row))
    spans = {path: np.array(sorted(found)).reshape(-1, 2) for path, found in parts.items()}
    nothing = np.zeros((0, 2))
    return [_room(_span(row), spans.get(places[row.audio], nothing)) for row in utterances]


def _span(utterance: Utterance) -> tuple[float, float]:
    end = np.inf if utterance.duration is None else utterance.offset + utterance.duration
    return utterance.offset, float(end)


def _room(own: tuple[float, float], spans: np.ndarray) -> Room:
    start, end = own
    if own == (0.0, np.inf):  # the whole recording
        return NO_ROOM
    starts, ends = spans[:, 0], spans[:, 1]
    others = ~((starts == start) & (ends == end))
    before = start - ends[others & (starts < start)].clip(max=start).max(initial=max(0.0, start - REACH))
    if end == np.inf:  # the utterance ends with its recording
        return Room(float(before), 0.0)
    after = starts[others & (ends > end)].clip(min=end).min(initial=end + REACH) - end
    return Room(float(before), float(after))


def read_excerpt(utterance: Utterance, sample_rate: int, room: Room) -> Excerpt:
    """Read an utterance as `load_audio` reads it alone, and the pauses around it, at `sample_rate` Hz.

    The recording is opened once, and decoded no further than the end of the context. Raises AudioError if the utterance
    cannot be read. A context that cannot be read is empty.
    """
    with open_recording(utterance.audio) as recording:
        # The utterance comes first: a quiet recording is raised by the gain that its utterance needs.
        samples = load_audio(recording, sample_rate, offset=utterance.offset, duration=utterance.duration)
        before = _read(recording, sample_rate, utterance.offset - room.before, room.before)
        # The last frame of the utterance is read again: the recording may end there.
        end = utterance.offset + (utterance.duration or 0.0)
        after = _read(recording, sample_rate, end - _FRAME, _FRAME + room.after)[round(_FRAME * sample_rate) :]
    threshold = speech_threshold(samples, sample_rate)
    before = before[len(before) - pause_length(before[::-1], sample_rate, threshold) :]
    return Excerpt(samples, before, after[: pause_length(after, sample_rate, threshold)])


def _read(recording: Recording, sample_rate: int, offset: float, duration: float) -> np.ndarray:
    """Read a part of an open recording, up to its end; return `(N,)`, without samples if it cannot be read."""
    if offset < 0 or duration <= _FRAME:
        return np.zeros(0, np.float32)
    try:
        return load_audio(recording, sample_rate, offset=offset, duration=duration, allow_short=True)
    except AudioError:  # damaged; the utterance itself can be read
        return np.zeros(0, np.float32)


def speech_threshold(samples: np.ndarray, sample_rate: int) -> float:
    """Return the level in dB from which a frame is loud as the speech in `samples` `(N,)`.

    The level lies midway between the quiet and the loud frames of the samples.
    """
    levels = _levels(samples, sample_rate)
    if not len(levels):
        return -np.inf
    quiet, loud = np.percentile(levels, [_QUIET, _LOUD])
    return float(max((quiet + loud) / 2, quiet + _STEADY_DB))


def pause_length(samples: np.ndarray, sample_rate: int, threshold: float) -> int:
    """Return how many of `samples` `(N,)` pass before speech: up to 0.1 s before the first frame of `threshold` dB."""
    loud = np.flatnonzero(_levels(samples, sample_rate) >= threshold)
    if not len(loud):
        return len(samples)
    return max(0, int(loud[0]) * round(_FRAME * sample_rate) - round(_GUARD * sample_rate))


def _levels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the level of each frame in dB. The differences of neighbouring samples are measured: without rumble."""
    size = round(_FRAME * sample_rate)
    steps = np.diff(samples, prepend=samples[:1])
    frames = steps[: len(steps) // size * size].reshape(-1, size)
    levels: np.ndarray = 10 * np.log10(np.square(frames).mean(axis=1, dtype=np.float64) + _FLOOR)
    return levels
