"""Long recordings: what is cut where, on one time line, and that nothing of it changes the text."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer
from oracles import random_waveforms

from asr.audio import load_audio
from asr.batching import pad
from asr.errors import AudioError
from asr.recognition import longform
from asr.recognition.longform import Piece, RecordingEnd, cut, in_background, pauses, segment_frames
from asr.recognition.steady import is_steady
from asr.recognition.transcribe import transcribe
from asr.transcript import Transcript
from asr.utterance import Utterance

RATE, STRIDE = 8000, 320


def read_from(samples: np.ndarray, asked: list[float] | None = None):
    def read(offset: float, duration: float | None) -> np.ndarray:
        if asked is not None:
            asked.append(len(samples) / RATE - offset if duration is None else duration)
        start = round(offset * RATE)
        return samples[start : None if duration is None else start + round(duration * RATE)]

    return read


def pieces_of(samples: np.ndarray, asked: list[float] | None = None) -> list[Piece]:
    *pieces, end = cut(read_from(samples, asked), len(samples) / RATE, sample_rate=RATE, stride=STRIDE)
    assert end == RecordingEnd(len(samples) / RATE)
    return pieces  # type: ignore[return-value]


def talk(seed: int, bursts: int, pause: float) -> np.ndarray:
    """Bursts of sound with pauses of faint noise between."""
    generator = np.random.default_rng(seed)
    parts = [2e-4 * generator.standard_normal(RATE)]
    for waveform in random_waveforms(seed, bursts, RATE):
        parts += [waveform, 2e-4 * generator.standard_normal(int(pause * RATE))]
    return np.concatenate(parts).astype(np.float32)


def restless(seconds: float) -> np.ndarray:
    """Sound without a pause, whose level varies."""
    time = np.arange(int(seconds * RATE)) / RATE
    return ((0.2 + 0.1 * np.sin(9 * time)) * np.sin(4000 * time + 50 * np.sin(time))).astype(np.float32)


def timed(result: Transcript | AudioError) -> list[tuple[str, float, float]] | None:
    """Words and times. Confidences differ in the last digits from batch to batch."""
    return None if isinstance(result, AudioError) else [(word.text, word.start, word.end) for word in result.words]


def test_a_short_recording_is_one_piece_as_it_is() -> None:
    samples = talk(0, 3, 0.5)
    (piece,) = pieces_of(samples)
    np.testing.assert_array_equal(piece.samples, samples)
    assert piece.keep == slice(None) and piece.start == 0 and piece.pause


def test_pieces_between_pauses_hold_all_that_sounds() -> None:
    samples = talk(1, 160, 0.6)
    asked: list[float] = []
    pieces = pieces_of(samples, asked)
    assert len(pieces) > 50 and max(asked) <= longform._READ_SECONDS
    heard = np.zeros(len(samples), bool)
    for piece in pieces:
        start = piece.start * STRIDE
        np.testing.assert_array_equal(piece.samples, samples[start : start + len(piece.samples)])
        assert piece.pause and not heard[start : start + len(piece.samples)].any()
        heard[start : start + len(piece.samples)] = True
    assert np.abs(samples[~heard]).max() < 0.02 and heard.mean() < 0.9


def test_without_pauses_pieces_overlap_and_frames_follow_each_other() -> None:
    samples = restless(130.3)
    pieces = pieces_of(samples)
    assert [piece.pause for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    frames = []
    for piece in pieces:
        count = -(-len(piece.samples) // STRIDE) if piece is pieces[-1] else len(piece.samples) // STRIDE + 1
        frames += [piece.start + frame for frame in range(count)[piece.keep]]
        assert len(piece.samples) <= (longform.LONGEST + 2 * longform.OVERLAP) * RATE
    assert frames == list(range(frames[-1] + 1)) and frames[-1] == len(samples) // STRIDE
    for piece in pieces[1:]:
        assert piece.keep.start == longform.OVERLAP * RATE // STRIDE


@pytest.mark.parametrize("seconds", [41.0, 63.0, 120.0, 120.04, 153.0])
def test_silence_of_any_length_is_cut_to_an_end(seconds: float) -> None:
    assert pieces_of(np.zeros(int(seconds * RATE), np.float32)) == []
    samples = np.concatenate([np.zeros(int(seconds * RATE), np.float32), random_waveforms(2, 1, RATE)[0]])
    (piece,) = pieces_of(samples)
    assert abs(piece.start * STRIDE / RATE - seconds) < 0.2


def test_a_long_recording_gives_the_text_of_its_pieces(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    for name, samples in (("talk", talk(3, 60, 0.5)), ("restless", restless(90))):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        ((_, transcript),) = transcribe(recognizer, [Utterance(name, path)])
        written = load_audio(path, RATE)
        assert timed(recognizer.transcribe(written, RATE)) == timed(transcript)
        assert transcript.duration == len(samples) / RATE
        assert all(a.end <= b.start + 1e-6 and a.start < a.end for a, b in itertools.pairwise(transcript.words))
        assert transcript.words[-1].end <= transcript.duration
        if name == "talk":  # whose pieces stand by themselves
            parts = [recognizer.transcribe(piece.samples, RATE) for piece in pieces_of(written)]
            assert transcript.text == " ".join(part.text for part in parts if part.text)


def test_each_waveform_has_its_own_log_probs_in_any_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    paths = [tmp_path / f"{number}.wav" for number in range(9)]
    for path, samples in zip(paths, random_waveforms(5, 9, RATE), strict=True):
        soundfile.write(path, samples, RATE, subtype="PCM_16")
    paths.insert(4, tmp_path / "missing.wav")
    utterances = [Utterance(path.stem, path) for path in paths]
    expected = {utterance.id: timed(result) for utterance, result in transcribe(recognizer, utterances)}
    monkeypatch.setattr(longform, "_WINDOW_SECONDS", 1.0)
    monkeypatch.setattr(longform, "_READ_TOGETHER", 2)
    results = list(transcribe(recognizer, utterances))
    assert [utterance for utterance, _ in results] == utterances
    for utterance, result in results:
        if utterance.id == "missing":
            assert isinstance(result, AudioError) and "missing.wav: no such file" in str(result)
        else:
            assert timed(result) == expected[utterance.id]


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    samples = talk(6, 12, 0.4)
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="PCM_16")
    part = Utterance("part", tmp_path / "x.wav", offset=2.0, duration=3.0)
    ((_, transcript),) = transcribe(recognizer, [part])
    alone = recognizer.transcribe(load_audio(tmp_path / "x.wav", RATE)[16000:40000], RATE)
    assert transcript.text == alone.text and transcript.duration == 3.0
    assert transcript.words[0].start == pytest.approx(alone.words[0].start + 2.0)


def test_channels(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    left, right = talk(7, 3, 0.4)[:16000], talk(8, 3, 0.4)[:16000]
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), RATE, subtype="PCM_16")
    for name, samples in (("left", left), ("right", right)):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="PCM_16")
    alone = [recognizer.transcribe(tmp_path / f"{name}.wav").text for name in ("left", "right")]
    stereo = [Utterance("x", tmp_path / "x.wav")]
    split = [result for _, result in transcribe(recognizer, stereo, "split")]
    assert [(part.channel, part.text) for part in split] == [(1, alone[0]), (2, alone[1])]  # type: ignore[union-attr]
    ((_, second),) = transcribe(recognizer, stereo, 2)
    assert timed(second) == timed(split[1]) and isinstance(second, Transcript) and second.channel == 2
    ((_, third),) = transcribe(recognizer, stereo, 3)
    assert isinstance(third, AudioError) and "x.wav: has 2 channels, so there is no channel 3" in str(third)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 10.0])
def test_steady_sounds_are_no_speech(rate: int, seconds: float) -> None:
    generator = np.random.default_rng(0)
    time = np.arange(int(rate * seconds)) / rate
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 9))
    noise = generator.standard_normal(len(time))
    for sound in (0 * time, np.round(noise) / 32768, 0.1 * noise, 0.1 * hum, 0.05 * hum + 0.005 * noise):
        assert is_steady(sound.astype(np.float32), rate)
    assert not is_steady((0.1 * noise * (1 + 0.5 * np.sin(12 * time))).astype(np.float32), rate)


def test_steady_sounds_give_no_words() -> None:
    recognizer = fresh_recognizer()
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    assert recognizer.texts(*recognizer.log_probs(*pad([noise]))) != [""]  # what the model alone would make of it
    assert recognizer.transcribe(noise, RATE).text == ""
    long = recognizer.transcribe(np.tile(noise, 90), RATE)
    assert (long.text, long.duration) == ("", 90.0)


def test_speech_is_not_steady(corpora: Path) -> None:
    recordings = sorted((corpora / "fsdd" / "recordings").glob("*_[0-4].wav"))
    assert len(recordings) > 100
    steady = [path.name for path in recordings if is_steady(soundfile.read(path, dtype="float32")[0], 8000)]
    assert steady == []


def test_pauses() -> None:
    samples = np.concatenate([restless(2), np.zeros(RATE // 2), restless(1), np.zeros(RATE // 10), restless(1)])
    ((start, end),) = pauses(samples, RATE)
    assert abs(start - 2 * RATE) <= 160 and abs(end - 2.5 * RATE) <= 160
    assert pauses(samples[:5], RATE) == []


def test_in_background_keeps_order_and_errors() -> None:
    threads = []

    def count():
        for number in range(5):
            threads.append(threading.current_thread())
            yield number
        raise AudioError("the end")

    seen = []
    with pytest.raises(AudioError, match="the end"):
        for number in in_background(count()):
            seen.append(number)
    assert seen == list(range(5)) and threading.main_thread() not in threads


def test_segments_begin_at_their_sound(tmp_path: Path) -> None:
    """A burst at 50 s is in a segment that begins just before it."""
    recognizer = fresh_recognizer()
    samples = np.zeros(70 * RATE, np.float32)
    burst = random_waveforms(9, 1, RATE)[0]
    samples[50 * RATE : 50 * RATE + len(burst)] = burst
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="PCM_16")
    (_, segment), (_, end) = segment_frames(recognizer, [Utterance("x", tmp_path / "x.wav")])
    assert end == RecordingEnd(70.0)
    assert 49.7 < segment.start * recognizer.stride / RATE <= 50.0  # type: ignore[union-attr]
