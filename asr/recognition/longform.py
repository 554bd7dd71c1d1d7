"""Recordings of any length -> log-probabilities on one time line, in bounded memory.

A recording up to `WHOLE` seconds goes through the model as it is. A longer one is read part by part and computed in
pieces between pauses, without the pauses: as long as utterances are in training, and as dense. Where there is no pause
pieces overlap, and the frames near a cut, which a recurrent network computes without half of their context, are taken
from the neighbour. Pieces begin on encoder frames, so that frame `s` of the recording is centred `s` strides from its
start.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from asr.audio import describe, load_audio, seekable
from asr.equalize import Equalizer
from asr.errors import AudioError
from asr.recognition.recognizer import Recognizer
from asr.utterance import Utterance

Channels = Literal["mix", "split"] | int
T = TypeVar("T")

WHOLE = 40.0  # seconds: what is longer is cut
LONGEST, SHORTEST = 30.0, 1.0  # seconds of a piece; the shortest where pauses allow
OVERLAP = 3.0  # seconds on either side of a cut in mid-speech that both pieces compute
PAUSE = 0.3  # seconds
_MARGIN = 0.1  # seconds of a pause that stay with the speech before and after it
_STEP = 0.02  # seconds: the resolution at which pauses are looked for
_PAUSE_DB, _PAUSE_SHARE = 15.0, 0.7  # a pause lies so far, and by this share of the range, below the loud parts
_READ_SECONDS = 120.0  # read at a time of a long recording
_READ_TOGETHER = 32  # recordings opened at a time
_WINDOW_SECONDS = 960.0  # read ahead, and batched by length: bounds memory

Source = tuple[Utterance, int | None]  # a channel of a recording, from 1; None is the average of all


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples `(N,)` of a recording from frame `start` on, of whose frames `keep` count; `pause`: one follows."""

    samples: np.ndarray
    start: int
    keep: slice
    pause: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """What `Recognizer.frames` gives between two pauses, `(S, V)` or `(S, D)`, from frame `start` of a recording on."""

    frames: Tensor
    start: int


def stretches(
    recognizer: Recognizer, utterances: Iterable[Utterance], channels: Channels = "mix"
) -> Iterator[tuple[Source, Stretch | float | AudioError]]:
    """The stretches of many recordings in their order. Each ends with its duration in seconds, or an AudioError.

    Recordings are read in the background while the model computes, and the model computes while the caller decodes.
    """
    listed, rate = list(utterances), recognizer.sample_rate
    equalizer = partial(Equalizer.of_files, listed, rate) if recognizer.config.features.equalize else None
    return compute(recognizer, _read(listed, channels, rate, recognizer.stride, equalizer))


