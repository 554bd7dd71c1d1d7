"""Recordings of any length -> frames on one time line, in bounded memory.

A recording as long as those of training goes through the model in one piece. A longer recording is read part by part,
and divided by speech: a piece lies between two pauses, and long pauses are left out. So pieces are about as long, and
as dense, as utterances in training. Where there is no pause, two pieces overlap: a recurrent network computes the
frames near a cut with half of their context missing, so they are taken from the other piece. Pieces begin on encoder
frames: frame `s` of the recording is centred `s` strides from its start.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, pairwise
from typing import Literal, TypeVar

import numpy as np

from asr.audio import load_audio
from asr.corpus.members import open_utterance
from asr.decoders import TOLERANCE
from asr.equalize import Equalizer
from asr.errors import AudioError, audio_error
from asr.recognition.interface import FrameModel
from asr.recognition.speech import Spans, between_pauses, find_speech
from asr.recognition.trained_lengths import PieceLengths, piece_lengths
from asr.utterance import Utterance

Channels = Literal["mix", "split"] | int
T = TypeVar("T")
S = TypeVar("S")

OVERLAP = 3.0  # seconds that two pieces share on either side of a cut in mid-speech
SHORTEST = 1.0  # seconds of a piece that is cut at a pause too short to end a segment
MUCH = 1.5  # speech without a pause is cut if it is longer than this multiple of the longest piece
_MARGIN = 0.2  # seconds of a pause, or half of a shorter pause, that stay with the speech before it and after it
_DIP = 0.1  # seconds without speech at which a long piece is cut
_READ_SECONDS = 120.0  # read at a time of a long recording
_HEARD = 30.0  # seconds that the last part has at least, so that its floor and its loud level are those of speech
_READ_TOGETHER = 32  # recordings opened at a time
_WINDOW_SECONDS = 960.0  # seconds read ahead and batched by length; bounds memory


@dataclass(frozen=True, slots=True)
class Track:
    """One channel of an utterance's recording, counted from 1; None is the average of all channels."""

    utterance: Utterance
    channel: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples `(N,)` of a recording from frame `start` on.

    Of the frames that the model computes, those in `keep` count: the other frames belong to a neighbouring piece.
    `pause` tells whether a pause follows.
    """

    samples: np.ndarray
    start: int
    keep: slice
    pause: bool


@dataclass(frozen=True, slots=True)
class SegmentFrames:
    """Frames between two pauses, as the model gives them, `(S, V)` or `(S, D)`.

    `start` is the index of the first of them among the frames of the recording.
    """

    frames: np.ndarray
    start: int


@dataclass(frozen=True, slots=True)
class RecordingEnd:
    """The end of a recording, or of one of its channels, after its last piece.

    `speech` are the starts and ends of its speech, in seconds, between pauses that end segments.
    """

    seconds: float
    speech: tuple[tuple[float, float], ...] = ()


def segment_frames(
    model: FrameModel,
    utterances: Iterable[Utterance],
    channels: Channels = "mix",
    *,
    salvage: bool = False,
    part: range | None = None,
) -> Iterator[tuple[Track, SegmentFrames | RecordingEnd | AudioError]]:
    """Compute the frames of many recordings in their order, segment by segment.

    Each track ends with a RecordingEnd, or with the AudioError of a recording that cannot be read. Recordings are read
    in the background while the model computes, and the model computes while the caller decodes. `salvage` reads what is
    there of truncated recordings. With `part`, only the utterances of these indices are computed; the filter of a
    speaker comes from all utterances.
    """
    listed, rate = list(utterances), model.sample_rate
    equalizer = partial(Equalizer.of_files, listed, rate, opened=open_utterance) if model.equalizes else None
    return compute(model, _read(model, listed, channels, equalizer, salvage, part))


def compute(
    model: FrameModel, pieces: Iterator[tuple[S, Piece | RecordingEnd | AudioError]]
) -> Iterator[tuple[S, SegmentFrames | RecordingEnd | AudioError]]:
    """Compute the frames of pieces in batches, and join pieces into segments; ends and errors keep their place."""
    return in_background(_join(model, in_background(_windows(pieces, model.sample_rate))))


def cut(
    read: Callable[[float, float | None], np.ndarray],
    seconds: float,
    *,
    sample_rate: int,
    stride: int,
    lengths: PieceLengths,
) -> Iterator[Piece | RecordingEnd]:
    """Cut a recording into pieces, and end with its RecordingEnd.

    `read(offset, duration)` gives samples of a part, in seconds; `seconds` is the duration of the recording;
    `stride` is an encoder frame in samples.
    """
    if seconds <= lengths.whole:
        samples = read(0.0, None)
        yield Piece(samples, 0, slice(None), pause=True)
        yield _end(find_speech(samples, sample_rate), len(samples), sample_rate, lengths.pause)
        return
    shortest, longest, overlap, margin = (
        round(length * sample_rate) // stride * stride
        for length in (SHORTEST, lengths.longest, min(OVERLAP, lengths.longest / 2), _MARGIN)
    )
    pause, dip, most = round(lengths.pause * sample_rate), round(_DIP * sample_rate), round(MUCH * longest)
    reach = most + overlap + pause  # samples from the start of a piece that decide where it ends
    samples, origin, whole = np.empty(0, np.float32), 0, False  # the part in memory, where it begins, is it the last
    before: Spans = []  # speech before this part
    sounds: Spans = []  # speech in this part
    start = context = 0  # the first sample not computed yet, and how many samples before it are computed again
    while not whole or start < origin + len(samples):
        if not whole and start + reach > origin + len(samples):
            latest = max(0, round((seconds - _HEARD) * sample_rate)) // stride * stride
            origin = min(start - context, latest)
            whole = origin / sample_rate + _READ_SECONDS >= seconds
            samples = read(origin / sample_rate, None if whole else _READ_SECONDS)
            before += [(first, min(end, start)) for first, end in sounds if first < start]
            found = [(origin + first, origin + end) for first, end in find_speech(samples, sample_rate)]
            sounds = [(max(first, start), end) for first, end in found if end > start]
        limit = origin + len(samples)
        ahead = [(first, end) for first, end in sounds if end > start]
        if not context:  # skip the pause
            begin = ahead[0][0] - margin if ahead else limit - reach // 2
            begin = limit if whole and not ahead else begin // stride * stride
            if begin > start:
                start = begin
                continue
        speech = between_pauses(ahead, pause)
        end = speech[0][1] if speech and speech[0][0] - start < pause + margin else start
        following = [first for first, _ in ahead if first > end]
        end = min(end + margin, (end + following[0]) // 2 if following else limit)
        end = end // stride * stride if end < limit else limit
        after = 0
        if end - start > most:
            gaps = [(b - a, (a + b) // 2) for (_, a), (b, _) in pairwise(ahead)]
            inner = [gap for gap in gaps if gap[0] >= dip and start + shortest <= gap[1] <= start + longest]
            end = max(inner)[1] // stride * stride if inner else start + longest
            after = 0 if inner else overlap
        first = start - context
        keep = slice(context // stride, (end - first) // stride if after else None)
        beyond = end + after if after or end == limit else end - 1  # the frame at `end` belongs to the next piece
        yield Piece(samples[first - origin : beyond - origin], first // stride, keep, pause=not after)
        start, context = max(end, start + stride), after
    yield _end(before + sounds, origin + len(samples), sample_rate, lengths.pause)


def _end(sounds: Spans, num_samples: int, sample_rate: int, pause: float) -> RecordingEnd:
    """Return the end of a recording of `num_samples` in which `sounds` are speech."""
    spans = between_pauses(sounds, round(pause * sample_rate))
    return RecordingEnd(num_samples / sample_rate, tuple((a / sample_rate, b / sample_rate) for a, b in spans))


def read_pieces(
    utterance: Utterance,
    channels: Channels,
    *,
    sample_rate: int,
    stride: int,
    lengths: PieceLengths,
    equalized: Callable[[np.ndarray, int | None], np.ndarray],
    salvage: bool = False,
) -> Iterator[tuple[Track, Piece | RecordingEnd | AudioError]]:
    """Read one recording: the pieces of its channels, each track with its RecordingEnd, or its AudioError.

    `equalized(samples, channel)` filters samples that were read; `stride` is an encoder frame in samples.
    """
    channel: int | None = None
    longest = math.inf if utterance.duration is None else utterance.duration

    def read(offset: float, duration: float | None) -> np.ndarray:
        left = longest - offset
        samples = load_audio(
            recording,
            sample_rate,
            offset=utterance.offset + offset,
            duration=(None if left == math.inf else left) if duration is None else min(duration, left),
            channel=channel,
        )
        return equalized(samples, channel)

    try:
        with open_utterance(utterance, salvage=salvage) as recording:
            seconds = recording.frames() / recording.sample_rate - utterance.offset
            if seconds < longest < math.inf and longest - seconds > TOLERANCE and not salvage:
                raise AudioError(
                    f"{utterance.audio}: {utterance.offset:.2f} s to {utterance.offset + longest:.2f} s are asked for, "
                    f"the file ends at {utterance.offset + seconds:.2f} s; correct offset and duration",
                    "beyond the end",
                )
            count = recording.channels
            chosen = range(1, count + 1) if channels == "split" else [None if channels == "mix" else channels]
            for channel in chosen:
                for piece in cut(read, min(seconds, longest), sample_rate=sample_rate, stride=stride, lengths=lengths):
                    yield Track(utterance, channel), piece
    except Exception as error:
        yield Track(utterance, channel), audio_error(error, str(utterance.audio))


def in_background(items: Iterator[T]) -> Iterator[T]:
    """Yield the items of an iterator; a thread makes the next item while the caller uses this one."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, items, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def _read(
    model: FrameModel,
    utterances: Sequence[Utterance],
    channels: Channels,
    make_equalizer: Callable[[int | None], Equalizer] | None,
    salvage: bool,
    part: range | None,
) -> Iterator[tuple[Track, Piece | RecordingEnd | AudioError]]:
    """Read recordings in their order; the first pieces of many recordings are read at once."""
    equalizer_of = None if make_equalizer is None else cache(make_equalizer)  # takes a channel

    def begin(index: int) -> Iterator[tuple[Track, Piece | RecordingEnd | AudioError]]:
        def equalized(samples: np.ndarray, channel: int | None) -> np.ndarray:
            return samples if equalizer_of is None else equalizer_of(channel)(index, samples)

        utterance = utterances[index]
        is_utterance = utterance.text is not None or utterance.duration is not None
        pieces = read_pieces(
            utterance,
            channels,
            sample_rate=model.sample_rate,
            stride=model.stride,
            lengths=piece_lengths(model.trained_lengths, utterance=is_utterance),
            equalized=equalized,
            salvage=salvage,
        )
        first = next(pieces)
        return _chain(first, pieces)

    remaining = iter(range(len(utterances)) if part is None else part)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while group := list(islice(remaining, _READ_TOGETHER)):
            for pieces in pool.map(begin, group):
                yield from pieces


