"""The context of an utterance: pause only, never another line, never untranscribed speech; and what is packed of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import RATE, spell

from asr.audio import load_audio
from asr.corpus.context import NO_ROOM, Room, read_excerpt, rooms
from asr.corpus.pack import pack
from asr.decoders import Recording
from asr.utterance import Utterance

HOUR = Path("hour.wav")
Session = tuple[Path, list[tuple[float, float]]]  # a recording, and the spans of its utterances in seconds


def part(start: float, end: float | None, path: Path = HOUR) -> Utterance:
    return Utterance(f"{start}-{end}", path, "a", start, None if end is None else end - start)


def test_rooms_end_at_every_other_line_in_any_order() -> None:
    lines = [part(0.25, 2), part(2.5, 4), part(5, 6), part(5.5, 7), part(9, 10), part(9, 10), part(11, None)]
    expected = [(0.25, 0.5), (0.5, 1), (1, 0), (0, 1), (1, 1), (1, 1), (1, 0)]
    assert rooms(lines, lines) == [Room(*pair) for pair in expected]
    assert rooms(lines, lines[::-1]) == rooms(lines[::-1], lines)[::-1] == rooms(lines, lines)
    elsewhere = [replace(line, audio=Path("other.wav")) for line in lines]
    assert rooms(elsewhere[:1], lines) == [Room(0.25, 1)]  # lines of another recording do not count
    assert rooms([part(3, 3.5)], [part(3, 3.5), part(0, None)]) == [NO_ROOM]  # inside another line
    assert rooms([part(2, 3)], [part(2, 3), part(2, 3.4), part(1.7, 3)]) == [NO_ROOM]  # another division of it
    assert rooms([Utterance("whole", HOUR)], lines) == [Room(0, 0)]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Write a session of noise with five utterances of tones; return it, and the spans of the utterances in seconds."""
    generator = np.random.default_rng(0)
    samples = 0.003 * generator.standard_normal(RATE * 14)
    spans = []
    for number, start in enumerate((3.0, 4.5, 6.0, 7.5, 12.0)):
        speech = spell("abcab", generator)
        samples[round(start * RATE) :][: len(speech)] += speech
        spans.append((start, start + len(speech) / RATE if number < 4 else 14.0))
    soundfile.write(tmp_path / "session.wav", samples, RATE, subtype="PCM_16")
    return tmp_path / "session.wav", spans


def test_the_context_is_the_pause_and_the_utterance_is_as_alone(
    session: Session,
) -> None:
    """The third utterance is in no manifest; the context of its neighbours ends before its speech."""
    path, spans = session
    lines = [part(*span, path) for number, span in enumerate(spans) if number != 2]
    whole = load_audio(path, RATE)
    found = rooms(lines, lines)
    for line, room in zip(lines, found, strict=True):
        excerpt = read_excerpt(line, RATE, room)
        np.testing.assert_array_equal(
            excerpt.samples, load_audio(path, RATE, offset=line.offset, duration=line.duration)
        )
        start, end = round(line.offset * RATE), round((line.offset + (line.duration or 0)) * RATE)
        np.testing.assert_array_equal(excerpt.before, whole[start - len(excerpt.before) : start])
        np.testing.assert_array_equal(excerpt.after, whole[end : end + len(excerpt.after)])
        assert np.abs(np.concatenate([excerpt.before, excerpt.after])).max() < 0.05  # the tones have 0.3
    first, second, fourth, last = (read_excerpt(line, RATE, room) for line, room in zip(lines, found, strict=True))
    assert len(first.before) == RATE and len(first.after) == len(second.before) == round(found[0].after * RATE)
    for pause in (second.after, fourth.before):  # 0.6 s to and from the third utterance
        assert 0.4 * RATE < len(pause) <= 0.6 * RATE + 0.06 * RATE  # each letter ends with 0.06 s of near silence
    assert len(fourth.after) == len(last.before) == RATE and len(last.after) == 0


def test_context_at_another_rate_and_beyond_the_end(session: Session) -> None:
    path, spans = session
    line = part(*spans[0], path)
    excerpt = read_excerpt(line, 5000, Room(0.5, 0.4))
    assert (len(excerpt.before), len(excerpt.after)) == (2500, 2000)
    last = part(12.0, 13.99, path)
    assert len(read_excerpt(last, RATE, Room(0.0, 1.0)).after) <= 0.02 * RATE
    noise = part(9.5, 11.0, path)  # an utterance without speech keeps the noise around it
    assert len(read_excerpt(noise, RATE, Room(0.2, 0.5)).after) == RATE // 2


def test_a_line_that_ends_with_its_file_costs_no_second_decoding(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifests of whole files often state durations; the length of an MP3 is known only after decoding it."""
    samples, _ = soundfile.read(session[0], dtype="float32")
    mp3 = session[0].with_suffix(".mp3")
    soundfile.write(mp3, samples, RATE)
    seconds = len(load_audio(mp3, RATE)) / RATE
    monkeypatch.setattr(Recording, "frames", lambda recording: pytest.fail("decoded to its end once more"))
    line = part(0.0, seconds, mp3)
    assert rooms([line], [line]) == [Room(0.0, 1.0)]
    assert len(read_excerpt(line, RATE, Room(0.0, 1.0)).after) == 0
    loop = session[0].with_name("loop.wav")
    loop.symlink_to(loop)
    assert rooms([part(1.0, 2.0, loop)], [part(1.0, 2.0, loop)]) == [Room(1.0, 1.0)]


def test_packed_once_for_equal_rooms(session: Session, tmp_path: Path) -> None:
    path, spans = session
    lines = [part(*span, path) for span in spans]
    found = rooms(lines, lines)
    corpus = pack(lines, RATE, tmp_path / "p.arrow", rooms=found)
    before = (tmp_path / "p.arrow").read_bytes()
    for index, (line, room) in enumerate(zip(lines, found, strict=True)):
        excerpt = read_excerpt(line, RATE, room)
        for packed, read in ((corpus.before, excerpt.before), (corpus.after, excerpt.after)):
            np.testing.assert_array_equal(packed(index), read)
        assert (corpus.num_before[index], corpus.num_after[index]) == (len(excerpt.before), len(excerpt.after))
    inode = (tmp_path / "p.arrow").stat().st_ino
    pack(lines, RATE, tmp_path / "p.arrow", rooms=rooms(lines, lines[::-1]))
    assert (tmp_path / "p.arrow").stat().st_ino == inode
    without = pack(lines, RATE, tmp_path / "p.arrow")  # another line may have come: what decides the context is new
    assert not without.num_before.any() and (tmp_path / "p.arrow").stat().st_ino != inode
    pack(lines, RATE, tmp_path / "p.arrow", rooms=found)
    assert (tmp_path / "p.arrow").read_bytes()[: len(before) // 2] == before[: len(before) // 2]
    corpus.select([3, 1])
    np.testing.assert_array_equal(corpus.after(1), read_excerpt(lines[1], RATE, found[1]).after)
    corpus.equalize()
    assert len(corpus.before(0)) == corpus.num_before[0]
