"""Long recordings: what is cut where, on one time line, and that nothing of it changes the text."""

import itertools
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import fresh_recognizer
from oracles import random_waveforms

from asr.audio import load_audio
from asr.batching import pad
from asr.errors import AudioError, ModelFileError
from asr.recognition import longform
from asr.recognition.align import align
from asr.recognition.longform import Piece, RecordingEnd, cut, in_background, segment_frames
from asr.recognition.recognizer import load
from asr.recognition.steady import is_steady
from asr.recognition.trained_lengths import PieceLengths, TrainedLengths, piece_lengths
from asr.recognition.transcribe import transcribe
from asr.transcript import Transcript
from asr.utterance import Utterance

RATE, STRIDE = 8000, 320
UNSTATED = piece_lengths(None, utterance=False)


def read_from(samples: np.ndarray, asked: list[float] | None = None):
    def read(offset: float, duration: float | None) -> np.ndarray:
        if asked is not None:
            asked.append(len(samples) / RATE - offset if duration is None else duration)
        start = round(offset * RATE)
        return samples[start : None if duration is None else start + round(duration * RATE)]

    return read


def pieces_of(
    samples: np.ndarray, lengths: PieceLengths = UNSTATED, asked: list[float] | None = None
) -> tuple[list[Piece], RecordingEnd]:
    *pieces, end = cut(read_from(samples, asked), len(samples) / RATE, sample_rate=RATE, stride=STRIDE, lengths=lengths)
    assert isinstance(end, RecordingEnd) and end.seconds == len(samples) / RATE
    return pieces, end  # type: ignore[return-value]


def kept(pieces: list[Piece], num_samples: int) -> np.ndarray:
    """Count for each sample the pieces whose kept frames hold it."""
    counts = np.zeros(num_samples, int)
    for piece in pieces:
        frames = range(piece.start, piece.start + len(piece.samples) // STRIDE + 1)[piece.keep]
        counts[frames.start * STRIDE : frames.stop * STRIDE] += 1
    return counts


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
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * (1.2 + np.sin(2 * np.pi * 4 * time)) * noise).astype(np.float32)


def timed(result: Transcript | AudioError) -> list[tuple[str, float, float]] | None:
    """Words and times. Confidences differ in the last digits from batch to batch."""
    return None if isinstance(result, AudioError) else [(word.text, word.start, word.end) for word in result.words]


def test_a_short_recording_is_one_piece_as_it_is() -> None:
    samples = talk(0, 3, 0.7)
    (piece,), end = pieces_of(samples)
    np.testing.assert_array_equal(piece.samples, samples)
    assert piece.keep == slice(None) and piece.start == 0 and piece.pause
    assert len(end.speech) == 3


@pytest.mark.parametrize("longest", [3.0, 30.0])
def test_pieces_between_pauses_hold_all_that_sounds(longest: float) -> None:
    samples = talk(1, 160, 0.9)
    asked: list[float] = []
    pieces, end = pieces_of(samples, PieceLengths(whole=longest, longest=longest, pause=0.5), asked)
    assert len(pieces) == len(end.speech) == 160 and max(asked) <= longform._READ_SECONDS
    heard = np.zeros(len(samples), bool)
    for piece, (first, last) in zip(pieces, end.speech, strict=True):
        start = piece.start * STRIDE
        np.testing.assert_array_equal(piece.samples, samples[start : start + len(piece.samples)])
        assert piece.pause and not heard[start : start + len(piece.samples)].any()
        assert start < first * RATE < last * RATE < start + len(piece.samples)
        heard[start : start + len(piece.samples)] = True
    assert np.abs(samples[~heard]).max() < 0.002
    assert all(before[1] + 0.5 <= after[0] for before, after in itertools.pairwise(end.speech))