def _chain(first: T, rest: Iterator[T]) -> Iterator[T]:
    yield first
    yield from rest


def _windows(
    pieces: Iterator[tuple[S, Piece | RecordingEnd | AudioError]], sample_rate: int
) -> Iterator[list[tuple[S, Piece | RecordingEnd | AudioError]]]:
    """Group pieces, ends and errors in lists of about `_WINDOW_SECONDS` of audio."""
    window, seconds = [], 0.0
    for source, piece in pieces:
        window.append((source, piece))
        seconds += len(piece.samples) / sample_rate if isinstance(piece, Piece) else 0.0
        if seconds > _WINDOW_SECONDS:
            yield window
            window, seconds = [], 0.0
    if window:
        yield window


def _join(
    model: FrameModel, windows: Iterator[list[tuple[S, Piece | RecordingEnd | AudioError]]]
) -> Iterator[tuple[S, SegmentFrames | RecordingEnd | AudioError]]:
    """Compute each window in batches, and join the frames of pieces between two pauses."""
    kept: list[np.ndarray] = []
    for window in windows:
        frames = iter(_frames(model, [piece.samples for _, piece in window if isinstance(piece, Piece)]))
        for source, piece in window:
            if not isinstance(piece, Piece):
                kept = []
                yield source, piece
                continue
            if not kept:
                start = piece.start + (piece.keep.start or 0)
            kept.append(next(frames)[piece.keep])
            if piece.pause:
                yield source, SegmentFrames(np.concatenate(kept), start)
                kept = []


def _frames(model: FrameModel, waveforms: list[np.ndarray]) -> list[np.ndarray]:
    """Compute the frames of each waveform."""
    rows = [np.empty(0, np.float32)] * len(waveforms)
    for indices, found in model.frame_rows([len(w) for w in waveforms], waveforms.__getitem__):
        for index, row in zip(indices, found, strict=True):
            rows[index] = row
    return rows
