"""Turns in live sound: equal at any chunking, and a model of two directions transcribes each as a recording."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import fresh_recognizer
from oracles import random_waveforms
from test_speech import session
from test_stream import streaming

from asr.decoding.decoder import Decoder
from asr.errors import AudioError
from asr.recognition.recognizer import Recognizer
from asr.recognition.speech import band_powers
from asr.recognition.stream import Stream, longest_pause
from asr.recognition.turn_stream import PAUSE, TurnStream, describe_live, open_stream, streams
from asr.recognition.turns import MARGIN, TurnDetector, _Bands
from asr.transcript import Word

RATE = 8000


def turns(samples: np.ndarray, rate: int, size: int, **options: float) -> list[tuple[int, int | None]]:
    detector = TurnDetector(rate, **{"pause": PAUSE, "longest": 30.0, **options})
    parts = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [tuple(turn) for part in parts for turn in detector.feed(part.astype(np.float32))]


@pytest.mark.parametrize("rate", [8000, 11025, 24000])
def test_turns_are_the_speech_between_pauses_at_any_chunking(rate: int) -> None:
    samples, bounds = session(rate, count=8)
    samples = np.concatenate([samples, np.zeros(rate)])
    found = turns(samples, rate, rate // 10, pause=0.5)
    assert turns(samples, rate, 777, pause=0.5) == turns(samples, rate, len(samples), pause=0.5) == found
    assert [end is None for _, end in found] == [True, False] * len(bounds)
    ends = [(start / rate + MARGIN, end / rate - MARGIN) for start, end in found if end is not None]
    np.testing.assert_allclose(ends, bounds, atol=0.15)
    assert all(start == began for (began, none), (start, _) in zip(found[::2], found[1::2], strict=True))


def test_powers_of_parts_are_those_of_the_whole() -> None:
    samples = random_waveforms(2, 1, RATE)[0]
    bands, whole = _Bands(RATE), band_powers(samples, RATE)
    parts = [bands.feed(part) for part in np.array_split(samples, 31)]
    together = np.concatenate([part for part in parts if len(part)])
    assert len(whole) - 4 <= len(together) <= len(whole)
    np.testing.assert_array_equal(together, whole[: len(together)])


def test_steady_sounds_begin_no_turn_and_endless_speech_is_cut() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE)
    assert turns(noise, RATE, 800) == [] == turns(0 * noise, RATE, 800)
    endless = np.tile(session(RATE, count=1)[0][RATE : 2 * RATE], 30)
    cuts = [(start, end) for start, end in turns(endless, RATE, 800, longest=8.0) if end is not None]
    assert len(cuts) >= 3
    assert all(3.9 * RATE <= end - start <= 8.1 * RATE for start, end in cuts)
    assert all(start >= end for (_, end), (start, _) in pairwise(cuts))  # no sample in two turns


def feed_all(stream: Stream | TurnStream, samples: np.ndarray, size: int) -> list[Word]:
    parts = (samples[start : start + size] for start in range(0, len(samples), size))
    return [word for part in parts for word in stream.feed(part).ended]


@pytest.fixture(scope="module")
def both() -> Recognizer:
    return fresh_recognizer()


def test_each_turn_has_the_words_of_transcribe(both: Recognizer) -> None:
    floating, _ = session(RATE, count=4)
    samples = np.round(np.concatenate([floating, np.zeros(RATE)]) * 16384).astype(np.int16)
    ranges = [(a, b) for a, b in turns(samples / 32768, RATE, 800) if b is not None]
    expected = [both.transcribe(samples[a:b], RATE).words for a, b in ranges]
    assert len(ranges) == 4 and all(expected)
    for size in (801, 5000, len(samples)):
        stream = open_stream(both, RATE)
        assert isinstance(stream, TurnStream)
        told = feed_all(stream, samples, size)
        assert [w.text for w in told] == [w.text for words in expected for w in words]
        shifts = [a / RATE for (a, _), words in zip(ranges, expected, strict=True) for _ in words]
        starts = [w.start for words in expected for w in words]
        np.testing.assert_allclose([w.start for w in told], np.add(starts, shifts), atol=1e-6)
        transcript = stream.finish()
        assert transcript.words == tuple(told) and transcript.duration == len(samples) / RATE
        assert len(stream._kept) <= 6 * RATE


def test_a_stream_without_a_pause_is_one_recording(both: Recognizer) -> None:
    for count in (1, 200, 4000):
        samples = np.round(random_waveforms(3, 1)[0][:count] * 16384).astype(np.int16)
        stream = open_stream(both, RATE)
        assert feed_all(stream, samples, 300) == []
        expected = both.transcribe(samples, RATE)
        assert (stream.finish().text, stream.finish().duration) == (expected.text, expected.duration)
    assert open_stream(both, 44100).finish().text == ""
    with pytest.raises(AudioError, match="not a finite number"):
        open_stream(both, RATE).feed(np.full(9, np.nan))


def test_memory_does_not_grow_with_silence_or_noise(both: Recognizer) -> None:
    stream = TurnStream(both, 16000)
    for seed in range(40):
        stream.feed((np.random.default_rng(seed).standard_normal(16000) * 100).astype(np.int16))
        assert len(stream._kept) <= 7 * RATE
    assert stream.finish().duration == pytest.approx(40)


@pytest.mark.parametrize("beam", [False, True])
def test_a_segment_without_a_pause_is_cut(monkeypatch: pytest.MonkeyPatch, beam: bool) -> None:
    """Every frame is decoded once, in one of the segments; the cut lies in the longest pause of the second half."""
    monkeypatch.setattr("asr.recognition.stream.LONGEST", 3.0)
    recognizer = streaming()
    if beam:
        recognizer.decoder = Decoder(recognizer.units)
    samples = np.concatenate(random_waveforms(1, 12))
    stream, kept = open_stream(recognizer, RATE), [0]
    assert isinstance(stream, Stream)
    decoded: list[tuple[int, int]] = []
    monkeypatch.setattr(recognizer, "words", lambda rows, start: decoded.append((start, len(rows))) or ())
    for start in range(0, len(samples), 800):
        stream.feed(samples[start : start + 800])
        kept.append(len(stream._segment.rows))
    assert max(kept) <= stream._longest
    stream.finish()
    assert len(decoded) >= 4
    assert all(start + count == following for (start, count), (following, _) in pairwise(decoded))
    assert sum(count for _, count in decoded) == recognizer.num_output_frames(len(samples))


def test_longest_pause() -> None:
    frames = [bool(int(digit)) for digit in "111001001110010"]
    assert longest_pause(frames, 3) == 9  # the middle of the run 8..10, the run before frame 3 does not count
    assert longest_pause(frames, 11) == 13 and longest_pause([False] * 5, 2) == 5 and longest_pause([], 0) == 0


def test_what_is_said_of_each_kind(both: Recognizer) -> None:
    assert not streams(both.settings) and "0.8 s after the end of speech" in describe_live(both.settings)
    one = streaming()
    assert streams(one.settings) and describe_live(one.settings).startswith("a frame every 30 ms")