def test_without_pauses_pieces_overlap_and_frames_follow_each_other() -> None:
    samples = restless(130.3)
    pieces, end = pieces_of(samples)
    assert [piece.pause for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert kept(pieces, len(samples)).tolist() == [1] * len(samples)
    assert len(end.speech) == 1 and end.speech[0] == pytest.approx((0, 130.3), abs=0.1)
    for piece in pieces:
        assert len(piece.samples) <= (longform.MUCH * UNSTATED.longest + 2 * longform.OVERLAP) * RATE
    for piece in pieces[1:]:
        assert piece.keep.start == longform.OVERLAP * RATE // STRIDE


def test_long_speech_is_cut_at_its_widest_dips() -> None:
    """Where no pause ends a segment for long, pieces end in shorter pauses, and the segment goes on."""
    samples = talk(2, 60, 0.3)
    pieces, end = pieces_of(samples, PieceLengths(whole=6.0, longest=6.0, pause=0.5))
    assert len(end.speech) == 1 and all(piece.pause for piece in pieces) and len(pieces) > 8
    assert max(len(piece.samples) for piece in pieces) <= longform.MUCH * 6 * RATE
    heard = kept(pieces, len(samples))
    assert heard.max() == 1 and np.abs(samples[heard == 0]).max() < 0.002
    recognizer = fresh_recognizer()
    recognizer.trained_lengths = TrainedLengths(longest=6.0, pause=0.5)
    transcript = recognizer.transcribe(samples, RATE)
    (segment,) = transcript.segments
    assert segment.words == transcript.words and segment.start < 1.01 < 60 < segment.end
    assert len(align(recognizer, (samples, RATE), transcript.text).transcript.speech) == 1


@pytest.mark.parametrize("longest", [1, 7.3, 36_000])
@pytest.mark.parametrize("pause", [0.1, 10])
def test_any_lengths_lose_no_sound(longest: float, pause: float) -> None:
    parts = [talk(3, 30, 0.3), np.zeros(25 * RATE), restless(70), talk(4, 20, 2.0), np.zeros(100 * RATE), talk(5, 2, 1)]
    samples = np.concatenate(parts).astype(np.float32)
    lengths = piece_lengths(TrainedLengths(longest=longest, pause=pause), utterance=False)
    pieces, end = pieces_of(samples, lengths)
    heard = kept(pieces, len(samples))
    assert heard.max() == 1 and np.abs(samples[heard == 0]).max() < 0.002
    assert all(before[1] < after[0] for before, after in itertools.pairwise(end.speech))


@pytest.mark.parametrize("lengths", [{"longest": 0, "pause": 1}, {"longest": math.nan, "pause": 1}, {"longest": 9}])
def test_impossible_lengths_in_a_model_file_are_refused(lengths: dict[str, float], tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    recognizer.trained_lengths = TrainedLengths.model_construct(**lengths)
    recognizer.save(tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match=r"m\.safetensors"):
        load(tmp_path / "m.safetensors")


def test_an_utterance_of_a_manifest_is_one_piece(tmp_path: Path) -> None:
    """Training's evaluation computes utterances whole, so `asr transcribe` does too; a recording is divided."""
    recognizer = fresh_recognizer()
    recognizer.trained_lengths = TrainedLengths(longest=2, pause=0.5)
    samples = talk(6, 8, 0.8)
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="PCM_16")
    written = load_audio(tmp_path / "x.wav", RATE)
    utterances = [
        Utterance("line", tmp_path / "x.wav", text="a"),
        Utterance("part", tmp_path / "x.wav", duration=len(samples) / RATE),
        Utterance("recording", tmp_path / "x.wav"),
    ]
    line, part, recording = (one for _, one in transcribe(recognizer, utterances) if isinstance(one, Transcript))
    (whole,) = recognizer.recognize([written])
    assert line.text == part.text == whole
    assert recording.text == recognizer.transcribe(written, RATE).text != whole
    assert len(recording.speech) == 8 and recording.speech == line.speech


@pytest.mark.parametrize("seconds", [41.0, 63.0, 120.0, 120.04, 153.0])
def test_silence_of_any_length_is_cut_to_an_end(seconds: float) -> None:
    pieces, end = pieces_of(np.zeros(int(seconds * RATE), np.float32))
    assert pieces == [] and end.speech == ()
    samples = np.concatenate([np.zeros(int(seconds * RATE), np.float32), random_waveforms(2, 1, RATE)[0]])
    (piece,), end = pieces_of(samples)
    assert 0 <= seconds - piece.start * STRIDE / RATE < 0.5
    assert end.speech[0] == pytest.approx((seconds, len(samples) / RATE), abs=0.05)


def test_a_long_recording_gives_the_text_of_its_pieces(tmp_path: Path) -> None:
    recognizer = fresh_recognizer()
    for name, samples in (("talk", talk(3, 60, 0.9)), ("restless", restless(90))):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        ((_, transcript),) = transcribe(recognizer, [Utterance(name, path)])
        written = load_audio(path, RATE)
        assert timed(recognizer.transcribe(written, RATE)) == timed(transcript)
        assert transcript.duration == len(samples) / RATE
        assert all(a.end <= b.start + 1e-6 and a.start < a.end for a, b in itertools.pairwise(transcript.words))
        assert transcript.words[-1].end <= transcript.duration
        if name == "talk":  # whose pieces stand by themselves
            parts = [recognizer.transcribe(piece.samples, RATE) for piece in pieces_of(written)[0]]
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
    assert end == RecordingEnd(70.0, speech=((49.98, 50.78),))
    assert 49.5 < segment.start * recognizer.stride / RATE <= 50.0  # type: ignore[union-attr]
