"""Several recognisers as one: the average of their log-probabilities, frame by frame. No torch here.

Their errors differ, so the average makes fewer of them than each recogniser does, and takes the time of all. CTC leaves
open at which frame of a sound its unit is emitted, and each training settles on a frame. So recognisers are brought
into step before they are averaged (Kurata and Audhkhasi 2019, https://arxiv.org/abs/1904.08311).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from asr.errors import ConfigError
from asr.recognition.stream import AcousticStream
from asr.recognition.trained_lengths import TrainedLengths
from asr.recognition.transcriber import Transcriber
from asr.text import BLANK

_SHIFTS = range(-2, 3)  # encoder frames by which two models may differ in when they emit a unit
_NAMED = 5  # units that one model has and another lacks, in messages


class Ensemble(Transcriber):
    """Recognisers with equal units and frames, as one recogniser: in PyTorch, exported, or some of each.

    The decoder, the calibration of confidences and the rejection of phrases are those of the first recogniser. They can
    be set, as for one recogniser.
    """

    def __init__(self, members: Sequence[Transcriber], names: Sequence[object] = ()) -> None:
        """Join recognisers; `names` are those of their files in messages (default: model 1, model 2 …).

        Raises ConfigError if there is no recogniser, if a name is there twice, if one does not decode with CTC alone,
        or if two differ in units, text rules, sample rate, frame rate or equalisation.
        """
        if not members:
            raise ConfigError("an ensemble needs at least one model; name its model files")
        self.members = tuple(members)
        named = [str(name) for name in names] or [f"model {number}" for number in range(1, len(members) + 1)]
        require_equal_frames(members, named, "cannot be averaged", "transcribe with each, and asr rover")
        first = members[0]
        self.units, self.normalizer = first.units, first.normalizer
        self.decoder, self.confidence, self.rejection = first.decoder, first.confidence, first.rejection
        self.trained_lengths = _common_lengths([member.trained_lengths for member in members])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(repr, self.members))}>"

    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]:
        return self.members[0].settings

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
        raise ConfigError(
            "several models as one cannot stream: they are brought into step over whole utterances; make one model of "
            "them: asr distil"
        )


def average(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Average the log-probabilities `(S, V)` of an utterance by several models, brought into step: `(S, V)`, float32.

    This is the geometric mean of the probabilities, normalised in each frame. It does not depend on the order of
    models, and one array stays as it is.
    """
    if len(rows) == 1:
        return rows[0]
    # Sorted, because a sum of floating-point numbers depends on their order.
    mean = np.sort(np.stack(in_step(rows)).astype(np.float64), axis=0).mean(axis=0)
    mean -= np.logaddexp.reduce(mean, axis=1, keepdims=True)
    log_probs: np.ndarray = mean.astype(np.float32)
    return log_probs


def in_step(rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Shift log-probabilities `(S, V)` by up to 2 frames, so that models emit the units of an utterance together.

    The model that agrees best with all others stays, and each other one is shifted to where it agrees best with it:
    where the sum over frames and units, without the blank, of the products of both probabilities is largest. Of models
    that agree equally well, the last one in time stays. At its edge, a shifted array repeats its first or last frame.
    """
    units = [np.exp(one[:, BLANK + 1 :]) for one in rows]

    def shifts_to(reference: np.ndarray) -> tuple[float, int, list[int]]:
        found = [
            (0.0, 0, 0)
            if one is reference
            else max((_agreement(reference, one, shift), -abs(shift), shift) for shift in _SHIFTS)
            for one in units
        ]
        shifts = [shift for *_, shift in found]
        return round(math.fsum(agreement for agreement, *_ in found), 3), sum(shifts), shifts

    *_, shifts = max(map(shifts_to, units), key=lambda found: found[:2])
    return [_shifted(one, shift) for one, shift in zip(rows, shifts, strict=True)]


def _agreement(one: np.ndarray, other: np.ndarray, shift: int) -> float:
    """Return the sum of the products of `one (S, V)` and `other (S, V)`, which is `shift` frames later."""
    size = max(0, len(one) - abs(shift))
    first, second = max(0, shift), max(0, -shift)
    return float((one[first : first + size] * other[second : second + size]).sum())


def _shifted(rows: np.ndarray, shift: int) -> np.ndarray:
    """Return `rows (S, V)` of which each is `shift` frames later; the first or last one is repeated at the edge."""
    if not shift or not len(rows):
        return rows
    return rows[np.clip(np.arange(len(rows)) - shift, 0, len(rows) - 1)]


def require_equal_frames(members: Sequence[Transcriber], names: Sequence[str], fault: str, cure: str) -> None:
    """Raise ConfigError unless the frames of recognisers are CTC's log-probabilities of equal units at equal times.

    `fault` says what the named recognisers cannot do, and `cure` what the user can do in its place. A name that is
    there twice is refused too: nothing is gained by a second copy.
    """
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise ConfigError(f"{twice}: is named twice; name each model once")
    for member, name in zip(members, names, strict=True):
        try:
            member.require_ctc_search()
        except ConfigError:
            raise ConfigError(f"{name}: {fault}, since it does not decode with CTC alone; {cure}") from None
        if difference := _difference(members[0], member):
            raise ConfigError(
                f"{names[0]} and {name}: {fault}: {difference}; train with the same settings and the same "
                f"text.units_file, or {cure}"
            )


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
