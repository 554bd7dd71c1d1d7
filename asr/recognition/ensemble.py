"""Several recognisers as one: the average of their log-probabilities, frame by frame. No torch here.

Their errors differ, so the average makes fewer of them than each recogniser does, and takes the time of all.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from asr.errors import ConfigError
from asr.recognition.latency import latency
from asr.recognition.stream import AcousticStream
from asr.recognition.trained_lengths import TrainedLengths
from asr.recognition.transcriber import Transcriber
from asr.recognition.turn_stream import streams

_NAMED = 5  # units that one model has and another lacks, in messages


class Ensemble(Transcriber):
    """Recognisers with equal units and frames, as one recogniser: in PyTorch, exported, or some of each.

    The decoder, the calibration of confidences and the rejection of phrases are those of the first recogniser. They can
    be set, as for one recogniser.
    """

    def __init__(self, members: Sequence[Transcriber], names: Sequence[object] = ()) -> None:
        """Join recognisers; `names` are those of their files in messages (default: model 1, model 2 …).

        Raises ConfigError if there is no recogniser, if one does not decode with CTC alone, or if two differ in units,
        text rules, sample rate, frame rate or equalisation.
        """
        if not members:
            raise ConfigError("an ensemble needs at least one model; name its model files")
        self.members = tuple(members)
        named = [str(name) for name in names] or [f"model {number}" for number in range(1, len(members) + 1)]
        for member, name in zip(members, named, strict=True):
            if len(members) > 1:
                _require_frames_of_units(member, name)
            if difference := _difference(members[0], member):
                raise ConfigError(
                    f"{named[0]} and {name} cannot be averaged: {difference}. Train both with the same settings and "
                    "the same text.units_file, or transcribe with each and combine the texts: asr rover"
                )
        first = members[0]
        self.units, self.normalizer = first.units, first.normalizer
        self.decoder, self.confidence, self.rejection = first.decoder, first.confidence, first.rejection
        self.trained_lengths = _common_lengths([member.trained_lengths for member in members])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(repr, self.members))}>"

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the sections of a recogniser that cannot stream, or else of the one with the longest latency."""
        found = [member.settings for member in self.members]
        return max(found, key=lambda settings: latency(settings) if streams(settings) else math.inf)

    @property
    def sample_rate(self) -> int:
        return self.members[0].sample_rate

    @property
    def stride(self) -> int:
        return self.members[0].stride

    def num_output_frames(self, num_samples: int) -> int:
        return self.members[0].num_output_frames(num_samples)

    def require_ctc_search(self) -> None:
        self.members[0].require_ctc_search()

    def frame_rows(
        self, num_samples: Sequence[int] | np.ndarray, read: Callable[[int], np.ndarray]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        for batches in zip(*(member.frame_rows(num_samples, read) for member in self.members), strict=True):
            (indices, _), *others = batches
            assert all(found == indices for found, _ in others)  # `read_batches` depends on lengths and rate alone
            yield indices, [average(rows) for rows in zip(*(rows for _, rows in batches), strict=True)]

    def acoustic_stream(self) -> AcousticStream:
        return _AveragedStream([member.acoustic_stream() for member in self.members])


class _AveragedStream:
    """The average of several streams; a frame is given when the last of them has come to it."""

    def __init__(self, streams: Sequence[AcousticStream]) -> None:
        self._streams = streams
        self._waiting: list[np.ndarray | None] = [None] * len(streams)  # frames that other streams have not come to

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray | None:
        """Take the next samples `(N,)`, float32 at the model's rate; return log-probabilities `(S, V)`, or None."""
        for number, stream in enumerate(self._streams):
            rows, before = stream.feed(samples, last=last), self._waiting[number]
            if rows is not None:
                self._waiting[number] = rows if before is None else np.concatenate([before, rows])
        waiting = [rows for rows in self._waiting if rows is not None]
        count = min(map(len, waiting)) if len(waiting) == len(self._streams) else 0
        if not count:
            return None
        self._waiting = [rows[count:] for rows in waiting]
        return average([rows[:count] for rows in waiting])


def average(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Average log-probabilities `(S, V)` of equal shape, and normalise each frame: `(S, V)`, float32.

    This is the geometric mean of the probabilities. It does not depend on the order, and one array stays as it is.
    """
    if len(rows) == 1:
        return rows[0]
    # Sorted, because a sum of floating-point numbers depends on their order.
    mean = np.sort(np.stack(rows).astype(np.float64), axis=0).mean(axis=0)
    mean -= np.logaddexp.reduce(mean, axis=1, keepdims=True)
    log_probs: np.ndarray = mean.astype(np.float32)
    return log_probs


def _require_frames_of_units(member: Transcriber, name: str) -> None:
    """Raise ConfigError unless the frames of a recogniser are CTC's log-probabilities."""
    try:
        member.require_ctc_search()
    except ConfigError:
        raise ConfigError(
            f"{name}: does not decode with CTC alone, so its frames cannot be averaged; transcribe with each model and "
            "combine the texts: asr rover"
        ) from None


def _difference(one: Transcriber, other: Transcriber) -> str | None:
    """Return in words why the frames of two recognisers cannot be averaged, or None."""
    for name, ours, theirs in (
        ("kind of units", one.units.kind, other.units.kind),
        ("sample rate in Hz", one.sample_rate, other.sample_rate),
        ("samples per encoder frame", one.stride, other.stride),
        ("text rules", str(one.normalizer), str(other.normalizer)),
        ("features.equalize", one.equalizes, other.equalizes),
    ):
        if ours != theirs:
            return f"they differ in {name}, {ours} and {theirs}"
    if one.units.symbols == other.units.symbols:
        return None
    lacking = [
        f"{which} lacks {' '.join(map(repr, missing[:_NAMED]))}{' …' if len(missing) > _NAMED else ''}"
        for which, missing in (
            ("the second one", sorted(set(one.units.symbols) - set(other.units.symbols))),
            ("the first one", sorted(set(other.units.symbols) - set(one.units.symbols))),
        )
        if missing
    ]
    return f"their units differ: {' and '.join(lacking) or 'their order'}"


def _common_lengths(lengths: Sequence[TrainedLengths | None]) -> TrainedLengths | None:
    """Return lengths that suit all recognisers: the shortest longest recording, and the longest pause."""
    stated = [one for one in lengths if one is not None]
    if not stated:
        return None
    longest, pause = math.inf, 0.0
    for one in stated:
        longest, pause = min(longest, one.longest), max(pause, one.pause)
    return TrainedLengths(longest=longest, pause=pause)