def compute(recognizer: Recognizer, pieces: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Stretches from pieces, each beside the same source; what is no Piece goes through as it is."""
    return in_background(_join(recognizer, in_background(_windows(pieces, recognizer.sample_rate))))


def cut(
    read: Callable[[float, float | None], np.ndarray], seconds: float, *, sample_rate: int, stride: int
) -> Iterator[Piece | float]:
    """The pieces of a recording of which `read(offset, duration)` gives a part, then its duration in seconds.

    `seconds` is what its header states, `stride` an encoder frame in samples.
    """
    if seconds <= WHOLE:
        samples = read(0.0, None)
        yield Piece(samples, 0, slice(None), pause=True)
        yield len(samples) / sample_rate
        return
    shortest, longest, overlap, margin = (
        round(length * sample_rate) // stride * stride for length in (SHORTEST, LONGEST, OVERLAP, _MARGIN)
    )
    samples, origin, whole = np.empty(0, np.float32), 0, False  # what has been read, and where it begins
    start = context = 0  # the first sample that is not yet computed, and how many before it are computed again
    while not whole or start < origin + len(samples):
        if not whole and start + longest + overlap > origin + len(samples):
            origin = start - context
            whole = origin / sample_rate + _READ_SECONDS >= seconds
            samples = read(origin / sample_rate, None if whole else _READ_SECONDS)
        left = origin + len(samples) - start
        quiet = pauses(samples[start - origin :][:longest], sample_rate)
        if quiet and quiet[0][0] == 0 and not context:  # nothing is said until its end
            silent = quiet[0][1]
            start += left if whole and silent == left else (silent - margin) // stride * stride
            continue
        pause = next((run for run in quiet if run[0] >= shortest), None)
        length, following, after = (left, left, 0) if left <= longest else (longest, longest, overlap)
        if pause is not None:
            length, after = (pause[0] + margin) // stride * stride, 0
            following = max(length + stride, (pause[1] - margin) // stride * stride)
        first = start - context
        keep = slice(context // stride, (context + length) // stride if after else None)
        end = start + length + after
        yield Piece(samples[first - origin : end - origin], first // stride, keep, pause=not after)
        start, context = start + following, after
    yield (origin + len(samples)) / sample_rate


def pauses(samples: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """First sample and end of each pause."""
    step = round(_STEP * sample_rate)
    if len(samples) < step:
        return []
    energy = np.square(samples[: len(samples) // step * step]).reshape(-1, step).mean(axis=1)
    levels = 10 * np.log10(energy + 1e-10)
    floor, loud = np.percentile(levels, [5, 98])
    quiet = levels <= loud - max(_PAUSE_DB, _PAUSE_SHARE * (loud - floor))
    if energy.max() == 0:
        quiet[:] = True
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)) * step
    edges[edges == len(energy) * step] = len(samples)
    runs = edges.reshape(-1, 2).tolist()
    return [(begin, end) for begin, end in runs if end - begin >= PAUSE * sample_rate]


def in_background(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one being made in a thread of its own while the caller uses this one."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, items, end)
        while (item := future.result()) is not end:
            future = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def _read(
    utterances: Sequence[Utterance],
    channels: Channels,
    sample_rate: int,
    stride: int,
    make_equalizer: Callable[[int | None], Equalizer] | None,
) -> Iterator[tuple[Source, Piece | float | AudioError]]:
    """Pieces of recordings in their order; the first pieces of many are read at once."""
    equalizers = None if make_equalizer is None else cache(make_equalizer)  # of each channel

    def begin(index: int) -> tuple[Any, Iterator[Any]]:
        def even(samples: np.ndarray, channel: int | None) -> np.ndarray:
            return samples if equalizers is None else equalizers(channel)(index, samples)

        pieces = _pieces(utterances[index], channels, sample_rate, stride, even)
        return next(pieces), pieces

    remaining = iter(range(len(utterances)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while group := list(islice(remaining, _READ_TOGETHER)):
            for first, rest in pool.map(begin, group):
                yield first
                yield from rest


def _pieces(
    utterance: Utterance,
    channels: Channels,
    sample_rate: int,
    stride: int,
    even: Callable[[np.ndarray, int | None], np.ndarray],
) -> Iterator[tuple[Source, Piece | float | AudioError]]:
    path, channel = utterance.audio, None
    longest = math.inf if utterance.duration is None else utterance.duration

    def read(offset: float, duration: float | None) -> np.ndarray:
        left = longest - offset
        samples = load_audio(
            path,
            sample_rate,
            offset=utterance.offset + offset,
            duration=(None if left == math.inf else left) if duration is None else min(duration, left),
            channel="mix" if channel is None and offset else channel,  # that channels are averaged is said once
        )
        return even(samples, channel)

    try:
        with seekable(utterance.audio) as path:
            seconds, count = describe(path)
            seconds = min(seconds - utterance.offset, longest)
            chosen = range(1, count + 1) if channels == "split" else [None if channels == "mix" else channels]
            for channel in chosen:
                for piece in cut(read, seconds, sample_rate=sample_rate, stride=stride):
                    yield (utterance, channel), piece
    except AudioError as error:
        yield (utterance, channel), AudioError(str(error).replace(str(path), str(utterance.audio)))


def _windows(pieces: Iterator[tuple[Any, Any]], sample_rate: int) -> Iterator[list[tuple[Any, Any]]]:
    """The same in lists, each of about `_WINDOW_SECONDS` of audio."""
    window, seconds = [], 0.0
    for source, piece in pieces:
        window.append((source, piece))
        seconds += len(piece.samples) / sample_rate if isinstance(piece, Piece) else 0.0
        if seconds > _WINDOW_SECONDS:
            yield window
            window, seconds = [], 0.0
    if window:
        yield window


def _join(recognizer: Recognizer, windows: Iterator[list[tuple[Any, Any]]]) -> Iterator[tuple[Any, Any]]:
    """Computes each window in batches, and puts what stands between two pauses together."""
    kept: list[Tensor] = []
    for window in windows:
        frames = iter(_frames(recognizer, [piece.samples for _, piece in window if isinstance(piece, Piece)]))
        for source, piece in window:
            if not isinstance(piece, Piece):
                kept = []
                yield source, piece
                continue
            if not kept:
                start = piece.start + (piece.keep.start or 0)
            kept.append(next(frames)[piece.keep])
            if piece.pause:
                yield source, Stretch(torch.cat(kept), start)
                kept = []


def _frames(recognizer: Recognizer, waveforms: list[np.ndarray]) -> list[Tensor]:
    """The frames of each waveform."""
    rows = [torch.empty(0)] * len(waveforms)
    for indices, frames, lengths in recognizer.batches([len(w) for w in waveforms], waveforms.__getitem__):
        for index, row, length in zip(indices, frames.cpu(), lengths.tolist(), strict=True):
            rows[index] = row[:length].clone()  # not a view, which would keep the padded batch alive
    return rows
